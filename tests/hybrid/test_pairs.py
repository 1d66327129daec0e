"""Compositions of any two models keep the contract: a sample by default, more in the full run."""

import itertools

import numpy as np
import pytest
from hypothesis import settings

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
from ecomrec.coldstart import ColdStart
from ecomrec.content import (
    AttributeRecommender,
    EmbeddingRecommender,
    Item2Vec,
    PersonalSearch,
    TfidfRecommender,
)
from ecomrec.hybrid import Blend, RankFusion, Switch, TwoStage
from ecomrec.testing import checks_for, exceptions_for

MODELS = [
    ALS(4, max_iter=3),
    ALS(4, feedback="explicit"),
    AttributeRecommender(),
    BPR(4, max_iter=2),
    EASE(),
    EmbeddingRecommender("lsa", head_rank=2, max_iter=1),
    GraphFilter(),
    Item2Vec(4),
    ItemKNN(),
    ItemKNN(target="rating"),
    ItemKNN(half_life="5D"),
    PersonalSearch(),
    Popularity(count="weights"),
    PureSVD(2),
    SLIM(3),
    SVD(4),
    TfidfRecommender(),
    UserKNN(half_life="20D"),
]
COMPOSITIONS = {
    "blend": lambda one, other: Blend([("one", one), ("other", other)], weights=[0.6, 0.4]),
    "fusion": lambda one, other: RankFusion([("one", one), ("other", other)]),
    "switch": lambda one, other: Switch([("one", one), ("other", other)], edges=[2]),
    "cold": lambda one, other: ColdStart(one, fallback=[("other", other)]),
    "ranked": lambda one, other: TwoStage([("one", one), ("other", other)]),
    "nested": lambda one, other: Blend(
        [("plain", one), ("mixed", RankFusion([("one", one), ("other", other)]))]
    ),
}
CHECKS = (
    "check_seen_items_never_return",
    "check_candidates_are_respected",
    "check_scores_fall_and_items_differ",
    "check_predict_equals_recommended_score",
    "check_explanation_adds_up",
    "check_save_load_keeps_answers",
    "check_pickle_keeps_answers",
    "check_recommending_does_not_learn",
    "check_history_equals_stored_user",
    "check_refresh_equals_fit",
    "check_forgotten_ids_leave_no_trace",
    "check_threads_see_whole_states",
)
PAIRS = [
    (name, one, other)
    for name, (one, other) in itertools.product(
        COMPOSITIONS, itertools.permutations(range(len(MODELS)), 2)
    )
]


def sample(n, seed):
    places = np.random.default_rng(seed).choice(len(PAIRS), n, replace=False)
    return [
        pytest.param(
            *PAIRS[place],
            id=f"{PAIRS[place][0]}-{MODELS[PAIRS[place][1]]!r}-{MODELS[PAIRS[place][2]]!r}",
        )
        for place in sorted(places.tolist())
    ]


def keeps_the_contract(name, one, other):
    model = COMPOSITIONS[name](MODELS[one], MODELS[other])
    known = set(exceptions_for(model))
    if UserKNN in (type(MODELS[one]), type(MODELS[other])):
        # A visitor with a stored user's history finds that very user among the neighbours.
        known.add("check_history_equals_stored_user")
    done = 0
    for check, run in checks_for(model):
        if check in CHECKS and check not in known:
            run(model)
            done += 1
    assert done >= len(CHECKS) - 2


@pytest.fixture(autouse=True)
def _profile():
    before = settings.get_current_profile_name()
    settings.register_profile("pairs", max_examples=3)
    settings.load_profile("pairs")
    yield
    settings.load_profile(before)


@pytest.mark.parametrize(("name", "one", "other"), sample(12, 0))
def test_a_composition_of_two_keeps_the_contract(name, one, other):
    keeps_the_contract(name, one, other)


@pytest.mark.full
@pytest.mark.parametrize(("name", "one", "other"), sample(60, 1))
def test_a_composition_of_two_keeps_the_contract_in_full(name, one, other):
    keeps_the_contract(name, one, other)
