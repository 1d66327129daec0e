"""P11: a user is the sample, clipped alone, drawn by a coin of their own, and noise is booked."""

import math
import pickle
import re
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

import ecomrec
from ecomrec.datasets import make_shop
from ecomrec.exceptions import BudgetExceededError, DataError
from ecomrec.privacy import (
    DPPopularity,
    DPTwoTower,
    GaussianEvent,
    PoissonSampledGaussianEvent,
    PrivacyLedger,
    SeededNoise,
    _opacus,
    epsilon_of,
    record_replay,
)
from ecomrec.privacy.audit._booking import event_of, same_event, single_events
from ecomrec.privacy.audit._recording import Record
from ecomrec.privacy.bounding import PrivateRows
from ecomrec.privacy.noise.door import recorded

torch = pytest.importorskip("torch", reason="needs the extra ecomrec[opacus]")
pytest.importorskip("opacus", reason="needs the extra ecomrec[opacus]")

N_ITEMS, N_FACTORS = 12, 5
SHOP = make_shop(300, 40, 6000, 4, random_state=0)
EVENTS, ITEMS = SHOP.events[["user_id", "item_id"]], SHOP.items
QUICK = {"max_iter": 3, "n_factors": 4, "noise_source": SeededNoise(0)}


def world(n_users=9, seed=0):
    """Histories, vectors, biases, a head that is no start, and what is hidden."""
    rng = np.random.default_rng(seed)
    rows = sp.csr_array((rng.random((n_users, N_ITEMS)) < 0.4).astype(np.float64))
    vectors = rng.standard_normal((N_ITEMS, N_FACTORS))
    head = _opacus.Head(
        rng.standard_normal((N_FACTORS, N_FACTORS)),
        rng.standard_normal((N_FACTORS, N_FACTORS)),
        rng.standard_normal(N_FACTORS),
    )
    return rows, vectors, rng.standard_normal(N_ITEMS), head, rng.random(N_ITEMS) < 0.5


def clipped_sum(rows, vectors, biases, head, hidden, clip_norm):
    """What one step hands over to be released, in units of the gradient."""
    handed = []

    def release(exact):
        handed.append(exact)
        return exact

    schedule = _opacus.Schedule(1, 1.0, 1.0, clip_norm, 0.01)
    training = _opacus.prepared(head, schedule, release)
    _opacus.take_step(training, rows, vectors, biases, hidden)
    (exact,) = handed
    assert exact.dtype == np.int64
    return exact * (clip_norm / _opacus.GRID)


def gradient_of_one(row, vectors, biases, head, hidden):
    """The gradient of one user's loss by plain autograd, and the loss written out."""
    weights = [torch.tensor(part, requires_grad=True) for part in head]
    user, item, offset = weights
    seen, wanted = row[~hidden], row[hidden]
    mean = torch.tensor(vectors[~hidden].T @ (seen / max(seen.sum(), 1.0)))
    candidates = torch.tensor(vectors[hidden])
    scores = candidates @ item @ (user @ mean) + candidates @ offset + torch.tensor(biases[hidden])
    shares = torch.tensor(wanted / max(wanted.sum(), 1.0))
    loss = -(shares * (scores - scores.logsumexp(0))).sum()
    return np.concatenate([g.numpy().ravel() for g in torch.autograd.grad(loss, weights)])


@pytest.mark.parametrize("clip_norm", [0.05, 1.0, 1000.0])
def test_the_sum_is_of_gradients_of_single_users_each_cut(clip_norm):
    rows, vectors, biases, head, hidden = world()
    found = clipped_sum(rows, vectors, biases, head, hidden, clip_norm)
    alone = [gradient_of_one(row, vectors, biases, head, hidden) for row in rows.toarray()]
    lengths = np.array([np.linalg.norm(gradient) for gradient in alone])
    if clip_norm == 1.0:
        assert (lengths > 1).any()
        assert (lengths < 1).any()
    cut = [g * min(1.0, clip_norm / (n + 1e-6)) for g, n in zip(alone, lengths, strict=True)]
    np.testing.assert_allclose(found, np.sum(cut, axis=0), atol=1e-8 * clip_norm)


