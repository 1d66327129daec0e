"""Audit tools: they find planted bugs, measure in exact integers, and promise no more than holds."""

import logging
import math
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import BaseEstimator

from ecomrec.cf import EASE, Popularity
from ecomrec.data import Interactions
from ecomrec.datasets import make_shop
from ecomrec.exceptions import DataError, UnknownIdError
from ecomrec.privacy import (
    DPPopularity,
    GaussianEvent,
    PrivacyReport,
    SeededNoise,
    SystemNoise,
    empirical_mu,
    epsilon_of,
    membership_inference_report,
    one_run_epsilon,
    privacy_losses,
    record_replay,
    sensitivity_report,
)
from ecomrec.privacy._releases import Releases
from ecomrec.privacy.audit._differences import learned_differences
from ecomrec.privacy.audit._recording import auditable
from ecomrec.privacy.audit.bounds import lower_rate, upper_rate
from ecomrec.privacy.audit.membership import auc_bound, judge, tpr_bound
from ecomrec.privacy.audit.replay import difference, sum_of_squares
from ecomrec.privacy.audit.sensitivity import user_ids, without_user

GRID = 1 << 10


def reported(events):
    return PrivacyReport(
        private=True,
        epsilon=epsilon_of(events, 1e-6),
        delta=1e-6,
        mu=math.sqrt(sum(1 / event.noise_multiplier**2 for event in events)),
        events=tuple(events),
        accountant="auto",
        noise="rounded_gaussian",
        secure_noise=False,
    )


class NoisyCounts(BaseEstimator):
    """Counts of items in two Gaussian releases, right or with one bug of choice."""

    def __init__(self, cap=2, multiplier=1.0, bug=None, noise_source=None, ledger=None):
        self.cap = cap
        self.multiplier = multiplier
        self.bug = bug
        self.noise_source = noise_source
        self.ledger = ledger

    def fit(self, X, y=None, **others):
        rows = np.asarray(X) > 0
        capped = rows & (np.cumsum(rows, axis=1) <= self.cap)
        if self.bug == "no clip":
            capped = rows
        # |x|_2 = sqrt(cap), in units of the grid.
        bound = math.isqrt(self.cap * GRID**2) + 1
        if self.bug == "scale from the data":
            bound += len(rows)
        event = GaussianEvent(self.multiplier)
        plan = {"first": event, "second": event}
        if self.multiplier == 0:
            plan = {"first": None, "second": None}
        source = SystemNoise() if self.noise_source is None else self.noise_source.fresh()
        made = Releases(
            plan, ledger=self.ledger, source=source, noise="rounded_gaussian", label="counts"
        )
        counts = capped.sum(axis=0) * GRID
        self.first_ = made.gaussian("first", counts, bound)
        self.second_ = made.gaussian("second", counts, bound)
        made.finish()
        booked = [event] if self.bug == "not booked" else [event, event]
        if self.multiplier:
            self.privacy_report_ = reported(booked)
        self._spoil(rows)
        return self

    def _spoil(self, rows):
        if self.bug == "one more release" and rows.sum() % 2:
            plan = {"third": GaussianEvent(1.0)}
            made = Releases(
                plan, ledger=None, source=SeededNoise(0), noise="rounded_gaussian", label=""
            )
            made.gaussian("third", rows.sum(axis=0), 1)
        if self.bug == "stored":
            self.n_users_ = len(rows)
        if self.bug == "stored deep":
            self.kept_ = {"lists": [rows.sum(axis=0) > 1]}
        if self.bug == "warning" and rows.sum() % 2:
            warnings.warn("an odd shop", UserWarning, stacklevel=2)
        if self.bug == "log line":
            logging.getLogger("ecomrec.test").debug("%d users", len(rows))
        if self.bug == "error" and not rows.sum() % 2:
            raise ValueError("an even shop")


SHOP = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])


# ---------------------------------------------------------------------- record and replay


@pytest.mark.parametrize("left_out", range(4))
def test_a_right_fit_passes_the_replay(left_out):
    report = record_replay(NoisyCounts(), SHOP, np.delete(SHOP, left_out, axis=0))
    assert report.ok, str(report)
    assert [r.name for r in report.releases] == ["first", "second"]
    assert report.releases[0].power == min(SHOP[left_out].sum(), 2) * GRID**2
    assert report.releases[0].bound == 1449
    assert "2 releases, each within its bound" in str(report)


