"""What ALS alone promises: its objective, exact rows, what updates move and read."""

import numpy as np
import pandas as pd
import pytest

import ecomrec
from ecomrec.cf import ALS
from ecomrec.data.rows import RowStore
from ecomrec.datasets import make_shop
from ecomrec.kernels import least_squares, neighbors
from ecomrec.testing.twins_als import objective_twin, rating_objective_twin, solve_twin

# All of them given, so that the twins need no defaults.
LOSS = {"regularization": 0.02, "unobserved_weight": 0.2, "regularization_exponent": 0.7}
SOLVERS = [
    {"solver": "exact"},
    {"solver": "cg"},
    {"solver": "cg", "cg_steps": 1},
    {"solver": "subspace", "block_size": 3},
]
each_solver = pytest.mark.parametrize("how", SOLVERS, ids=str)
both_kinds = pytest.mark.parametrize("feedback", ["implicit", "explicit"])


def weights_of_three_tastes(n_users=70, n_items=45, seed=0, least=0.5):
    """A users x items matrix of weights; `least` may be what returns leave."""
    rng = np.random.default_rng(seed)
    taste = rng.random((n_users, 3)) @ rng.random((3, n_items))
    taken = rng.random((n_users, n_items)) < 0.3 * taste / taste.mean()
    return taken * rng.choice((1.0, 1.0, 2.0, least), (n_users, n_items))


def ratings_of_two_camps(n_users=80, n_items=40, share=0.5, seed=0):
    """Ratings of users who like every second item, or every other one."""
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((n_users, n_items)) < share)
    liked = np.where(users % 2 == items % 2, 5, 2) - rng.integers(0, 2, len(users))
    return pd.DataFrame({"user_id": users, "item_id": items, "rating": liked.astype(float)})


def table_of(matrix):
    users, items = np.nonzero(matrix)
    return pd.DataFrame({"user_id": users, "item_id": items, "weight": matrix[users, items]})


def rmse(model, ratings):
    return float(np.sqrt(np.mean((model.predict(ratings) - ratings["rating"]) ** 2)))


def half_step(matrix, other, *, regularization, unobserved_weight, regularization_exponent):
    """Solve for the rows of a dense matrix of weights given the factors of its columns."""
    rows, columns = np.nonzero(matrix)
    lengths = np.bincount(rows, minlength=len(matrix))
    store = np.cumsum(lengths) - lengths, lengths, columns, matrix[rows, columns]
    counts = (matrix > 0).sum(axis=1) + unobserved_weight * matrix.shape[1]
    gram = unobserved_weight * other.T.astype(np.float64) @ other
    ridges = regularization * counts**regularization_exponent
    return solve_twin(np.arange(len(matrix)), store, other, gram, ridges)


# ---------------------------------------------------------------------- what is learned


@pytest.mark.parametrize("max_iter", [1, 2])
def test_each_half_step_is_least_squares_given_the_other_side(max_iter):
    matrix = weights_of_three_tastes()
    model = ALS(6, max_iter=max_iter, solver="exact", **LOSS).fit(matrix)
    start = np.random.default_rng(0).standard_normal((45, 6), dtype=np.float32)
    items = start * 0.1 / np.sqrt(6)
    users = half_step(matrix, items, **LOSS)
    for _ in range(max_iter):
        items = half_step(matrix.T, users, **LOSS)
        users = half_step(matrix, items, **LOSS)
    # Vectors may be turned together; products may not change.
    found = model.user_factors_ @ model.item_factors_.T
    np.testing.assert_allclose(found, users @ items.T, rtol=1e-3, atol=1e-4)


@each_solver
def test_users_are_exact_given_the_items_with_every_solver(how):
    matrix = weights_of_three_tastes()
    model = ALS(8, max_iter=3, **how, **LOSS).fit(matrix)
    expected = half_step(matrix, model.item_factors_, **LOSS)
    np.testing.assert_allclose(model.user_factors_, expected, rtol=1e-3, atol=1e-4)


