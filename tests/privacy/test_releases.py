"""The door between private rows and what is learned: what is booked is what is released."""

import math

import numpy as np
import pandas as pd
import pytest

from ecomrec.exceptions import BudgetExceededError
from ecomrec.privacy import (
    DPALS,
    DPEASE,
    DPItemKNN,
    DPMetrics,
    DPPopularity,
    DPTopK,
    DPTwoTower,
    GaussianEvent,
    GumbelTopKEvent,
    PoissonSampledGaussianEvent,
    PrivacyLedger,
    SeededNoise,
    SystemNoise,
    ZCDPEvent,
)
from ecomrec.privacy._releases import Releases
from ecomrec.privacy.noise.door import answer, recorded


def door(plan, ledger=None, noise="rounded_gaussian", source=None):
    source = source or SystemNoise()
    return Releases(plan, ledger=ledger, source=source, noise=noise, label="test")


def test_the_ledger_is_charged_before_anything_is_drawn():
    class Counting(SystemNoise):
        def words(self, n):
            raise AssertionError("drawn before it was paid for")

    ledger = PrivacyLedger(None, 0.5, 1e-6)
    with pytest.raises(BudgetExceededError):
        door({"a": GaussianEvent(1.0)}, ledger, source=Counting())
    assert ledger.entries == () or list(ledger.entries) == []


@pytest.mark.parametrize(
    "event", [GaussianEvent(2e6), ZCDPEvent(1e-13), PoissonSampledGaussianEvent(2e6, 0.1)]
)
def test_noise_that_leaves_nothing_is_refused_before_the_charge(event):
    ledger = PrivacyLedger(None, 0.5, 1e-6)
    with pytest.raises(ValueError, match=r"release 'b' needs noise .* users.*Raise epsilon"):
        door({"a": GaussianEvent(100.0), "b": event}, ledger)
    assert ledger.entries == ()


def test_what_was_not_booked_is_refused_and_what_was_must_be_made():
    releases = door({"a": GaussianEvent(1.0, count=2), "b": GumbelTopKEvent(3.0, 1)})
    value = np.zeros(3, dtype=np.int64)
    with pytest.raises(RuntimeError, match="'c' was not booked"):
        releases.gaussian("c", value, 1)
    with pytest.raises(RuntimeError, match="was booked as"):
        releases.gaussian("b", value, 1)
    releases.gaussian("a", value, 1)
    with pytest.raises(RuntimeError, match=r"not made: \['a', 'b'\]"):
        releases.finish()
    releases.gaussian("a", value, 1)
    releases.top_k("b", value, 1)
    releases.finish()
    with pytest.raises(RuntimeError, match="'a' was not booked"):
        releases.gaussian("a", value, 1)


def test_without_noise_the_same_path_is_exact():
    releases = door({"a": None, "m": None, "t": None, "u": None, "never": None})
    value = np.arange(6, dtype=np.int64)
    assert releases.gaussian("a", value, 7).tolist() == value.tolist()
    square = np.arange(9, dtype=np.int64).reshape(3, 3)
    square += square.T
    assert (releases.symmetric("m", square.copy(), 7) == square).all()
    assert releases.top_k("t", value, 2).tolist() == [5, 4]
    assert releases.union("u", value[1:], value[1:], 7, 3).tolist() == [1, 2, 3, 4, 5]
    assert releases.events == []
    with pytest.raises(RuntimeError, match="never"):
        releases.finish()


@pytest.mark.parametrize(
    ("event", "noise"),
    [(GaussianEvent(3.0), "rounded_gaussian"), (ZCDPEvent(1 / 18), "discrete_gaussian")],
)
def test_noise_has_the_booked_size_beside_the_bound(event, noise):
    releases = door({"a": event}, noise=noise)
    drawn = releases.gaussian("a", np.zeros((100, 200), dtype=np.int64), 50)
    assert drawn.dtype == np.int64
    assert drawn.std() == pytest.approx(150, rel=5 / np.sqrt(2 * drawn.size))


@pytest.mark.parametrize("n", [1, 7, 1500])
def test_symmetric_noise_is_symmetric_and_smaller_beside_the_diagonal(n):
    # 1,500 rows come in more than one block.
    releases = door({"m": GaussianEvent(2.0)}, source=SeededNoise(0))
    drawn = releases.symmetric("m", np.zeros((n, n), dtype=np.int64), 1000)
    assert (drawn == drawn.T).all()
    beside = drawn[np.triu_indices(n, 1)]
    if n > 100:
        assert np.diag(drawn).std() == pytest.approx(2000, rel=5 / np.sqrt(2 * n))
        spread = 5 / np.sqrt(2 * len(beside))
        assert beside.std() == pytest.approx(2000 / np.sqrt(2), rel=spread)
        assert np.count_nonzero(beside == 0) < 5 * len(beside) / 2000 + 20
        assert len(np.unique(beside[:2000])) > 1000  # no draw is used twice