def test_a_users_part_does_not_depend_on_who_else_takes_part():
    rows, vectors, biases, head, hidden = world()
    others = world(seed=5)[0]
    parts = []
    for company in (rows[1:], others, others[:1], rows[:0]):
        both = sp.csr_array(sp.vstack([rows[:1], company]))
        with_me = clipped_sum(both, vectors, biases, head, hidden, 0.5)
        parts.append(with_me - clipped_sum(company, vectors, biases, head, hidden, 0.5))
    for part in parts[:-1]:
        np.testing.assert_allclose(part, parts[-1], atol=1e-8)
    assert np.linalg.norm(parts[0]) > 1e-3


extremes = st.lists(
    st.lists(st.sampled_from([0.0, 1.0]), min_size=N_ITEMS, max_size=N_ITEMS),
    min_size=1,
    max_size=6,
)


@settings(max_examples=25)
@given(extremes, st.sampled_from([1e-6, 1.0, 1e6]), st.sampled_from([0.01, 1.0, 100.0]))
def test_one_user_moves_the_integer_sum_by_no_more_than_the_bound(matrix, size, clip_norm):
    _, vectors, biases, head, hidden = world()
    head = _opacus.Head(*(part * size for part in head))
    rows = sp.csr_array(np.array(matrix))
    sums = [
        clipped_sum(part, vectors, biases, head, hidden, clip_norm) for part in (rows, rows[1:])
    ]
    steps = [np.rint(total * (_opacus.GRID / clip_norm)).astype(np.int64) for total in sums]
    moved = sum(int(v) ** 2 for v in (steps[0] - steps[1]).tolist())
    assert moved <= _opacus.BOUND**2


def test_blocks_of_a_sample_add_up():
    rows, vectors, biases, head, hidden = world(23)
    whole = clipped_sum(rows, vectors, biases, head, hidden, 0.5)
    with mock.patch.object(_opacus, "_BLOCK_BYTES", 8 * 5 * int(hidden.sum())):
        in_blocks = clipped_sum(rows, vectors, biases, head, hidden, 0.5)
    np.testing.assert_allclose(in_blocks, whole, atol=1e-8)


def test_an_empty_sample_gives_a_sum_of_zeros():
    rows, vectors, biases, head, hidden = world()
    for some in (hidden, np.zeros(N_ITEMS, dtype=bool), np.ones(N_ITEMS, dtype=bool)):
        assert not clipped_sum(rows[:0], vectors, biases, head, some, 0.5).any()
    # Nor can anybody be told anything by where nothing, or everything, is hidden.
    everything = clipped_sum(rows, vectors, biases, head, np.ones(N_ITEMS, dtype=bool), 0.5)
    assert np.isfinite(everything).all()


@pytest.mark.parametrize("n_users", [0, 1, 9])
def test_the_sum_is_divided_by_the_expected_size_whoever_came(n_users):
    rows, vectors, biases, head, hidden = world()
    n_weights = 2 * N_FACTORS**2 + N_FACTORS
    released = np.arange(n_weights) * _opacus.GRID
    schedule = _opacus.Schedule(1, 0.1, 40.0, 2.0, 0.01)
    training = _opacus.prepared(head, schedule, lambda exact: released)
    steps = []
    inner = training.optimizer.original_optimizer
    take = inner.step

    def watched(*args, **kwargs):
        parameters = training.module.parameters()
        steps.append(np.concatenate([p.grad.numpy().ravel() for p in parameters]))
        return take(*args, **kwargs)

    with mock.patch.object(inner, "step", watched):
        _opacus.take_step(training, rows[:n_users], vectors, biases, hidden)
    np.testing.assert_allclose(steps[0], np.arange(n_weights) * 2.0 / 40.0)
    assert len(steps) == 1


def test_only_linear_layers_are_trained_and_opacus_accepts_them():
    validators = pytest.importorskip("opacus.validators")
    _, _, _, head, _ = world()
    schedule = _opacus.Schedule(1, 0.1, 1.0, 1.0, 0.01)
    training = _opacus.prepared(head, schedule, lambda exact: exact)
    towers = training.module._module
    assert validators.ModuleValidator.validate(towers, strict=True) == []
    assert [type(layer) for layer in towers.modules()] == [
        torch.nn.Sequential, torch.nn.Linear, torch.nn.Linear,
    ]  # fmt: skip
    assert not list(towers.buffers())
    sizes = [tuple(parameter.shape) for parameter in towers.parameters()]
    assert sizes == [(N_FACTORS, N_FACTORS), (N_FACTORS, N_FACTORS), (N_FACTORS,)]


# ---------------------------------------------------------------------- the sample