@pytest.mark.parametrize(
    ("bug", "words"),
    [
        ("no clip", "first: the statistic moved by 1773.6.* in l2, declared 1449"),
        ("scale from the data", r"parameter differs: first\.sigma is 145\d\.0, and 145\d\.0"),
        ("not booked", "booking differs: GaussianEvent.* was released and not booked"),
        ("one more release", "control flow differs: 2 releases, and 3|release 3 is 'third'"),
        ("stored", "attribute differs: n_users_"),
        ("stored deep", r"attribute differs: kept_\.lists\[0\]"),
        ("warning", "message differs: UserWarning: an odd shop"),
        ("log line", "message differs: log: 4 users"),
        ("error", "control flow differs: ended with ValueError: an even shop, and with a model"),
    ],
)
def test_each_bug_is_found_by_its_name(bug, words):
    # The first user has three items: the parity of the shop changes with them.
    report = record_replay(NoisyCounts(bug=bug), SHOP[[0, 1, 2, 3, 3]], SHOP[[1, 2, 3, 3]])
    report = report if not report.ok else record_replay(NoisyCounts(bug=bug), SHOP, SHOP[1:])
    assert not report.ok
    assert len(report.problems) >= 1
    assert pd.Series(report.problems).str.contains(words).any(), report.problems


def test_fits_that_fail_prove_nothing():
    report = record_replay(NoisyCounts(bug="error"), SHOP[1:], SHOP[[1, 3]])
    assert not report.problems
    assert not report.ok
    assert report.error == "ValueError: an even shop"
    assert str(report) == "Both fits ended with ValueError: an even shop"
    with pytest.raises(DataError, match="pass the catalogue"):
        sensitivity_report(DPPopularity(), pd.DataFrame({"user_id": [1, 2], "item_id": [1, 1]}))


def test_noise_that_is_not_seeded_is_for_an_audit():
    assert record_replay(NoisyCounts(noise_source=SystemNoise()), SHOP, SHOP[1:]).ok
    seeded = auditable(NoisyCounts(noise_source=SystemNoise())).noise_source
    assert not seeded.secure
    assert auditable(NoisyCounts(noise_source=SeededNoise(7))).noise_source.seed == 7


def test_the_audit_charges_no_ledger_and_changes_no_estimator():
    class Ledger:
        def charge(self, events, *, label):
            raise AssertionError("an audit releases nothing")

        def __sklearn_clone__(self):
            return self

    model = NoisyCounts(ledger=Ledger())
    assert record_replay(model, SHOP, SHOP[1:]).ok
    assert not hasattr(model, "first_")
    assert model.ledger is not None


def test_a_model_without_privacy_differs_in_what_it_holds():
    report = record_replay(Popularity(), SHOP, SHOP[1:])
    assert report.releases == ()
    assert not report.ok
    assert any(path.startswith("_state") for path in report.changed_attributes)


def test_statistics_of_different_shapes_are_beyond_any_bound():
    assert difference(np.arange(3), np.arange(4)) is None
    assert difference(np.arange(3.0), np.arange(3.0)) is None


def test_statistics_over_ids_are_compared_by_id():
    one = np.array(["a", "b"]), np.array([5, 1])
    other = np.array(["b", "c"]), np.array([1, 2])
    moved = difference(one, other)
    assert moved is not None
    assert sorted(moved.tolist()) == [-2, 0, 5]


@given(st.lists(st.integers(-(2**40), 2**40), max_size=20))
def test_sums_of_squares_are_exact(values):
    assert sum_of_squares(np.array(values, dtype=np.int64)) == sum(v * v for v in values)


def test_sums_of_squares_do_not_overflow():
    values = np.full(1000, 2**31 - 1)
    assert sum_of_squares(values) == 1000 * (2**31 - 1) ** 2


class Holder:
    def __init__(self, **values):
        self.__dict__.update(values)


