import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.special import ndtr
from tests.privacy.laws import LEVEL, p_value

from ecomrec.exceptions import DataError
from ecomrec.privacy import (
    PartitionSelector,
    SeededNoise,
    SetUnionEvent,
    SystemNoise,
    epsilon_of,
)
from ecomrec.privacy.noise.door import recorded
from ecomrec.privacy.noise.set_union import GRID, union_threshold


@pytest.mark.parametrize("max_items", [1, 3, 20, 1000])
@pytest.mark.parametrize("epsilon", [0.3, 1.0, 8.0])
@pytest.mark.parametrize("delta", [1e-3, 1e-6])
def test_what_one_user_alone_has_stays_hidden(epsilon, delta, max_items):
    # The exact law of the noise: a rounded Gaussian, and the farthest that blur can carry it.
    selector = PartitionSelector(epsilon, delta, max_items)
    sigma = GRID * selector.event.noise_multiplier
    threshold = math.ceil(GRID * selector.threshold)
    worst = 0.0
    for n in {1, 2, 3, 20, 1000} & set(range(1, max_items + 1)) | {max_items}:
        needed = threshold + 1 - selector.weight(n)
        above = ndtr(-(needed - 0.5 - sigma / 2048) / sigma)
        worst = max(worst, -math.expm1(n * math.log1p(-above)))
    assert worst <= selector.event.delta
    assert worst >= 0.98 * selector.event.delta  # no more noise and no higher than needed
    assert epsilon_of([selector.event], delta) == pytest.approx(epsilon, rel=1e-6)


def chances(weights, selector):
    """Probability of each set of ids, by the exact law of rounded Gaussian noise."""
    sigma = GRID * selector.event.noise_multiplier
    threshold = math.ceil(GRID * selector.threshold)
    passes = {i: ndtr(-(threshold + 0.5 - w) / sigma) for i, w in weights.items()}
    law = {}
    for kept in itertools.product((False, True), repeat=len(weights)):
        chance, names = 1.0, []
        for (name, passing), taken in zip(passes.items(), kept, strict=True):
            chance *= passing if taken else 1 - passing
            names += [name] * taken
        law[tuple(names)] = chance
    return law


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_whole_law_of_a_selection_is_private(epsilon):
    # Few items of each user, one of them new to everybody: hockey-stick divergences both ways.
    delta = 1e-2
    selector = PartitionSelector(epsilon, delta, 2)
    height = int(GRID * selector.threshold)
    for shared in (0, height // 2, height - GRID // 2, height, 2 * height):
        two, one = selector.weight(2), selector.weight(1)
        without = {"shared": shared} if shared else {}
        cases = [
            {"shared": shared + two, "new": two},
            {"shared": shared + one},
            {**without, "new": one},
            {**without, "new": two, "other": two},
        ]
        before = chances(without, selector)
        for with_user in cases:
            after = chances(with_user, selector)
            keys = set(before) | set(after)
            for p, q in ((after, before), (before, after)):
                excess = sum(
                    max(0.0, p.get(k, 0.0) - math.exp(epsilon) * q.get(k, 0.0)) for k in keys
                )
                assert excess <= delta


@given(st.integers(1, 2000))
def test_weights_of_one_user_are_within_the_unit_ball(n):
    selector = PartitionSelector(1.0, 1e-6, 2000)
    assert n * selector.weight(n) ** 2 <= GRID**2
    assert n * (selector.weight(n) + 1) ** 2 > GRID**2


def pairs_of(histories):
    rows = [(user, item) for user, items in histories.items() for item in items]
    return [user for user, _ in rows], [item for _, item in rows]


@given(
    st.dictionaries(st.integers(0, 9), st.lists(st.sampled_from("abcdefgh"), max_size=12)),
    st.integers(1, 5),
)
def test_weights_are_sums_of_each_users_own(histories, most):
    selector = PartitionSelector(1.0, 1e-6, most)
    users, items = pairs_of(histories)
    total = selector._weights(users, items, SeededNoise(0))
    sizes = [min(len(set(items)), most) for items in histories.values() if items]
    assert sum(total.values()) == sum(n * selector.weight(n) for n in sizes)
    assert set(total) <= set(items)
    for user, mine in histories.items():
        alone = selector._weights(*pairs_of({user: mine}), SeededNoise(0))
        assert sum(weight**2 for weight in alone.values()) <= GRID**2


def test_one_user_adds_just_their_own_weights():
    selector = PartitionSelector(1.0, 1e-6, 10)
    histories = {n: ["a", "b", "c"][: 1 + n % 3] for n in range(30)}
    with_user = selector._weights(*pairs_of({**histories, 99: ["b", "new", "b"]}), SeededNoise(0))
    without = selector._weights(*pairs_of(histories), SeededNoise(0))
    added = {name: with_user[name] - without.get(name, 0) for name in with_user}
    assert added == {"a": 0, "b": selector.weight(2), "c": 0, "new": selector.weight(2)}


def test_items_of_long_histories_are_drawn_evenly():
    selector = PartitionSelector(1.0, 1e-6, 2)
    items = [f"i{n}" for n in range(8)]
    users = np.repeat(np.arange(5000), 8)
    total = selector._weights(users, items * 5000, SeededNoise(3))
    counts = np.array([total[item] / selector.weight(2) for item in items])
    assert counts.sum() == 10_000
    assert p_value(counts, np.full(8, 1250)) > LEVEL


@pytest.mark.parametrize("leaver", range(6))
def test_items_of_one_user_are_drawn_without_a_look_at_others(leaver):
    selector = PartitionSelector(1.0, 1e-6, 3)
    rng = np.random.default_rng(0)
    histories = {f"u{n}": [f"i{m}" for m in rng.permutation(20)[: 2 + 3 * n]] for n in range(6)}
    whole = selector._weights(*pairs_of(histories), SeededNoise(0))
    user = f"u{leaver}"
    rest = {name: items for name, items in histories.items() if name != user}
    without = selector._weights(*pairs_of(rest), SeededNoise(0))
    alone = selector._weights(*pairs_of({user: histories[user]}), SeededNoise(0))
    names = set(whole) | set(without)
    assert {name: whole.get(name, 0) - without.get(name, 0) for name in names} == {
        name: alone.get(name, 0) for name in names
    }
    backwards = {name: items[::-1] for name, items in reversed(histories.items())}
    assert selector._weights(*pairs_of(backwards), SeededNoise(0)) == whole


def test_selection_names_what_many_have():
    users = [*range(500), *range(500), 3]
    items = ["cup"] * 500 + ["pan"] * 500 + ["secret"]
    selector = PartitionSelector(1.0, 1e-6, 5)
    assert selector.select(users, items) == ["cup", "pan"]
    assert selector.select(np.array(users), np.array(items)) == ["cup", "pan"]
    assert selector.select([], []) == []
    assert selector.release({7: 10**9, 3: 10**9, 5: 0, 4: -1}) == [3, 7]


def test_pairs_with_gaps_count_nothing():
    selector = PartitionSelector(1.0, 1e-6, 5)
    found = selector._weights(["a", None, "b"], ["x", "x", None], SystemNoise())
    assert found == {"x": GRID}


def test_selection_passes_one_door():
    seen = []

    def recorder(name, params, value, release):
        seen.append((name, params, value))
        return release()

    selector = PartitionSelector(1.0, 1e-6, 5)
    with recorded(recorder):
        selector.select([1, 2], ["a", "a"])
    ((name, params, value),) = seen
    assert name == "PartitionSelector"
    assert [part.tolist() for part in value] == [["a"], [2 * GRID]]
    known = {"mechanism", "sigma", "bound", "threshold", "delta", "max_items"}
    assert set(params) == known  # how many ids occur is private


def test_columns_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="users and items must be equally long; got 2 and 1"):
        PartitionSelector(1.0, 1e-6, 5).select([1, 2], ["a"])