def private_rows(matrix):
    rows = sp.csr_array(np.array(matrix, dtype=np.float64))
    return PrivateRows(
        rows.indptr.astype(np.int64), rows.indices.astype(np.int32), rows.data.copy()
    )


def keys(steps, seed=0):
    return SeededNoise(seed).fresh().words(2 * (steps + 1)).reshape(-1, 2)


def test_everybody_is_drawn_by_a_coin_of_their_own():
    n_users, steps, rate = 200, 2000, 0.03
    matrix = np.zeros((n_users, N_ITEMS))
    matrix[:100, 3] = 1  # a hundred people with the same history
    matrix[100:] = np.random.default_rng(0).random((100, N_ITEMS)) < 0.5
    draw = _opacus.PoissonSampler(private_rows(matrix), rate, keys(steps))
    taken = np.zeros((steps, n_users), dtype=bool)
    for step in range(steps):
        taken[step, draw(step)] = True
    sizes = taken.sum(axis=1)
    assert sizes.min() == 0  # a Poisson sample may be empty
    # Binomial: the mean of the sizes, and their variance, within five standard errors.
    assert sizes.mean() == pytest.approx(n_users * rate, abs=5 * 2.41 / steps**0.5)
    assert sizes.var() == pytest.approx(n_users * rate * (1 - rate), rel=5 * (2 / steps) ** 0.5)
    each = taken.mean(axis=0)
    assert abs(each - rate).max() < 5 * (rate * (1 - rate) / steps) ** 0.5
    # No two people come together, also those with the same history, and nobody twice in a row.
    together = np.corrcoef(taken.T.astype(np.float64))
    np.fill_diagonal(together, 0)
    assert abs(together).max() < 6 / steps**0.5
    again = (taken[1:] & taken[:-1]).mean()
    assert again == pytest.approx(rate**2, rel=0.1)


def test_coins_stay_when_others_come_and_go():
    matrix = (np.random.default_rng(1).random((40, N_ITEMS)) < 0.4).astype(np.float64)
    matrix[5] = matrix[6]
    everybody = _opacus.PoissonSampler(private_rows(matrix), 0.5, keys(5))
    left = np.delete(np.arange(40), 17)
    fewer = _opacus.PoissonSampler(private_rows(matrix[left]), 0.5, keys(5))
    for step in range(5):
        before = [user for user in everybody(step) if user != 17]
        assert left[fewer(step)].tolist() == before
    whole = _opacus.PoissonSampler(private_rows(matrix), 1.0, keys(5))
    assert whole(0).tolist() == list(range(40))


def test_the_sample_is_drawn_with_the_rate_that_is_booked():
    drawn, sizes = _opacus.PoissonSampler.__call__, []

    def watched(sampler, step):
        users = drawn(sampler, step)
        sizes.append((sampler._rate, len(users)))
        return users

    model = DPTwoTower(**QUICK | {"max_iter": 40}, sample_rate=0.3)
    with mock.patch.object(_opacus.PoissonSampler, "__call__", watched):
        model.fit(EVENTS, items=ITEMS)
    event = model.privacy_report_.events[-1]
    assert isinstance(event, PoissonSampledGaussianEvent)
    assert (event.sample_rate, event.count) == (0.3, 40)
    assert {rate for rate, _ in sizes} == {0.3}
    n = EVENTS["user_id"].nunique()
    mean = np.mean([size for _, size in sizes])
    assert mean == pytest.approx(0.3 * n, abs=5 * (0.21 * n / 40) ** 0.5)
    assert len({size for _, size in sizes}) > 10  # no batches of a fixed size


# ---------------------------------------------------------------------- noise and books


def test_noise_on_the_sum_is_what_is_booked():
    record = Record()
    model = DPTwoTower(**QUICK | {"n_factors": 16, "max_iter": 20}, clip_norm=7.0)
    with recorded(record):
        model.fit(EVENTS.head(0), items=ITEMS)  # nobody: the sums are zeros
    made = [call for call in record.calls if call.name == "gradients"]
    assert len(made) == 20
    noise = np.concatenate([call.output for call in made]) / _opacus.BOUND
    assert not any(np.any(call.value) for call in made)
    event = model.privacy_report_.events[-1]
    std = event.noise_multiplier
    assert noise.std() == pytest.approx(std, rel=5 / (2 * len(noise)) ** 0.5)
    assert abs(noise.mean()) < 5 * std / len(noise) ** 0.5


