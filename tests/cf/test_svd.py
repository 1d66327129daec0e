"""What SVD alone promises: its equation, its vectors, what updates move and read."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from ecomrec.cf import SVD
from ecomrec.cf._rating_factors import contributions
from ecomrec.data.histories import stored_profiles
from ecomrec.data.rows import RowStore
from ecomrec.kernels import least_squares

MODELS = [SVD(8), SVD(8, implicit_feedback=True)]
both = pytest.mark.parametrize("model", MODELS, ids=["SVD", "SVD++"])


def tastes(n_users=80, n_items=40, share=0.5, seed=0):
    """Ratings of two camps who like the items that the other camp dislikes."""
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((n_users, n_items)) < share)
    liked = np.where(users % 2 == items % 2, 5, 2) - rng.integers(0, 2, len(users))
    return pd.DataFrame({"user_id": users, "item_id": items, "rating": liked.astype(float)})


def rmse(model, ratings):
    return float(np.sqrt(np.mean((model.predict(ratings) - ratings["rating"]) ** 2)))


@both
def test_two_camps_are_told_apart(model):
    ratings = tastes()
    test = np.arange(len(ratings)) % 4 == 0
    fitted = clone(model).set_params(max_iter=60).fit(ratings[~test])
    # The best that can be known errs by 0.5, the biases alone by more than 1.5.
    assert rmse(fitted, ratings[test]) < 0.6


@both
def test_a_prediction_is_the_equation_of_the_fitted_attributes(model):
    ratings = tastes(12, 9)
    fitted = clone(model).fit(ratings)
    assert fitted.mean_ == pytest.approx(ratings["rating"].mean())
    user, item = 5, 3
    expected = (
        fitted.mean_
        + fitted.user_biases_[user]
        + fitted.item_biases_[item]
        + fitted.user_factors_[user] @ fitted.item_factors_[item]
    )
    found = fitted.predict([(user, item), (user, "?"), ("?", item), ("?", "?")])
    baselines = [
        fitted.mean_ + fitted.user_biases_[user], fitted.mean_ + fitted.item_biases_[item],
        fitted.mean_,
    ]  # fmt: skip
    low, high = ratings["rating"].min(), ratings["rating"].max()
    np.testing.assert_allclose(found, np.clip([expected, *baselines], low, high), rtol=1e-5)
    assert fitted.user_factors_.shape == (12, 8)
    assert fitted.item_factors_.shape == (9, 8)
    assert not fitted.item_factors_.flags.writeable


def test_a_user_is_the_ridge_solution_given_the_items():
    ratings = tastes(12, 9)
    model = SVD(4, max_iter=10, learning_rate=0.02, regularization=0.1).fit(ratings)
    mine = ratings[ratings["user_id"] == 3]
    items = mine["item_id"].to_numpy()
    # Errors are measured in a quarter of the range of ratings, here 1 to 5.
    rated = np.column_stack((model.item_factors_[items], np.ones(len(items))))
    left = mine["rating"].to_numpy() - model.mean_ - model.item_biases_[items]
    penalty = 0.1 * len(items) + 1 / (0.02 * 10)
    expected = np.linalg.solve(rated.T @ rated + penalty * np.eye(5), rated.T @ left)
    found = np.append(model.user_factors_[3], model.user_biases_[3])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@both
@pytest.mark.parametrize("factor", [20.0, 0.01])
def test_the_scale_of_the_ratings_does_not_matter(model, factor):
    ratings = tastes(20, 15)
    plain = clone(model).fit(ratings)
    scaled = clone(model).fit(ratings.assign(rating=ratings["rating"] * factor))
    pairs = ratings[["user_id", "item_id"]]
    np.testing.assert_allclose(plain.predict(pairs) * factor, scaled.predict(pairs), rtol=1e-4)


def test_a_descent_that_runs_away_is_named():
    with pytest.raises(FloatingPointError, match=r"learning_rate=9.0. Lower it"):
        SVD(learning_rate=9.0).fit(tastes())


def test_a_table_without_ratings_is_refused():
    events = pd.DataFrame({"user_id": [1, 2], "item_id": [3, 3]})
    with pytest.raises(ValueError, match="ratings are needed: the table has no rating"):
        SVD().fit(events)


def test_items_beyond_the_best_rating_are_ranked_before_they_are_cut_off():
    ratings = tastes(20, 15)
    model = SVD(8, max_iter=200).fit(ratings)
    items, scores = model.recommend([2], k=15, exclude_seen=False)
    state = model._state
    plain = state.learned.user_factors[2] @ state.learned.item_factors[items[0]].T
    assert (np.diff(plain) <= 1e-5).all()
    assert scores.max() <= ratings["rating"].max()


@both
def test_what_a_rating_contributes_depends_on_that_rating_alone(model):
    state = clone(model).fit(tastes(12, 9))._state
    learned, user, target = state.learned, 4, state.learned.item_factors[0]
    mine = stored_profiles(state.interactions, np.array([user]))
    parts = contributions(learned, mine, target.astype(np.float64))
    taste = learned.user_factors[user, :-2] @ target[:-2]
    np.testing.assert_allclose(parts.sum(), taste, rtol=1e-3, atol=1e-5)
    higher = mine._replace(weights=mine.weights + np.eye(len(mine.items), dtype=np.float32)[0])
    changed = contributions(learned, higher, target.astype(np.float64))
    assert changed[0] != parts[0]
    np.testing.assert_allclose(changed[1:], parts[1:], rtol=1e-6, atol=1e-9)


@both
def test_an_explanation_names_the_biases_and_every_rating(model):
    ratings = tastes(12, 9)
    table = clone(model).fit(ratings).explain(4, 0)
    named = table[table["kind"] == "baseline"]["reason"]
    assert set(named) == {"all ratings", "the user", "the item"}
    own = ratings.loc[ratings["user_id"] == 4, "item_id"]
    assert set(table.loc[table["kind"] == "item", "reason"]) == set(own)
    assert set(table["kind"]) <= {"baseline", "item", "range"}


@pytest.mark.parametrize("implicit", [False, True])
def test_a_batch_that_is_half_of_the_data_is_learned_as_well_as_by_a_fit(implicit):
    ratings = tastes(120, 60).sample(frac=1, random_state=0)
    test, train = ratings[:600], ratings[600:]
    model = SVD(8, implicit_feedback=implicit, max_iter=40)
    whole = clone(model).fit(train)
    grown = clone(model).fit(train[:1500])
    before = rmse(grown, test)
    for start in range(1500, len(train), 300):
        grown.partial_fit(train[start : start + 300])
    assert rmse(grown, test) < before
    assert rmse(grown, test) < 1.1 * rmse(whole, test)
    grown.refresh()
    np.testing.assert_allclose(grown.predict(test), whole.predict(test), rtol=1e-4)


def test_a_new_item_rated_by_new_users_is_learned_at_once():
    ratings = tastes()
    model = SVD(8, max_iter=60).fit(ratings)
    fans = pd.DataFrame({"user_id": np.repeat([900, 901, 902], 2), "item_id": [0, 500] * 3})
    model.partial_fit(fans.assign(rating=5.0))
    assert 500 in model.recommend([0], k=40, exclude_seen=False).items
    assert model.predict([(0, 500)])[0] > model.mean_


@pytest.mark.parametrize("n_users", [500, pytest.param(50_000, marks=pytest.mark.slow)])
def test_an_update_reads_the_rows_of_its_users_and_items_and_no_others(monkeypatch, n_users):
    read = {"taken": 0, "solved": 0}
    take, solve = RowStore.take, least_squares.solve

    def counted_take(self, rows):
        read["taken"] += len(rows)
        return take(self, rows)

    def counted_solve(numbers, *args, **kwargs):
        read["solved"] += len(numbers)
        return solve(numbers, *args, **kwargs)

    ratings = tastes(n_users, 300, share=0.05)
    model = SVD(8).fit(ratings)
    monkeypatch.setattr(RowStore, "take", counted_take)
    monkeypatch.setattr(least_squares, "solve", counted_solve)
    batch = ratings.iloc[:20].assign(rating=3.0)
    n_touched, n_items = batch["user_id"].nunique(), batch["item_id"].nunique()
    model.partial_fit(batch)
    assert read["solved"] == 2 * n_touched + n_items
    assert read["taken"] <= 4 * (n_touched + n_items)


def test_forgetting_erases_the_rows_and_the_users_of_the_item_are_folded_in_anew():
    ratings = tastes(12, 9)
    model = SVD(4).fit(ratings)
    before = model.item_factors_.copy()
    model.forget(users=[3], items=[2])
    assert not model.forget_exact_
    assert 3 not in model.user_ids_
    np.testing.assert_array_equal(model.item_factors_, np.delete(before, 2, axis=0))
    left = ratings[(ratings["user_id"] != 3) & (ratings["item_id"] != 2)]
    stored = model.recommend(model.user_ids_, k=9)
    folded = model.recommend(history=left, k=9)
    np.testing.assert_allclose(stored.scores, folded.scores, rtol=1e-4)
    expected = clone(model).fit(left)
    refreshed = model.refresh()
    np.testing.assert_allclose(
        refreshed.predict(left), expected.predict(left), rtol=1e-4
    )  # what they taught the others is gone


@both
def test_any_number_of_threads_gives_the_same_bits(model):
    ratings = tastes(400, 300)
    found = []
    for n_jobs in (1, 2, None):
        fitted = clone(model).set_params(n_factors=48, n_jobs=n_jobs).fit(ratings)
        found.append(fitted.user_factors_.tobytes() + fitted.item_factors_.tobytes())
    assert found[0] == found[1] == found[2]


def test_another_seed_is_another_start():
    ratings = tastes(12, 9)
    one, same, other = (SVD(4, random_state=seed).fit(ratings) for seed in (0, 0, 1))
    assert one.item_factors_.tolist() == same.item_factors_.tolist()
    assert one.item_factors_.tolist() != other.item_factors_.tolist()
