"""scikit-learn's own checks, on the same models as the contract, given matrices."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from ecomrec._registry import ESTIMATORS
from ecomrec.cf import (
    ALS,
    BPR,
    EASE,
    SLIM,
    SVD,
    GraphFilter,
    ItemKNN,
    Popularity,
    PureSVD,
    UserKNN,
)
from ecomrec.coldstart import AttributeToFactor, ColdStart, Explore, Friends, Nearby, Onboarding
from ecomrec.content import (
    AttributeRecommender,
    EmbeddingRecommender,
    Item2Vec,
    PersonalSearch,
    TfidfRecommender,
)
from ecomrec.hybrid import (
    Blend,
    Complementary,
    RankFusion,
    Reranked,
    SimilarityFusion,
    Stacking,
    Switch,
    TwoStage,
)
from ecomrec.privacy import DPALS, DPEASE, DPItemKNN, DPPopularity, DPTopK, DPTwoTower

MODELS = [
    Blend(),
    RankFusion(),
    Switch(),
    SimilarityFusion(),
    AttributeRecommender(),
    AttributeToFactor(),
    ColdStart(),
    PersonalSearch(),
    TfidfRecommender(),
    Complementary(),
    Reranked(),
    ALS(),
    ALS(feedback="explicit"),
    BPR(),
    EASE(),
    GraphFilter(),
    Popularity(),
    EmbeddingRecommender(),
    Explore(),
    Friends(),
    Nearby(),
    Onboarding(),
    Item2Vec(),
    ItemKNN(),
    ItemKNN(target="rating"),
    PureSVD(),
    SLIM(),
    Stacking(),
    SVD(),
    TwoStage(),
    UserKNN(),
    UserKNN(target="rating"),
    DPALS(),
    DPEASE(),
    DPItemKNN(),
    DPPopularity(),
    DPTopK(),
    DPTwoTower(max_iter=2),
]


# A matrix has no texts, and models that read them say so.
@pytest.mark.filterwarnings(r"ignore:\w+ learns from what the items are:UserWarning")
@pytest.mark.filterwarnings("ignore:Friends learns from who knows whom:UserWarning")
@parametrize_with_checks(MODELS)
def test_scikit_learn_check_passes(estimator, check):
    if isinstance(estimator, DPTwoTower):
        pytest.importorskip("opacus", reason="needs the extra ecomrec[opacus]")
    check(estimator)


def test_every_estimator_is_put_through_them():
    assert {type(model).__name__ for model in MODELS} == ESTIMATORS.keys()