@pytest.mark.parametrize("sample_rate", [0.2, 1.0])
@pytest.mark.parametrize("n_users", [None, 300])
def test_what_is_booked_is_epsilon_and_what_is_released(sample_rate, n_users):
    ledger, record = PrivacyLedger(None, 50.0, 1e-5), Record()
    model = DPTwoTower(2.0, **QUICK, sample_rate=sample_rate, n_users=n_users, ledger=ledger)
    with recorded(record):
        model.fit(EVENTS, items=ITEMS)
    report = model.privacy_report_
    assert report.epsilon == pytest.approx(2.0, rel=1e-6)
    assert epsilon_of(ledger.events, 1e-6) == pytest.approx(2.0, rel=1e-6)
    assert list(report.events) == list(ledger.events)
    booked = single_events(report.events)
    for call in record.calls:
        event = event_of(call.params)
        place = next(n for n, other in enumerate(booked) if same_event(other, event))
        booked.pop(place)
    assert not booked
    kind = PoissonSampledGaussianEvent if sample_rate < 1 else GaussianEvent
    assert isinstance(report.events[-1], kind)
    assert any("doubles" in line for line in report.not_covered)


def test_a_crash_in_the_middle_of_training_has_been_charged():
    ledger = PrivacyLedger(None, 1.2, 1e-6)
    model = DPTwoTower(1.0, **QUICK, ledger=ledger)
    take, calls = _opacus.take_step, []

    def crash(*args):
        calls.append(args)
        if len(calls) == 2:
            raise RuntimeError("power cut")
        take(*args)

    with (
        mock.patch.object(_opacus, "take_step", crash),
        pytest.raises(RuntimeError, match="power cut"),
    ):
        model.fit(EVENTS, items=ITEMS)
    assert len(ledger.events) == 3
    assert not hasattr(model, "item_ids_")
    with pytest.raises(BudgetExceededError):
        model.fit(EVENTS, items=ITEMS)


def test_without_the_extra_fit_says_what_to_install_and_charges_nothing():
    ledger = PrivacyLedger(None, 10.0, 1e-5)
    for package in ("torch", "opacus"):
        with (
            mock.patch.dict(sys.modules, {package: None}),
            pytest.raises(ImportError, match=rf"{package} is needed.*ecomrec\[opacus\]"),
        ):
            DPTwoTower(1.0, **QUICK, ledger=ledger).fit(EVENTS, items=ITEMS)
    assert not ledger.events


@pytest.mark.parametrize(
    ("columns", "match"), [({"fields": {"colour": 1.0}}, "colour"), ({"vectors": "size"}, "size")]
)
def test_items_that_cannot_be_read_spend_nothing(columns, match):
    ledger = PrivacyLedger(None, 10.0, 1e-5)
    model = DPTwoTower(1.0, **QUICK, **columns, ledger=ledger)
    with pytest.raises(DataError, match=match):
        model.fit(EVENTS, items=ITEMS)
    assert not ledger.events


def test_no_noise_is_the_same_path_and_not_private():
    exact, noisy = Record(), Record()
    with recorded(noisy):
        DPTwoTower(1.0, **QUICK).fit(EVENTS, items=ITEMS)
    ledger = PrivacyLedger(None, 1.0, 1e-5)
    model = DPTwoTower(math.inf, **QUICK | {"noise_source": None}, ledger=ledger)
    with recorded(exact):
        model.fit(EVENTS, items=ITEMS)
    assert [call.name for call in exact.calls] == [call.name for call in noisy.calls]
    for call in exact.calls:
        assert np.array_equal(call.value, call.output)
    assert not ledger.events
    assert not model.privacy_report_.private
    again = clone(model).fit(EVENTS, items=ITEMS)
    assert np.array_equal(again.item_factors_, model.item_factors_)


# ---------------------------------------------------------------------- neighbours


CATALOG = pd.DataFrame(
    {
        "item_id": ["axe", "bun", "cup", "día", "eau", "雨傘"],
        "title": ["steel axe", "sweet bun", "steel cup", "sweet day", None, "umbrella"],
    }
)
rows_of_users = st.lists(
    st.tuples(
        st.sampled_from([f"u{n}" for n in range(6)]),
        st.sampled_from(CATALOG["item_id"].tolist()),
        st.sampled_from([1.0, 2.0, 0.5]),
    ),
    max_size=15,
)
hostile_user = st.lists(
    st.tuples(
        st.just("zoë"),
        st.sampled_from([*CATALOG["item_id"], "only mine"]),
        st.sampled_from([1.0, 0.0, -1.0, 1e300, 1e-320, math.inf, math.nan]),
    ),
    min_size=1,
    max_size=14,
)