def test_many_matrices_are_released_at_once():
    releases = door({"m": GaussianEvent(1.0)})
    drawn = releases.symmetric("m", np.zeros((5, 4, 4), dtype=np.int64), 1 << 20)
    assert drawn.shape == (5, 4, 4)
    assert (drawn == drawn.transpose(0, 2, 1)).all()
    assert len(np.unique(drawn)) == 5 * 10


def test_a_recorder_sees_the_exact_value_and_answers():
    seen = []

    def recorder(name, params, value, release):
        seen.append((name, params, value))
        return "frozen"

    with recorded(recorder):
        assert answer("a", {"b": 1}, "exact", lambda: "noisy") == "frozen"
    assert answer("a", {}, "exact", lambda: "noisy") == "noisy"
    assert seen == [("a", {"b": 1}, "exact")]


# ---------------------------------------------------------------------- whole fits

EVENTS = pd.DataFrame(
    [(user, item) for user in range(50) for item in "abc"], columns=["user_id", "item_id"]
)
ITEMS = pd.DataFrame({"item_id": list("abcdefghij")})
HUGE = 10**400


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (
            DPALS(0.003, n_factors=2, budget_split=(0.05, 0.05, 0.05, 0.85)),
            "'systems' needs noise",
        ),
        (DPTwoTower(4e-6, sample_rate=1.0), "'gradients' needs noise"),
        (DPTopK(1e-6, vocabulary="dp"), "'vocabulary' needs noise"),
        (DPPopularity(1e-7, delta=1e-9), "'counts' needs noise"),
        (DPPopularity(max_items_per_user=HUGE, scaling="shared"), "max_items_per_user must be"),
        (DPPopularity(max_items_per_user=10**19, vocabulary="dp"), "max_items_per_user must be"),
        (DPTwoTower(n_users=HUGE), "n_users must be"),
        (DPTwoTower(n_factors=HUGE), "n_factors must be"),
        (DPEASE(n_users=HUGE), "n_users must be"),
        (DPALS(n_users=HUGE), "n_users must be"),
        (DPALS(n_factors=HUGE), "n_factors must be"),
        (DPALS(max_iter=HUGE), "max_iter must be"),
        (DPTopK(size=HUGE), "size must be"),
        (DPItemKNN(n_neighbors=HUGE), "n_neighbors must be"),
    ],
    ids=str,
)
def test_parameters_that_cannot_be_fitted_cost_nothing(model, match):
    if isinstance(model, DPTwoTower):
        pytest.importorskip("opacus")
    ledger = PrivacyLedger(None, 1e3, 1e-4)
    with pytest.raises(ValueError, match=match):
        model.set_params(ledger=ledger).fit(EVENTS, items=ITEMS)
    assert ledger.entries == ()
    with pytest.raises(ValueError, match="n_users must be"):
        DPMetrics(n_users=HUGE, ledger=ledger).evaluate(None, EVENTS)


def test_a_long_list_of_items_is_no_reason_for_a_private_vocabulary_to_fail():
    model = DPPopularity(8.0, delta=1e-3, vocabulary="dp", max_items_per_user=10**9)
    assert model.fit(EVENTS).item_ids_.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("listed", ["ab", "jk"])
def test_released_items_that_the_catalogue_lacks_have_no_features(listed):
    items = pd.DataFrame({"item_id": list(listed), "kind": ["x", "y"]})
    model = DPALS(50.0, delta=1e-3, vocabulary="dp", n_factors=2, item_features="kind")
    assert np.isfinite(model.fit(EVENTS, items=items).item_factors_).all()
    assert model.item_ids_.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("noise", ["rounded_gaussian", "discrete_gaussian"])
@pytest.mark.parametrize("epsilon", [1e16, 1e40])
def test_an_epsilon_that_asks_for_next_to_no_noise_is_fitted(epsilon, noise):
    model = DPPopularity(epsilon, noise=noise).fit(EVENTS, items=ITEMS)
    assert model.privacy_report_.epsilon == pytest.approx(epsilon)
    assert model.popularity_[:3] == pytest.approx(50 / math.sqrt(3), rel=1e-3)
