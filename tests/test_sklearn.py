"""scikit-learn's own checks, on the same models as the contract, given matrices."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from ecomrec._registry import ESTIMATORS
from ecomrec.cf import ItemKNN, Popularity, UserKNN

MODELS = [Popularity(), ItemKNN(), ItemKNN(target="rating"), UserKNN(), UserKNN(target="rating")]
# A check in here must fail; each has its reason.
EXPECTED_FAILURES = {}


@parametrize_with_checks(
    MODELS,
    expected_failed_checks=lambda model: EXPECTED_FAILURES.get(type(model).__name__, {}),
    xfail_strict=True,
)
def test_scikit_learn_check_passes(estimator, check):
    check(estimator)


def test_every_estimator_is_put_through_them():
    assert {type(model).__name__ for model in MODELS} == ESTIMATORS.keys()


@pytest.mark.parametrize("name", EXPECTED_FAILURES)
def test_expected_failures_are_of_models(name):
    assert name in ESTIMATORS