def table(rows):
    users, items, weights = zip(*rows, strict=True) if rows else ([], [], [])
    return pd.DataFrame(
        {
            "user_id": pd.Series(users, dtype=object),
            "item_id": pd.Series(items, dtype=object),
            "weight": np.array(weights, dtype=np.float64),
        }
    )


@settings(max_examples=15)
@given(rows_of_users, hostile_user)
def test_a_hostile_user_moves_each_release_within_its_bound_and_nothing_else(shop, user):
    model = DPTwoTower(2.0, **QUICK, sample_rate=0.7, max_items_per_user=3)
    report = record_replay(model, table(shop + user), table(shop), fit_params={"items": CATALOG})
    assert report.ok, str(report)
    assert len(report.releases) == 5


def test_other_people_change_nothing_but_the_statistics():
    model = DPTwoTower(2.0, **QUICK, sample_rate=0.7)
    for other in (EVENTS.head(0), EVENTS[EVENTS["user_id"] < 20]):
        report = record_replay(model, EVENTS, other, fit_params={"items": ITEMS})
        beyond = [line for line in report.problems if "the statistic moved" not in line]
        assert not beyond, "\n".join(beyond)
        assert any(not release.within for release in report.releases)


def test_the_systems_noise_never_recurs_and_a_seed_does():
    seeded = [DPTwoTower(**QUICK).fit(EVENTS, items=ITEMS) for _ in range(2)]
    assert np.array_equal(seeded[0].item_factors_, seeded[1].item_factors_)
    assert not seeded[0].privacy_report_.secure_noise
    free = [
        DPTwoTower(**QUICK | {"noise_source": None}).fit(EVENTS, items=ITEMS) for _ in range(2)
    ]
    assert not np.array_equal(free[0].item_factors_, free[1].item_factors_)
    assert free[0].privacy_report_.secure_noise


# ---------------------------------------------------------------------- what it is made of


def test_a_shop_without_users_is_a_neighbour_of_one():
    model = DPTwoTower(**QUICK).fit(EVENTS.head(0), items=ITEMS)
    assert model.recommend(history=[[3]], k=39).items.shape == (1, 39)


def test_a_table_without_descriptions_of_items_is_refused():
    with pytest.raises(DataError, match=r"DPTwoTower learns from what the items are.*items="):
        DPTwoTower(**QUICK).fit(EVENTS)


def test_scores_are_those_of_the_equation():
    model = DPTwoTower(**QUICK).fit(EVENTS, items=ITEMS)
    learned = model._state.learned
    items, scores = model.recommend(history=[[3, 5, 8]], k=37)
    mean = learned.item_vectors[[3, 5, 8]].mean(axis=0)
    wanted = learned.item_factors @ (mean @ learned.user_tower) + learned.item_biases
    np.testing.assert_allclose(scores[0], wanted[items[0]], rtol=1e-4)
    why = model.explain(item=items[0, 0], history=[3, 5, 8])
    assert why["contribution"].sum() == pytest.approx(scores[0, 0], rel=1e-4)
    assert model.similar_items([3], k=2).items.shape == (1, 2)


def test_item_vectors_come_from_texts_columns_or_nothing():
    def vectors(items, **params):
        model = DPTwoTower(**QUICK | {"max_iter": 1} | params).fit(EVENTS, items=items)
        return model._state.learned.item_vectors

    rng = np.random.default_rng(0)
    wide = rng.standard_normal((len(ITEMS), 9))
    given_ = ITEMS.assign(photo=list(wide))
    units = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors(given_, vectors="photo", n_factors=9), units, atol=1e-6)
    # Longer vectors are cut to their principal directions, as near to them as can be.
    cut = vectors(given_, vectors="photo", n_factors=6)
    assert cut.shape == (len(ITEMS), 6)
    _, _, right = np.linalg.svd(units, full_matrices=False)
    best = units @ right[:6].T
    best /= np.linalg.norm(best, axis=1, keepdims=True)
    np.testing.assert_allclose(cut @ cut.T, best @ best.T, atol=1e-5)
    bare = vectors(ITEMS[["item_id"]], n_factors=40)
    assert np.array_equal(bare, np.eye(40))
    assert vectors(ITEMS[["item_id"]], n_factors=7).shape == (40, 7)
    groups = vectors(ITEMS, fields={"category": 1.0}, n_factors=8)
    alike = groups @ groups.T
    same = SHOP.item_group[:, None] == SHOP.item_group[None, :]
    np.testing.assert_allclose(alike, same, atol=1e-5)