@each_solver
def test_more_rounds_lower_the_objective(how):
    matrix = weights_of_three_tastes()
    losses = []
    for max_iter in (1, 2, 3, 5, 8, 13, 21):
        model = ALS(8, max_iter=max_iter, **how, **LOSS).fit(matrix)
        losses.append(objective_twin(matrix, model.user_factors_, model.item_factors_, **LOSS))
    nothing = objective_twin(matrix, np.zeros((70, 8)), np.zeros((45, 8)), **LOSS)
    assert losses[0] < 0.9 * nothing
    assert (np.diff(losses) < 0).all()


@pytest.mark.parametrize("how", SOLVERS[1:], ids=str)
def test_every_solver_ends_where_the_exact_one_does(how):
    matrix = weights_of_three_tastes()
    losses = [
        objective_twin(matrix, model.user_factors_, model.item_factors_, **LOSS)
        for model in (
            ALS(8, max_iter=60, **LOSS, **chosen).fit(matrix) for chosen in (SOLVERS[0], how)
        )
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_events_of_which_nothing_is_left_are_no_evidence():
    matrix = weights_of_three_tastes(least=-1.0)
    found, expected = (
        ALS(6, **LOSS).fit(events).predict(table_of(matrix))
        for events in (table_of(matrix), table_of(np.maximum(matrix, 0)))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_weight_of_the_unobserved_follows_the_catalogue_if_it_is_not_given():
    small = weights_of_three_tastes()
    large = np.hstack((small, np.zeros((len(small), 1200 - small.shape[1]))))
    for matrix, weight in ((small, 1.0), (large, 0.5)):
        found = ALS(6).fit(matrix).user_factors_
        expected = ALS(6, unobserved_weight=weight).fit(matrix).user_factors_
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("solver", ["exact", "cg"])
@pytest.mark.parametrize("weight", [9.0, 1.0])
def test_the_parameters_of_implicit_give_a_solution_of_its_equations(solver, weight):
    # Its objective: confidence * (p - x.y)^2 over all pairs, of which the pairs that nobody
    # touched have p = 0 and confidence 1, and regularization * (|x|^2 + |y|^2) of all rows.
    confidence, regularization = 10.0, 3.0
    taken = weights_of_three_tastes(60, 35) > 0
    model = ALS(
        4, unobserved_weight=weight / (confidence - 1), regularization_exponent=0.0,
        regularization=regularization * weight / confidence, max_iter=200, solver=solver,
    ).fit(taken * weight)  # fmt: skip
    scale = np.sqrt(confidence / (confidence - 1))
    users, items = model.user_factors_ * scale, model.item_factors_ * scale
    for known, other, wanted in ((users, items, taken), (items, users, taken.T)):
        confidences = np.where(wanted, confidence, 1.0)
        moved = [
            np.linalg.solve((other.T * c) @ other + regularization * np.eye(4), other.T @ (c * p))
            for c, p in zip(confidences, wanted, strict=True)
        ]
        assert np.abs(known).max() > 0.3
        np.testing.assert_allclose(known, moved, atol=1e-4)


@both_kinds
@each_solver
def test_any_number_of_threads_gives_the_same_bits(feedback, how):
    events = make_shop(
        n_users=600, n_items=400, n_events=20_000, columns=("user_id", "item_id"), random_state=0
    ).events
    events["rating" if feedback == "explicit" else "weight"] = 1.0 + np.arange(len(events)) % 5
    found = []
    for n_jobs in (1, 2, 3):
        model = ALS(24, feedback=feedback, max_iter=3, n_jobs=n_jobs, **how).fit(events[:-100])
        model.partial_fit(events[-100:])
        found.append(model.user_factors_.tobytes() + model.item_factors_.tobytes())
    assert found[0] == found[1] == found[2]


@both_kinds
def test_the_order_of_the_rows_does_not_matter(feedback):
    events = ratings_of_two_camps()
    if feedback == "implicit":
        events = events.rename(columns={"rating": "weight"})
    shuffled = events.sample(frac=1, random_state=1)
    one, other = (
        ALS(6, feedback=feedback).fit(table).predict(events) for table in (events, shuffled)
    )
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_second_fit_on_a_larger_matrix_starts_anew():
    small, large = weights_of_three_tastes(30, 20), weights_of_three_tastes()
    again = ALS(6).fit(small).fit(large)
    np.testing.assert_array_equal(again.item_factors_, ALS(6).fit(large).item_factors_)


def test_another_seed_is_another_start():
    matrix = weights_of_three_tastes()
    one, same, other = (ALS(6, random_state=seed).fit(matrix) for seed in (0, 0, 1))
    assert one.item_factors_.tolist() == same.item_factors_.tolist()
    assert one.item_factors_.tolist() != other.item_factors_.tolist()


# ---------------------------------------------------------------------- updates


def test_an_update_solves_for_the_rows_of_the_batch_and_for_no_others():
    matrix = np.zeros((73, 47))
    matrix[:70, :45] = weights_of_three_tastes(least=-1.0)
    model = ALS(6, **LOSS).fit(table_of(matrix))
    users, items = np.zeros((73, 6)), np.zeros((47, 6))
    users[:70], items[:45] = model.user_factors_, model.item_factors_
    # Known and new users, of known and new items.
    touched = [3, 17, 70, 71, 72], [2, 5, 45, 46]
    batch = [(3, 2), (3, 5), (17, 45), (70, 5), (71, 46), (71, 45), (72, 2), (70, 2)]
    for user, item in batch:
        matrix[user, item] += 2.0
    rows = pd.DataFrame(batch, columns=["user_id", "item_id"]).assign(weight=2.0)
    model.partial_fit(rows)
    assert model.user_ids_.tolist() == list(range(73))
    assert model.item_ids_.tolist() == list(range(47))
    users[touched[0]] = half_step(matrix, items, **LOSS)[touched[0]]
    items[touched[1]] = half_step(matrix.T, users, **LOSS)[touched[1]]
    users[touched[0]] = half_step(matrix, items, **LOSS)[touched[0]]
    np.testing.assert_allclose(model.user_factors_, users, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(model.item_factors_, items, rtol=1e-3, atol=1e-4)
    assert np.abs(model.item_factors_[45:]).max() > 0.01


@both_kinds
@pytest.mark.parametrize("n_users", [400, pytest.param(40_000, marks=pytest.mark.slow)])
def test_an_update_reads_the_rows_of_its_users_and_items_and_no_others(
    monkeypatch, feedback, n_users
):
    read = {"taken": 0, "summed": 0, "solved": 0}
    take, row_sums, solve = RowStore.take, neighbors.row_sums, least_squares.solve

    def counted_take(self, rows):
        read["taken"] += len(rows)
        return take(self, rows)

    def counted_sums(rows, *args, **kwargs):
        read["summed"] += len(rows)
        return row_sums(rows, *args, **kwargs)

    def counted_solve(numbers, *args, **kwargs):
        read["solved"] += len(numbers)
        return solve(numbers, *args, **kwargs)

    events = ratings_of_two_camps(n_users, 300, share=0.05)
    if feedback == "implicit":
        events = events.rename(columns={"rating": "weight"})
    model = ALS(8, feedback=feedback, max_iter=2).fit(events)
    monkeypatch.setattr(RowStore, "take", counted_take)
    monkeypatch.setattr(neighbors, "row_sums", counted_sums)
    monkeypatch.setattr(least_squares, "solve", counted_solve)
    batch = events.iloc[:20]
    n_touched, n_items = batch["user_id"].nunique(), batch["item_id"].nunique()
    model.partial_fit(batch)
    assert read["solved"] == 2 * n_touched + n_items
    assert read["summed"] <= 2 * n_touched + n_items
    assert read["taken"] <= 4 * (n_touched + n_items)


def test_gram_matrices_that_are_kept_up_to_date_equal_those_computed_anew():
    events = table_of(weights_of_three_tastes()).sample(frac=1, random_state=0)
    model = ALS(8).fit(events[:200])
    for start in range(200, 700, 10):
        model.partial_fit(events[start : start + 10])
    learned = model._state.learned
    for gram, factors in (
        (learned.user_gram, model.user_factors_.astype(np.float64)),
        (learned.item_gram, model.item_factors_.astype(np.float64)),
    ):
        expected = factors.T @ factors
        np.testing.assert_allclose(gram, expected, atol=1e-6 * np.abs(expected).max())


@both_kinds
def test_drift_goes_with_a_refresh(feedback):
    events = ratings_of_two_camps().sample(frac=1, random_state=0)
    if feedback == "implicit":
        events = events.rename(columns={"rating": "weight"})
    whole = ALS(6, feedback=feedback).fit(events)
    grown = ALS(6, feedback=feedback).fit(events[:800])
    for start in range(800, len(events), 200):
        grown.partial_fit(events[start : start + 200])
    drifted = grown.predict(events)
    expected = whole.predict(events)
    assert np.abs(drifted - expected).max() > 1e-3
    np.testing.assert_allclose(grown.refresh().predict(events), expected, rtol=1e-3, atol=1e-4)


def test_ratings_that_come_in_batches_are_learned_as_well_as_by_a_fit():
    ratings = ratings_of_two_camps(120, 60).sample(frac=1, random_state=0)
    test, train = ratings[:600], ratings[600:]
    whole = ALS(8, feedback="explicit").fit(train)
    grown = ALS(8, feedback="explicit").fit(train[:1500])
    before = rmse(grown, test)
    for start in range(1500, len(train), 300):
        grown.partial_fit(train[start : start + 300])
    assert rmse(grown, test) < before
    assert rmse(grown, test) < 1.1 * rmse(whole, test)


@both_kinds
def test_new_items_that_only_new_users_touched_wait_for_evidence(feedback):
    events, column = ratings_of_two_camps(), "rating"
    if feedback == "implicit":
        column = "weight"
        events = events[events["rating"] > 3].rename(columns={"rating": column})
    model = ALS(6, feedback=feedback, unobserved_weight=0.1).fit(events)
    apart = pd.DataFrame({"user_id": [900, 901], "item_id": [500, 500], column: 5.0})
    model.partial_fit(apart)
    assert np.isfinite(model.user_factors_).all()
    assert np.isfinite(model.item_factors_).all()
    bridge = pd.DataFrame({"user_id": [900, 900, 900, 0], "item_id": [0, 2, 4, 500], column: 5.0})
    model.partial_fit(bridge)
    assert np.abs(model.item_factors_[-1, :6]).max() > 0
    scores = model.predict([(user, 500) for user in range(80)])
    assert scores[::2].mean() > scores[1::2].mean() + 0.1


# ---------------------------------------------------------------------- forgetting


@both_kinds
def test_a_forgotten_person_leaves_no_id_and_no_vector_in_the_file(tmp_path, feedback):
    events = ratings_of_two_camps(30, 20)
    if feedback == "implicit":
        events = events.rename(columns={"rating": "weight"})
    events["user_id"] = "somebody-" + events["user_id"].astype(str)
    events["item_id"] = "thing-" + events["item_id"].astype(str)
    secret = events[events["user_id"] == "somebody-3"].assign(user_id="secret-bob")
    only_his = secret[:1].assign(item_id="his-own-book")
    listed = pd.DataFrame({"item_id": [*events["item_id"].unique(), "his-own-book"]})
    model = ALS(6, feedback=feedback).fit(pd.concat((events, secret, only_his)), items=listed)
    row = model.user_ids_.tolist().index("secret-bob")
    book = model.item_ids_.tolist().index("his-own-book")
    traces = [model.user_factors_[row, :6].tobytes(), model.item_factors_[book, :6].tobytes()]
    others = np.delete(model.user_factors_, row, axis=0)
    assert model.user_factors_[row].any()
    assert model.item_factors_[book].any()
    path = tmp_path / "shop.ecomrec"
    model.save(path)
    assert b"secret-bob" in path.read_bytes()
    assert all(trace in path.read_bytes() for trace in traces)
    model.forget(users=["secret-bob"])
    assert not model.forget_exact_
    model.save(path)
    assert b"secret-bob" not in path.read_bytes()
    # Nor in what is described by nothing else.
    assert not any(trace in path.read_bytes() for trace in traces)
    np.testing.assert_array_equal(model.user_factors_, others)
    assert "his-own-book" in model.item_ids_
    fresh = ALS(6, feedback=feedback).fit(events, items=listed)
    np.testing.assert_allclose(
        model.refresh().predict(events), fresh.predict(events), rtol=1e-3, atol=1e-4
    )
    assert ecomrec.load(path).user_ids_.tolist() == model.user_ids_.tolist()


def test_users_of_a_forgotten_item_are_described_by_what_is_left():
    matrix = weights_of_three_tastes(least=-1.0)
    model = ALS(6, **LOSS).fit(table_of(matrix))
    items, users = model.item_factors_.copy(), model.user_factors_.copy()
    model.forget(items=[7])
    left = np.delete(matrix, 7, axis=1)
    np.testing.assert_array_equal(model.item_factors_, np.delete(items, 7, axis=0))
    had_it = matrix[:, 7] != 0
    expected = half_step(left, model.item_factors_, **LOSS)
    np.testing.assert_allclose(model.user_factors_[had_it], expected[had_it], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(model.user_factors_[~had_it], users[~had_it])


# ---------------------------------------------------------------------- explaining


def test_contributions_of_past_items_add_up_to_the_score():
    matrix = weights_of_three_tastes(least=-1.0)
    model = ALS(6, **LOSS).fit(table_of(matrix))
    for item in (0, 11, 44):
        known = model.explain(4, item)
        assert set(known["kind"]) == {"item"}
        assert set(known["reason"]) == set(np.flatnonzero(matrix[4] > 0))
        assert known["contribution"].sum() == pytest.approx(
            model.predict([(4, item)])[0], abs=1e-4
        )
        visit = model.explain(item=item, history=[0, 3, 9])
        scores = model.recommend(
            history=[[0, 3, 9]], k=1, candidates=[item], exclude_seen=False
        ).scores
        assert set(visit["reason"]) == {0, 3, 9}
        assert visit["contribution"].sum() == pytest.approx(scores[0, 0], abs=1e-4)


def test_a_contribution_is_what_the_equations_of_hu_give_it():
    matrix = weights_of_three_tastes()
    model = ALS(6, **LOSS).fit(table_of(matrix))
    user, item, held = 4, 11, np.flatnonzero(matrix[4] > 0)
    y = model.item_factors_.astype(np.float64)
    ridge = LOSS["regularization"] * (len(held) + 0.2 * 45) ** 0.7
    system = 0.2 * y.T @ y + (y[held].T * matrix[user, held]) @ y[held] + ridge * np.eye(6)
    parts = matrix[user, held] * (y[held] @ np.linalg.inv(system) @ y[item])
    found = model.explain(user, item).set_index("reason")["contribution"]
    np.testing.assert_allclose(found.loc[held], parts, rtol=1e-3, atol=1e-6)


def test_what_the_items_moved_since_is_a_contribution_of_its_own():
    matrix = weights_of_three_tastes()
    model = ALS(6, **LOSS).fit(table_of(matrix))
    batch = table_of(matrix)[200:260].assign(weight=20.0)
    model.partial_fit(batch)
    user = int(np.setdiff1d(np.arange(70), batch["user_id"])[0])
    item = int(batch["item_id"].iloc[0])
    table = model.explain(user, item)
    assert "update" in set(table["kind"])
    assert table["contribution"].sum() == pytest.approx(model.predict([(user, item)])[0], abs=1e-6)


def test_contributions_of_ratings_add_up_with_the_baseline():
    ratings = ratings_of_two_camps()
    model = ALS(6, feedback="explicit").fit(ratings)
    table = model.explain(4, 9)
    assert table["kind"].tolist().count("baseline") == 1
    rated = ratings.loc[ratings["user_id"] == 4, "item_id"]
    assert set(table.loc[table["kind"] == "item", "reason"]) == set(rated)
    assert table["contribution"].sum() == pytest.approx(model.predict([(4, 9)])[0], abs=1e-3)
    base = table.loc[table["kind"] == "baseline", "contribution"].iloc[0]
    assert base == pytest.approx(model.predict([("?", 9)])[0], abs=1e-5)


# ---------------------------------------------------------------------- ratings


def test_ratings_of_a_small_table_are_the_minimum_of_the_objective():
    ratings = ratings_of_two_camps(12, 9)
    loss = {"regularization": 0.3, "regularization_exponent": 0.5}
    model = ALS(2, feedback="explicit", max_iter=300, **loss).fit(ratings)
    users, items = model.user_factors_.astype(np.float64), model.item_factors_.astype(np.float64)
    mean = ratings["rating"].mean()
    assert (items[:, -2] == 1).all()
    assert (users[:, -1] == 1).all()

    def objective(users, items):
        return rating_objective_twin(
            ratings["user_id"].to_numpy(), ratings["item_id"].to_numpy(),
            ratings["rating"].to_numpy(), mean, users, items, **loss,
        )  # fmt: skip

    best = objective(users, items)
    rng = np.random.default_rng(0)
    for _ in range(200):
        shifts = [1e-2 * rng.standard_normal(side.shape) for side in (users, items)]
        shifts[0][:, -1] = shifts[1][:, -2] = 0
        both = [
            objective(users + sign * shifts[0], items + sign * shifts[1]) - best
            for sign in (1, -1)
        ]
        # At the minimum what is first order in a step is nothing beside what is second order.
        assert min(both) > 0
        assert abs(both[0] - both[1]) < 0.2 * (both[0] + both[1])


def test_a_table_that_biases_explain_is_learned_as_biases():
    kind, good = np.linspace(-1, 1, 9), np.linspace(-1, 1, 7)
    users, items = np.indices((9, 7)).reshape(2, -1)
    ratings = pd.DataFrame({"user_id": users, "item_id": items})
    ratings["rating"] = 3 + kind[users] + good[items]
    model = ALS(2, feedback="explicit", regularization=0.01).fit(ratings.drop(47))
    assert model.predict([(6, 5)])[0] == pytest.approx(3 + 1 / 2 + 2 / 3, abs=0.05)
    assert np.abs(model.user_factors_[:, :2]).max() < 0.01
    np.testing.assert_allclose(model.item_factors_[:, -1], good, atol=0.05)


@pytest.mark.parametrize("how", SOLVERS[1:], ids=str)
def test_every_solver_finds_ratings_as_well(how):
    ratings = ratings_of_two_camps(30, 20)
    loss = {"regularization": 0.1, "regularization_exponent": 1.0}
    users, items = ratings["user_id"].to_numpy(), ratings["item_id"].to_numpy()
    found = []
    for chosen in (SOLVERS[0], how):
        model = ALS(4, feedback="explicit", max_iter=10, **chosen, **loss).fit(ratings)
        found.append(
            rating_objective_twin(
                users, items, ratings["rating"].to_numpy(), ratings["rating"].mean(),
                model.user_factors_, model.item_factors_, **loss,
            )
        )  # fmt: skip
    assert found[1] == pytest.approx(found[0], rel=0.02)


def test_predictions_stay_within_the_range_of_the_ratings():
    ratings = ratings_of_two_camps(30, 20, share=0.2)
    model = ALS(8, feedback="explicit", regularization=0.01).fit(ratings)
    pairs = [(user, item) for user in model.user_ids_ for item in model.item_ids_]
    learned, found = model._state.learned, model.predict(pairs)
    plain = (learned.user_factors @ learned.item_factors.T).ravel()
    assert plain.min() < 0.5
    assert plain.max() > 5.5
    np.testing.assert_allclose(found, np.clip(plain, 1, 5), rtol=1e-4)
    worst, best = pairs[plain.argmin()], pairs[plain.argmax()]
    for user, item in (worst, best):
        table = model.explain(user, item)
        assert "range" in set(table["kind"])
        assert table["contribution"].sum() == pytest.approx(model.predict([(user, item)])[0])
    model.partial_fit(pd.DataFrame({"user_id": [0], "item_id": [0], "rating": [9.0]}))
    assert model.predict([best])[0] > 5
    model.forget(users=[0])
    assert model.predict(pairs).max() == pytest.approx(5)
    assert model.recommend([1], k=1, exclude_seen=False).scores[0, 0] <= 5


def test_items_are_alike_by_taste_not_by_how_good_they_are():
    ratings = ratings_of_two_camps()
    ratings.loc[ratings["item_id"] < 20, "rating"] += 3
    model = ALS(4, feedback="explicit", regularization=0.05).fit(ratings)
    found = model.similar_items(model.item_ids_, k=10)
    assert (found.items % 2 == model.item_ids_[:, None] % 2).mean() > 0.9
    assert found.scores.min() < 0.99
    found = model.similar_users(model.user_ids_, k=10)
    assert (found.items % 2 == model.user_ids_[:, None] % 2).mean() > 0.9


def test_a_rating_that_says_nothing_is_explained_without_regularization():
    model = ALS(3, feedback="explicit", regularization=0.0).fit(ratings_of_two_camps())
    model.partial_fit(pd.DataFrame({"user_id": [900], "item_id": [500], "rating": [5.0]}))
    assert not model.item_factors_[-1, :3].any()
    assert model.explain(900, 500)["contribution"].sum() == pytest.approx(5.0)


def test_strangers_get_the_baseline():
    ratings = ratings_of_two_camps(12, 9)
    model = ALS(3, feedback="explicit").fit(ratings)
    mean, biases = ratings["rating"].mean(), model.item_factors_[:, -1]
    found = model.predict([("?", 3), (5, "?"), ("?", "?"), (5, 3)])
    assert found[0] == pytest.approx(mean + biases[3], abs=1e-5)
    assert found[1] == pytest.approx(model.user_factors_[5, -2], abs=1e-5)
    assert found[2] == pytest.approx(mean)
    expected = np.clip(model.user_factors_[5] @ model.item_factors_[3], 1, 5)
    assert found[3] == pytest.approx(expected, abs=1e-5)


def test_two_camps_are_told_apart():
    ratings = ratings_of_two_camps()
    test = np.arange(len(ratings)) % 4 == 0
    # The best that can be known errs by 0.5, the biases alone by more than 1.5.
    assert rmse(ALS(8, feedback="explicit").fit(ratings[~test]), ratings[test]) < 0.65


def test_a_history_of_ratings_is_answered_like_a_user_who_gave_them():
    ratings = ratings_of_two_camps(12, 9)
    model = ALS(3, feedback="explicit").fit(ratings)
    visit = ratings[ratings["user_id"] == 4].assign(user_id="a visitor")
    found = model.recommend(history=visit, k=9)
    np.testing.assert_allclose(found.scores, model.recommend([4], k=9).scores, rtol=1e-4)


def test_ratings_do_not_fade():
    with pytest.raises(ValueError, match="half_life fades weights, not ratings; leave it None"):
        ALS(feedback="explicit", half_life="30D").fit(ratings_of_two_camps())


# ---------------------------------------------------------------------- fading weights


def test_old_events_weigh_less_with_a_half_life():
    events = table_of(weights_of_three_tastes())
    days = np.random.default_rng(0).integers(0, 40, len(events))
    days[0] = 40
    events["timestamp"] = np.datetime64("2024-01-01", "us") + days.astype("timedelta64[D]")
    faded = events.assign(weight=events["weight"] * 0.5 ** ((40 - days) / 10))
    found = ALS(6, half_life="10D", **LOSS).fit(events)
    expected = ALS(6, **LOSS).fit(faded.drop(columns="timestamp"))
    np.testing.assert_allclose(
        found.predict(events), expected.predict(events), rtol=1e-4, atol=1e-5
    )
    # Rows that a newer batch touches are solved for with weights of the new day.
    later = events[:3].assign(timestamp=events["timestamp"].max() + np.timedelta64(10, "D"))
    found.partial_fit(later)
    merged = pd.concat((faded.assign(weight=faded["weight"] / 2), later[:3]))
    matrix = np.zeros((70, 45))
    np.add.at(matrix, (merged["user_id"], merged["item_id"]), merged["weight"])
    user = int(later["user_id"].iloc[0])
    expected = half_step(matrix, found.item_factors_, **LOSS)[user]
    np.testing.assert_allclose(found.user_factors_[user], expected, rtol=1e-3, atol=1e-4)
    # And with a refresh all of them.
    expected = ALS(6, **LOSS).fit(table_of(matrix)).predict(events)
    np.testing.assert_allclose(found.refresh().predict(events), expected, rtol=1e-3, atol=1e-4)


# ---------------------------------------------------------------------- hostile input


def finite_or_refused(model, data):
    """Fit, or see that the refusal says what to do; return whether there is a model."""
    try:
        model.fit(data)
    except FloatingPointError as error:
        assert "Raise regularization, or scale the weights down" in str(error)  # noqa: PT017
        return False
    assert np.isfinite(model.user_factors_).all()
    assert np.isfinite(model.item_factors_).all()
    return True


@each_solver
@both_kinds
@pytest.mark.parametrize("weight", [1e-30, 1e30, 3e38])
def test_weights_of_any_size_give_finite_vectors_or_a_clear_error(how, feedback, weight):
    matrix = weights_of_three_tastes(least=1.0) / 2
    matrix[::3] *= weight
    fine = finite_or_refused(ALS(6, feedback=feedback, **how), matrix)
    assert fine or weight > 1


@each_solver
@both_kinds
@pytest.mark.parametrize("unobserved_weight", [0.0, 0.1])
def test_no_regularization_gives_finite_vectors_or_a_clear_error(how, feedback, unobserved_weight):
    model = ALS(
        30, feedback=feedback, regularization=0.0, unobserved_weight=unobserved_weight, **how
    )
    if finite_or_refused(model, table_of(weights_of_three_tastes(20, 15))):
        assert np.isfinite(model.explain(0, 0)["contribution"]).all()


@each_solver
@both_kinds
def test_one_user_and_one_item_are_enough(how, feedback):
    model = ALS(16, feedback=feedback, **how).fit([[2.0]])
    items, scores = model.recommend([0], k=2, exclude_seen=False)
    assert items[0, 0] == 0
    assert np.isfinite(scores[0, 0])
    assert scores[0, 0] > 0
    assert np.isfinite(model.explain(0, 0)["contribution"]).all()


@each_solver
def test_more_factors_than_items_or_users_do_no_harm(how):
    matrix = weights_of_three_tastes(20, 15)
    model = ALS(50, **how, **LOSS).fit(matrix)
    assert np.isfinite(model.item_factors_).all()
    expected = half_step(matrix, model.item_factors_, **LOSS)
    np.testing.assert_allclose(model.user_factors_, expected, rtol=1e-2, atol=2e-4)