@pytest.mark.parametrize(
    ("one", "other", "paths"),
    [
        ({"a_": 1.0}, {"a_": 1.0}, []),
        ({"a_": math.nan}, {"a_": math.nan}, []),
        ({"a_": np.array([math.nan])}, {"a_": np.array([math.nan])}, []),
        ({"a_": np.array([0.0])}, {"a_": np.array([-0.0])}, ["a_"]),
        ({"a_": np.array([1])}, {"a_": np.array([1.0])}, ["a_"]),
        ({"a_": 1}, {"b_": 1}, ["a_", "b_"]),
        ({"a_": [1, {2: "x"}]}, {"a_": [1, {2: "y"}]}, ["a_[1].2"]),
        ({"a_": [1]}, {"a_": [1, 2]}, ["a_"]),
        ({"a_": {1, 2}}, {"a_": {1}}, ["a_"]),
        ({"a_": np.array(["x", None])}, {"a_": np.array(["x", 0], object)}, ["a_"]),
        ({"a_": sp.eye_array(2, format="csr")}, {"a_": sp.eye_array(2, format="csr")}, []),
        ({"a_": sp.eye_array(2)}, {"a_": 2 * sp.eye_array(2)}, ["a_"]),
        ({"a_": pd.Series([1])}, {"a_": pd.Series([2])}, ["a_"]),
        ({"a_": Holder(b=Holder(c=1))}, {"a_": Holder(b=Holder(c=2))}, ["a_.b.c"]),
        ({"a_": len}, {"a_": max}, ["a_"]),
        ({"a_": GaussianEvent(1.0)}, {"a_": GaussianEvent(2.0)}, ["a_.noise_multiplier"]),
    ],
)
def test_differences_are_named_by_their_path(one, other, paths):
    assert learned_differences(Holder(**one), Holder(**other)) == paths


def test_attributes_that_are_computed_when_asked_are_compared():
    class Model:
        @property
        def hidden_(self):
            return secrets[id(self)]

    one, other = Model(), Model()
    secrets = {id(one): np.array([1.0]), id(other): np.array([2.0])}
    assert learned_differences(one, other) == ["hidden_"]


# ---------------------------------------------------------------------- sensitivities


def test_every_user_is_left_out_once():
    report = sensitivity_report(NoisyCounts(), SHOP)
    assert report.ok
    assert report.n_users == 4
    table = report.to_frame()
    assert table["release"].tolist() == ["first", "second"]
    assert table["largest"].tolist() == pytest.approx([math.sqrt(2) * GRID] * 2)
    assert "nothing was found" in str(report)


def test_the_user_who_moves_a_release_too_far_is_found():
    report = sensitivity_report(NoisyCounts(bug="no clip"), SHOP)
    assert list(report.reports) == [0]
    assert report.n_beyond == (1, 1)
    assert report.largest[0].distance == pytest.approx(math.sqrt(3) * GRID)
    assert "something was found for 1 of them" in str(report)


def test_users_may_be_named():
    assert sensitivity_report(NoisyCounts(bug="no clip"), SHOP, users=[1, 2]).ok
    with pytest.raises(UnknownIdError, match="user not in the data: 9"):
        sensitivity_report(NoisyCounts(), SHOP, users=[9])


EVENTS = {"user_id": ["b", "a", "b", "c"], "item_id": [1, 2, 3, 3]}


@pytest.mark.parametrize(
    "make",
    [pd.DataFrame, pl.DataFrame, lambda d: pl.DataFrame(d).to_arrow()],
    ids=["pandas", "polars", "arrow"],
)
def test_a_user_is_left_out_of_any_table(make):
    table = make(EVENTS)
    assert user_ids(table) == ["a", "b", "c"]
    left = pl.DataFrame(without_user(table, "b"))
    assert left["user_id"].to_list() == ["a", "c"]
    assert left["item_id"].to_list() == [2, 3]


def test_a_user_is_left_out_of_a_matrix_and_of_interactions():
    assert without_user(SHOP, 1).tolist() == SHOP[[0, 2, 3]].tolist()
    assert without_user(sp.csr_array(SHOP), 1).toarray().tolist() == SHOP[[0, 2, 3]].tolist()
    shop = Interactions.from_table(pd.DataFrame(EVENTS))
    assert user_ids(shop) == ["a", "b", "c"]
    left = without_user(shop, "b")
    assert left.user_ids.tolist() == ["a", "c"]
    assert left.item_ids.tolist() == [1, 2, 3]
    with pytest.raises(UnknownIdError, match="user not in the data: 'z'"):
        without_user(shop, "z")


# ---------------------------------------------------------------------- bounds