def test_a_fitted_model_needs_no_torch(tmp_path):
    model = DPTwoTower(**QUICK | {"noise_source": None}).fit(EVENTS, items=ITEMS)
    model.save(tmp_path / "model")
    (tmp_path / "pickle").write_bytes(pickle.dumps(model))
    expected = model.recommend(history=[[3, 5], [8]], k=5)
    script = f"""
import pickle, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "opacus"):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
import ecomrec
folder = {str(tmp_path)!r}
for model in (ecomrec.load(folder + "/model"), pickle.load(open(folder + "/pickle", "rb"))):
    print(model.recommend(history=[[3, 5], [8]], k=5).items.tolist())
    print(model.similar_items([3], k=2).items.shape, model.privacy_report_.private)
    assert "torch" not in sys.modules
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    lines = run.stdout.splitlines()
    assert lines == [str(expected.items.tolist()), "(1, 2) True"] * 2


def test_the_code_of_the_docs_page_runs():
    page = (Path(__file__).parents[2] / "docs/privacy/models.rst").read_text(encoding="utf-8")
    section = page[page.index("Public item vectors: DPTwoTower") :]
    block = section[section.index(".. code-block:: python") :].partition("\n\n")[2]
    code = re.match(r"(?:   .*\n|\n)+", block)
    assert code
    exec(textwrap.dedent(code.group()), {})


def test_nothing_of_a_user_is_left_and_nothing_is_said(tmp_path, caplog, capfd):
    odd = pd.DataFrame({"user_id": 7_919_104_729_001, "item_id": [2, 3, 5, 7, 11]})
    events = pd.concat([EVENTS, odd], ignore_index=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = DPTwoTower(**QUICK | {"noise_source": None}).fit(events, items=ITEMS)
    model.save(tmp_path / "model")
    secret = int(odd["user_id"][0])
    blobs = [(tmp_path / "model").read_bytes(), pickle.dumps(model), repr(model).encode()]
    for form in (str(secret).encode(), secret.to_bytes(8, "little")):
        assert not any(form in blob for blob in blobs)
    assert not caplog.text
    assert capfd.readouterr() == ("", "")
    for value in vars(model._state.learned).values():
        assert len(value) in (len(ITEMS), 4)  # items, or factors of the towers
    assert ecomrec.load(tmp_path / "model").privacy_report_ == model.privacy_report_


# ---------------------------------------------------------------------- what it is worth


def held_out_users(shop):
    events = shop.events[["user_id", "item_id"]]
    test = events["user_id"] % 5 == 0
    return events[~test], events[test]


def test_with_texts_it_beats_popularity_at_a_moderate_epsilon():
    shop = make_shop(1500, 300, 40_000, 10, random_state=0)
    train, test = held_out_users(shop)
    popular = DPPopularity(2.0, noise_source=SeededNoise(0)).fit(train, items=shop.items)
    model = DPTwoTower(2.0, n_factors=32, noise_source=SeededNoise(0))
    assert model.fit(train, items=shop.items).score(test) > 2 * popular.score(test)


def test_training_adds_to_the_public_start_where_texts_say_nothing():
    # Without texts all that can be known of likeness is learned.
    shop = make_shop(1500, 60, 40_000, 6, random_state=0)
    train, test = held_out_users(shop)
    items = shop.items[["item_id"]]
    start = DPTwoTower(8.0, max_iter=1, learning_rate=1e-9, noise_source=SeededNoise(0))
    model = DPTwoTower(8.0, noise_source=SeededNoise(0))
    before = start.fit(train, items=items).score(test)
    assert model.fit(train, items=items).score(test) > 1.2 * before


def test_training_in_a_forked_child_is_refused_before_it_is_charged(monkeypatch):
    ledger = PrivacyLedger(None, 9.0, 1e-6)
    monkeypatch.setattr("ecomrec.privacy._opacus._trained_in", -1)  # as in the parent
    with pytest.raises(RuntimeError, match="do not survive a fork"):
        DPTwoTower(ledger=ledger).fit(np.eye(5))
    assert ledger.spent() == 0
