"""P3 and P4: what a private fit makes is a function of what it released, and of nothing else.

A fit is recorded on one shop and replayed on another with the same answers. If one user was added,
each statistic may move by its declared bound; whoever was exchanged, nothing else may differ.
"""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from ecomrec import privacy
from ecomrec._registry import ESTIMATORS
from ecomrec.privacy import PrivacyLedger, SeededNoise, record_replay
from ecomrec.privacy.audit._booking import event_of, same_event, single_events
from ecomrec.privacy.audit._recording import Record
from ecomrec.privacy.noise.door import recorded

# Small caps, so that hostile users run into them.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "DPPopularity": [
        {"max_items_per_user": 3},
        {"max_items_per_user": 3, "scaling": "shared", "noise": "discrete_gaussian"},
        {"max_items_per_user": 2, "scaling": "shared"},
    ],
    "DPTopK": [{"size": 4, "max_items_per_user": 3}],
    "DPItemKNN": [{"max_items_per_user": 3}],
    "DPEASE": [{"max_items_per_user": 3}, {"max_items_per_user": 3, "weighting": "weight"}],
    "DPALS": [
        {"max_items_per_user": 3, "n_factors": 2, "weight_exponent": 4.0},
        {"max_items_per_user": 3, "n_factors": 2, "weighting": "weight"},
    ],
}
# Trained by torch: in a file of its own.
ELSEWHERE = {"DPTwoTower"}
CASES = [
    pytest.param(name, options, id=f"{name}-{number}")
    for name, listed in OPTIONS.items()
    for number, options in enumerate(listed)
]
each_model = pytest.mark.parametrize(("name", "options"), CASES)

CATALOG = pd.DataFrame({"item_id": ["axe", "bun", "cup", "día", "eau", "雨傘"]})
EVERYTHING = CATALOG["item_id"].tolist()


def model_of(name, options, **others):
    others = {"epsilon": 2.0, "noise_source": SeededNoise(1), **others}
    return getattr(privacy, name)(**options, **others)


def events(rows):
    """A table of (user, item, weight, day)."""
    users, items, weights, days = zip(*rows, strict=True) if rows else ([], [], [], [])
    return pd.DataFrame(
        {
            "user_id": pd.Series(users, dtype=object),
            "item_id": pd.Series(items, dtype=object),
            "weight": np.array(weights, dtype=np.float64),
            "timestamp": pd.to_datetime(list(days), unit="D"),
        }
    )


def shops(max_users=5):
    """Rows of a few ordinary users."""
    row = st.tuples(
        st.sampled_from([f"u{n}" for n in range(max_users)]),
        st.sampled_from(EVERYTHING),
        st.sampled_from([1.0, 2.0, 0.5]),
        st.integers(0, 3),
    )
    return st.lists(row, max_size=12)