@pytest.mark.parametrize(
    ("given_values", "words"),
    [
        ((0.0, 1e-6, 5), "epsilon must be a positive finite number"),
        ((1.0, 0.0, 5), "delta must be a positive finite number"),
        ((1.0, 1.0, 5), "delta must be below 1"),
        ((1.0, 1e-6, 0), "max_items_per_user must be a positive integer"),
        ((1.0, 1e-6, 2.5), "max_items_per_user must be a positive integer"),
        ((1.0, 1e-6, 10**19), "max_items_per_user must be a positive integer"),
    ],
)
def test_selector_parameters_are_checked(given_values, words):
    with pytest.raises(ValueError, match=f"PartitionSelector: {words}"):
        PartitionSelector(*given_values)


def test_threshold_grows_with_noise_items_and_smaller_delta():
    base = union_threshold(4.0, 1e-6, 10)
    assert union_threshold(5.0, 1e-6, 10) > base
    assert union_threshold(4.0, 1e-7, 10) > base
    assert union_threshold(4.0, 1e-6, 100) > base
    assert PartitionSelector(1.0, 1e-6, 10).event == SetUnionEvent(
        PartitionSelector(1.0, 1e-6, 10).event.noise_multiplier, 5e-7
    )


@pytest.mark.parametrize("noise", [1e-3, 0.3, 4.0, 1e4])
@pytest.mark.parametrize("delta", [1e-300, 1e-6, 0.3, 1 - 1e-12])
def test_threshold_is_the_largest_of_all_numbers_of_items(noise, delta):
    from scipy.special import ndtri

    most = 400_000
    n = np.arange(1, most + 1, dtype=np.float64)
    needed = 1 / np.sqrt(n) - noise * ndtri(-np.expm1(np.log1p(-delta) / n))
    slack = 2.0**-11 * (noise + 1.0)
    for items in (1, 2, 65_536, 65_537, most):
        assert union_threshold(noise, delta, items) == needed[:items].max() + slack
    assert union_threshold(noise, delta, 2**31) >= needed.max() + slack


@pytest.mark.parametrize(
    "odd",
    [5, [1], 2.5, True, "'\\ud800'", b"x", np.str_("alice"), ("a", 1), {"secret": 1}],
    ids=repr,
)
def test_one_odd_id_says_nothing_and_changes_nothing_for_others(odd):
    selector = PartitionSelector(4.0, 1e-3, 2)
    users = [f"u{n}" for n in range(300)] + ["\ud800"] * 3
    items = ["mug"] * 300 + ["mug", "hat", "pen"]
    before = selector._weights(users, items, SeededNoise(0))
    for more in ((odd, "mug"), ("new", odd), (odd, odd)):
        after = selector._weights([*users, more[0]], [*items, more[1]], SeededNoise(0))
        added = {key: after.get(key, 0) - before.get(key, 0) for key in {*before, *after}}
        assert sum(weight**2 for weight in added.values()) <= GRID**2
        assert selector.select([*users, more[0]], [*items, more[1]]) == ["mug"]


def test_errors_of_a_selection_name_no_id():
    selector = PartitionSelector(4.0, 1e-3, 1)
    with pytest.raises(DataError, match="users holds no ids") as error:
        selector.select([["secret"], ["other"]], ["a", "b"])
    assert "secret" not in str(error.value)
    assert error.value.__context__ is None
    with pytest.raises(DataError, match="of several types and cannot be sorted: int, str"):
        selector.select([*range(300), *map(str, range(300))], [1] * 300 + ["mug"] * 300)