@pytest.mark.parametrize(("k", "n"), [(0, 20), (3, 20), (20, 20)])
def test_rates_are_those_of_clopper_and_pearson(k, n):
    interval = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    assert float(upper_rate(np.array(k), n, 0.025)) == pytest.approx(interval.high)
    assert float(lower_rate(np.array(k), n, 0.025)) == pytest.approx(interval.low)


def test_empirical_mu_is_rarely_above_the_truth():
    rng = np.random.default_rng(0)
    found = [empirical_mu(rng.normal(1.0, 1, 1000), rng.normal(0, 1, 1000)).mu for _ in range(200)]
    assert np.mean(np.array(found) > 1.0) <= 0.05
    assert np.median(found) > 0.6


def test_empirical_mu_finds_halved_noise():
    rng = np.random.default_rng(1)
    found = [empirical_mu(rng.normal(2.0, 1, 1000), rng.normal(0, 1, 1000)).mu for _ in range(50)]
    assert min(found) > 1.0


def test_empirical_mu_is_the_formula_on_the_other_half():
    present, absent = np.arange(40.0) + 30, np.arange(40.0)
    bound = empirical_mu(present, absent, confidence=0.9)
    alarms, missed = (
        (absent[1::2] >= bound.threshold).sum(),
        (present[1::2] < bound.threshold).sum(),
    )
    fpr = stats.binomtest(int(alarms), 20).proportion_ci(0.9, method="exact").high
    fnr = stats.binomtest(int(missed), 20).proportion_ci(0.9, method="exact").high
    assert bound.false_positive_rate == pytest.approx(fpr)
    assert bound.false_negative_rate == pytest.approx(fnr)
    assert bound.mu == pytest.approx(stats.norm.ppf(1 - fpr) - stats.norm.ppf(fnr))
    assert bound.n_scores == 40


def test_scores_that_say_nothing_prove_nothing():
    assert empirical_mu([1.0] * 10, [1.0] * 10).mu == 0.0


@pytest.mark.parametrize(
    ("given_scores", "words"),
    [
        ([1.0], "scores_with must be at least 4 numbers in one dimension; got shape"),
        ([[1.0] * 4], "got shape"),
        ([1.0, math.nan, 2.0, 3.0], "scores_with has 1 NaN"),
    ],
)
def test_bad_scores_are_named(given_scores, words):
    with pytest.raises(ValueError, match=words):
        empirical_mu(given_scores, [1.0] * 4)


def p_value(m, r, v, epsilon, delta):
    """The theorem's bound, term by term."""
    q = math.exp(epsilon) / (1 + math.exp(epsilon))
    beta = stats.binom.sf(v - 1, r, q)
    gains = [(sum(stats.binom.pmf(j, r, q) for j in range(v - i, v))) / i for i in range(1, v + 1)]
    return min(1.0, beta + 2 * m * delta * max(gains, default=0.0))


@pytest.mark.parametrize(
    ("m", "r", "v", "delta"), [(100, 50, 45, 1e-5), (40, 40, 36, 0.0), (1000, 100, 100, 1e-4)]
)
def test_one_run_epsilon_is_where_the_theorem_stops_refuting(m, r, v, delta):
    epsilon = one_run_epsilon(m, r, v, delta=delta)
    assert p_value(m, r, v, epsilon, delta) == pytest.approx(0.05, rel=1e-6)


def test_guesses_no_better_than_a_coin_prove_nothing():
    assert one_run_epsilon(100, 100, 50) == 0.0
    assert one_run_epsilon(100, 0, 0) == 0.0


def test_one_run_epsilon_is_rarely_above_the_truth():
    # Randomised response with epsilon 1 on 200 canaries: each guess is right with rate q.
    rng = np.random.default_rng(2)
    right = rng.binomial(200, math.e / (1 + math.e), size=200)
    found = [one_run_epsilon(200, 200, int(v)) for v in right]
    # 5 % may be, and 200 tries show up to 3 standard errors more.
    assert np.mean(np.array(found) > 1.0) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert np.median(found) > 0.5


