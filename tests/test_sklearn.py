"""scikit-learn's own checks, on the same models as the contract, given matrices."""

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

MODELS = [
    ALS(),
    ALS(feedback="explicit"),
    BPR(),
    EASE(),
    GraphFilter(),
    Popularity(),
    ItemKNN(),
    ItemKNN(target="rating"),
    PureSVD(),
    SLIM(),
    SVD(),
    UserKNN(),
    UserKNN(target="rating"),
]


@parametrize_with_checks(MODELS)
def test_scikit_learn_check_passes(estimator, check):
    check(estimator)


def test_every_estimator_is_put_through_them():
    assert {type(model).__name__ for model in MODELS} == ESTIMATORS.keys()