# Times that repeat, weights that are none, that cancel and that are huge, an item of nobody else's.
weights = st.sampled_from(
    [1.0, 1.0, 3.0, 0.0, -1.0, -1e300, 1e300, 1e-320, math.inf, -math.inf, math.nan]
)
hostile_rows = st.lists(
    st.tuples(
        st.just("zoë \U0001f6d2"),
        st.sampled_from([*EVERYTHING, "only mine"]),
        weights,
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=14,
)
everything_at_once = st.just([("zoë", item, 1.0, 0) for item in EVERYTHING * 2])
hostile_users = hostile_rows | everything_at_once


def test_every_private_model_is_replayed():
    shipped = {name for name, home in ESTIMATORS.items() if home == "ecomrec.privacy"}
    assert shipped == set(OPTIONS) | ELSEWHERE


@each_model
@given(shop=shops(), user=hostile_users)
def test_a_hostile_user_moves_each_release_within_its_bound_and_nothing_else(
    name, options, shop, user
):
    report = record_replay(
        model_of(name, options), events(shop + user), events(shop), fit_params={"items": CATALOG}
    )
    assert report.ok, str(report)
    assert report.error is None
    assert report.releases


@each_model
@pytest.mark.filterwarnings("ignore:delta is 0.4")
@settings(max_examples=10)
@given(shop=shops(), user=hostile_users)
def test_the_same_with_a_private_vocabulary(name, options, shop, user):
    # A generous delta, which the fit warns of, so that this few users make a vocabulary at all.
    model = model_of(name, options, vocabulary="dp", epsilon=20.0, delta=0.4)
    shop = shop + [(f"v{n}", item, 1.0, 0) for n in range(8) for item in ("axe", "bun", "cup")]
    report = record_replay(model, events(shop + user), events(shop))
    assert report.ok, str(report)
    assert report.error is None
    assert "vocabulary" in {release.name for release in report.releases}


@each_model
@given(
    matrix=st.lists(st.lists(st.integers(0, 2), min_size=6, max_size=6), min_size=1, max_size=6),
    user=st.lists(st.sampled_from([0.0, 1.0, 2.0, 1e30]), min_size=6, max_size=6),
)
def test_a_row_of_a_matrix_moves_each_release_within_its_bound(name, options, matrix, user):
    before = np.array(matrix, dtype=np.float64)
    report = record_replay(model_of(name, options), np.vstack((before, user)), before)
    assert report.ok, str(report)
    assert report.error is None


# ---------------------------------------------------------------------- P4


def crowd(n_users, seed):
    rng = np.random.default_rng(seed)
    return events(
        [
            (f"w{user}", item, float(rng.integers(1, 9)), int(rng.integers(0, 400)))
            for user in range(n_users)
            for item in rng.choice(EVERYTHING, rng.integers(1, 7), replace=False)
        ]
    )


@each_model
@pytest.mark.parametrize("vocabulary", ["public", "dp"])
@pytest.mark.parametrize(
    "other", [crowd(1, 1), crowd(300, 2), events([])], ids=["one user", "many users", "nobody"]
)
def test_other_people_change_nothing_but_the_statistics(name, options, vocabulary, other):
    # Not neighbours: whatever is read outside of a mechanism would show.
    model = model_of(name, options, vocabulary=vocabulary, delta=0.1)
    params = {"items": CATALOG} if vocabulary == "public" else {}
    report = record_replay(model, crowd(40, 0), other, fit_params=params)
    beyond = [line for line in report.problems if "the statistic moved" not in line]
    assert not beyond, "\n".join(beyond)
    assert report.error is None
    assert any(not release.within for release in report.releases)


@each_model
@pytest.mark.filterwarnings("ignore:delta is 0.1")
@pytest.mark.parametrize("vocabulary", ["public", "dp"])
def test_the_ledger_holds_the_events_of_the_mechanism_calls(name, options, vocabulary):
    ledger = PrivacyLedger(None, 1000.0, 0.5)
    model = model_of(name, options, vocabulary=vocabulary, delta=0.1, ledger=ledger)
    record = Record()
    with recorded(record):
        model.fit(crowd(40, 0), items=CATALOG if vocabulary == "public" else None)
    made = [event_of(call.params) for call in record.calls]
    booked = single_events(ledger.events)
    assert len(booked) == len(made)
    for event in made:
        assert event is not None
        place = next(n for n, other in enumerate(booked) if same_event(other, event))
        booked.pop(place)
    assert not booked
    assert single_events(model.privacy_report_.events) == single_events(ledger.events)


@each_model
def test_without_noise_nothing_is_booked_and_the_same_is_released(name, options):
    exact, noisy = Record(), Record()
    with recorded(noisy):
        model_of(name, options).fit(crowd(40, 0), items=CATALOG)
    ledger = PrivacyLedger(None, 1.0, 1e-5)
    model = model_of(name, options, epsilon=math.inf, ledger=ledger)
    with recorded(exact):
        model.fit(crowd(40, 0), items=CATALOG)
    assert [call.name for call in exact.calls] == [call.name for call in noisy.calls]
    assert not ledger.events
    assert not model.privacy_report_.private


@each_model
def test_every_fit_draws_its_noise_anew_unless_it_is_seeded(name, options):
    def outputs(model):
        record = Record()
        with recorded(record):
            clone(model).fit(crowd(40, 0), items=CATALOG)
        return [np.concatenate([np.ravel(call.output) for call in record.calls])]

    seeded = model_of(name, options)
    assert np.array_equal(outputs(seeded), outputs(seeded))
    secure = model_of(name, options, noise_source=None)
    assert not np.array_equal(outputs(secure), outputs(secure))