@pytest.mark.parametrize(
    ("numbers", "options", "words"),
    [
        ((10, 11, 5), {}, "0 <= n_correct <= n_guesses <= n_canaries; got 5, 11 and 10"),
        ((10, 5, 6), {}, "got 6, 5 and 10"),
        ((10, 5, 5), {"delta": 1.0}, "delta must be at least 0 and below 1; got 1.0"),
        ((10, 5, 5), {"confidence": 1.0}, "confidence must be between 0 and 1; got 1.0"),
    ],
)
def test_impossible_numbers_are_refused(numbers, options, words):
    with pytest.raises(ValueError, match=words):
        one_run_epsilon(*numbers, **options)


# ---------------------------------------------------------------------- likelihood ratios


def test_privacy_losses_have_the_law_of_gaussian_releases():
    # Two releases of multiplier 2: mu^2 = 2 / 4, and the loss is N(+-mu^2 / 2, mu^2).
    model = NoisyCounts(cap=1, multiplier=2.0)
    inside, outside = privacy_losses(model, SHOP, SHOP[1:], 400)
    for losses, mean in ((inside, 0.25), (outside, -0.25)):
        assert losses.mean() == pytest.approx(mean, abs=4 * math.sqrt(0.5 / 400))
        assert losses.var() == pytest.approx(0.5, rel=4 * math.sqrt(2 / 400))


def test_privacy_losses_repeat_by_their_seed():
    one, other, third = (
        privacy_losses(NoisyCounts(), SHOP, SHOP[1:], 3, seed=seed)[0] for seed in (0, 0, 1)
    )
    assert (one == other).all()
    assert (one != third).any()


class Adaptive(NoisyCounts):
    """The second statistic depends on what the first release was."""

    def fit(self, X, y=None, **others):
        event = GaussianEvent(self.multiplier)
        made = Releases(
            {"first": event, "second": event},
            ledger=None,
            source=self.noise_source.fresh(),
            noise="rounded_gaussian",
            label="adaptive",
        )
        counts = np.asarray(X).sum(axis=0) * GRID
        sign = 1 if made.gaussian("first", counts, GRID)[0] % 2 else -1
        made.gaussian("second", sign * counts, GRID)
        return self


def test_privacy_losses_of_an_adaptive_fit_are_replayed():
    shop = np.eye(3, dtype=np.int64)
    inside, outside = privacy_losses(Adaptive(multiplier=2.0), shop, shop[1:], 400)
    assert inside.mean() == pytest.approx(0.25, abs=4 * math.sqrt(0.5 / 400))
    assert outside.mean() == pytest.approx(-0.25, abs=4 * math.sqrt(0.5 / 400))


# ---------------------------------------------------------------------- membership inference


def test_auc_and_rates_are_those_of_a_plain_count():
    rng = np.random.default_rng(3)
    inside, outside = rng.normal(0.5, 1, 60).round(1), rng.normal(0, 1, 80).round(1)
    result = judge("score", inside, outside, (0.1,), 0.95)
    pairs = inside[:, None] - outside[None, :]
    assert result.auc == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert result.auc_interval[0] < result.auc < result.auc_interval[1]
    threshold = np.sort(outside)[::-1][8]
    assert (outside > threshold).mean() <= 0.1
    assert result.tpr[0] == (inside > threshold).mean()
    assert result.tpr_intervals[0][0] < result.tpr[0] < result.tpr_intervals[0][1]


def test_auc_intervals_cover_the_truth():
    rng = np.random.default_rng(4)
    truth = stats.norm.cdf(0.5 / math.sqrt(2))
    hits = [
        low <= truth <= high
        for low, high in (
            judge("", rng.normal(0.5, 1, 100), rng.normal(0, 1, 100), (), 0.9).auc_interval
            for _ in range(300)
        )
    ]
    assert 0.84 < np.mean(hits) < 0.96


def test_bounds_on_attacks_follow_the_report():
    gaussian = reported([GaussianEvent(2.0)])
    assert auc_bound(gaussian) == pytest.approx(stats.norm.cdf(0.5 / math.sqrt(2)))
    assert tpr_bound(gaussian, 0.1) == pytest.approx(stats.norm.cdf(stats.norm.ppf(0.1) + 0.5))
    assert auc_bound(None) == 1.0
    assert tpr_bound(None, 0.1) == 1.0


def test_bounds_by_epsilon_and_delta_are_the_area_under_the_trade_off():
    report = Holder(private=True, mu=None, epsilon=1.2, delta=0.01)
    rates = np.linspace(0, 1, 200_001)
    tradeoff = np.maximum.reduce(
        [0 * rates, 0.99 - math.exp(1.2) * rates, math.exp(-1.2) * (0.99 - rates)]
    )
    assert auc_bound(report) == pytest.approx(1 - np.trapezoid(tradeoff, rates), abs=1e-6)
    for place in (100, 20_000, 150_000):
        assert tpr_bound(report, rates[place]) == pytest.approx(1 - tradeoff[place], abs=1e-6)


@pytest.mark.parametrize("epsilon", [709.0, 800.0, 1e300, math.inf])
def test_attacks_on_a_claim_that_says_nothing_may_find_everybody(epsilon):
    report = PrivacyReport(True, epsilon, 1e-6, None, (), "auto", "gumbel", True)
    assert auc_bound(report) == tpr_bound(report, 0.1) == 1.0


@pytest.fixture(scope="module")
def people():
    events = make_shop(600, 200, random_state=0).events[["user_id", "item_id"]]
    inside = events["user_id"] % 2 == 0
    return events[inside], events[~inside]


def test_members_of_a_model_that_learns_by_heart_are_found(people):
    report = membership_inference_report(EASE(0.1), *people)
    assert [a.attack for a in report.attacks] == ["score", "list"]
    score, by_list = report.attacks
    assert score.auc_interval[0] > 0.6
    assert 0.4 < by_list.auc < 0.7
    assert (score.n_members, score.n_nonmembers) == (300, 300)
    assert (by_list.n_members, by_list.n_nonmembers) == (150, 150)
    table = report.to_frame()
    assert table["measure"].tolist()[:3] == ["AUC", "TPR at FPR 0.01", "TPR at FPR 0.1"]
    assert (table["bound"] == 1.0).all()
    assert "TPR at FPR 0.1" in str(report)


class ByHeart:
    """Recommends neighbours of their items to people it knows, and the same to all others."""

    item_ids_ = np.arange(60)
    privacy_report_ = None

    def __init__(self, known):
        self.known = {tuple(history) for history in known}

    def __sklearn_is_fitted__(self):
        return True

    def recommend(self, history, k, **options):
        lists = [
            [(item + 1) % 60 for item in items[:k]] if tuple(items) in self.known else range(k)
            for items in history
        ]
        return Holder(items=np.array([list(row) for row in lists]))


def test_lists_alone_give_members_away():
    # A line of items; histories and what is recommended to members lie in one place of it.
    rng = np.random.default_rng(6)
    starts = rng.integers(20, 50, size=200)
    people = [(start + rng.permutation(8)).tolist() for start in starts]
    vectors = np.arange(60), np.linspace(0, 1, 60)[:, None]
    model = ByHeart(people[:100])
    report = membership_inference_report(
        model, people[:100], people[100:], k=5, attacks=["list"], item_vectors=vectors
    )
    assert report.attacks[0].auc_interval[0] > 0.9


def test_people_may_be_lists_and_the_model_fitted(people):
    model = EASE(0.1).fit(people[0])
    lists = [list(part.groupby("user_id")["item_id"].agg(list)) for part in people]
    one = membership_inference_report(model, *lists, attacks=["score"])
    other = membership_inference_report(model, *people, attacks=["score"])
    assert one.attacks[0].auc == other.attacks[0].auc
    with pytest.raises(DataError, match="members must be a table of events"):
        membership_inference_report(EASE(), *lists)


def test_a_model_of_other_people_gives_nobody_away(people):
    inside, outside = people
    strangers = outside["user_id"] % 4 == 1
    vectors = np.arange(200), np.random.default_rng(0).normal(size=(200, 4))
    report = membership_inference_report(
        EASE(0.1).fit(inside), outside[strangers], outside[~strangers], item_vectors=vectors
    )
    for result in report.attacks:
        assert result.auc_interval[0] < 0.55
        assert result.auc_interval[1] > 0.45


def test_bad_attacks_are_named(people):
    with pytest.raises(ValueError, match=r"attacks must be among \['score', 'list'\]; got 'x'"):
        membership_inference_report(EASE(), *people, attacks=["x"])


def test_an_audit_needs_noise():
    model = NoisyCounts(multiplier=0.0)
    with pytest.raises(ValueError, match="noise"):
        privacy_losses(model, SHOP, SHOP[1:], 2)
