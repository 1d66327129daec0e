"""Known answers: the equations of the docstrings on small matrices, written out slowly."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from ecomrec.cf import ItemKNN, UserKNN

RNG = np.random.default_rng(0)
WEIGHTS = RNG.integers(0, 4, size=(30, 12)).astype(np.float64)
PLAIN = {"user_damping": 0, "history_damping": 0.5, "popularity_damping": 0.5, "shrink": 0}


def _without_diagonal(matrix):
    matrix = matrix.copy()
    np.fill_diagonal(matrix, 0)
    return matrix


def test_plain_cosine_equals_that_of_scikit_learn():
    model = ItemKNN(50, **PLAIN).fit(WEIGHTS)
    expected = _without_diagonal(cosine_similarity(WEIGHTS.T))
    np.testing.assert_allclose(model.similarity_.toarray(), expected, rtol=1e-5)


def test_cosine_between_users_equals_that_of_scikit_learn():
    model = UserKNN(50, item_damping=0, shrink=0).fit(WEIGHTS)
    expected = _without_diagonal(cosine_similarity(WEIGHTS))
    np.testing.assert_allclose(model.similarity_.toarray(), expected, rtol=1e-5)


def test_the_damped_cosine_equals_its_equation():
    model = ItemKNN(
        50, user_damping=0.5, history_damping=1.0, popularity_damping=0.6, shrink=7
    ).fit(WEIGHTS)
    degrees = (WEIGHTS > 0).sum(axis=1)
    shared = (WEIGHTS * degrees[:, None] ** -0.5).T @ WEIGHTS
    norms = (WEIGHTS**2).sum(axis=0)
    expected = shared / (norms[:, None] ** 1.0 * norms[None, :] ** 0.6 + 7)
    np.testing.assert_allclose(model.similarity_.toarray(), _without_diagonal(expected), rtol=1e-5)


def test_jaccard_counts_shared_users_over_the_union():
    model = ItemKNN(50, similarity="jaccard", shrink=0).fit(WEIGHTS)
    bought = (WEIGHTS > 0).astype(float)
    shared = bought.T @ bought
    counts = bought.sum(axis=0)
    expected = shared / (counts[:, None] + counts[None, :] - shared)
    np.testing.assert_allclose(model.similarity_.toarray(), _without_diagonal(expected), rtol=1e-5)


def test_conditional_probability_is_the_share_of_buyers_who_also_bought():
    model = ItemKNN(
        50, similarity="conditional", user_damping=0, popularity_damping=0, shrink=0
    ).fit(WEIGHTS)
    bought = (WEIGHTS > 0).astype(float)
    expected = bought.T @ bought / bought.sum(axis=0)[:, None]
    np.testing.assert_allclose(model.similarity_.toarray(), _without_diagonal(expected), rtol=1e-5)


def test_rp3beta_equals_the_random_walk():
    alpha, beta = 0.8, 0.4
    model = ItemKNN(
        50, similarity="rp3beta", user_damping=alpha, popularity_damping=beta, shrink=0
    ).fit(WEIGHTS)
    from_item = (WEIGHTS.T / WEIGHTS.sum(axis=0)[:, None]) ** alpha
    from_user = (WEIGHTS / WEIGHTS.sum(axis=1)[:, None]) ** alpha
    expected = from_item @ from_user / WEIGHTS.sum(axis=0)[None, :] ** beta
    np.testing.assert_allclose(model.similarity_.toarray(), _without_diagonal(expected), rtol=1e-5)


def test_mutual_neighbours_are_among_the_best_of_their_column():
    loose = ItemKNN(4, **PLAIN).fit(WEIGHTS).similarity_.toarray()
    mutual = ItemKNN(4, mutual=True, **PLAIN).fit(WEIGHTS).similarity_.toarray()
    kept = loose >= np.sort(loose, axis=0)[-4]
    np.testing.assert_array_equal(mutual, np.where(kept, loose, 0))


def test_normalised_rows_add_up_to_one():
    model = ItemKNN(4, normalize=True).fit(WEIGHTS)
    np.testing.assert_allclose(model.similarity_.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("centering", ["none", "mean"])
def test_a_predicted_rating_equals_the_textbook_formula(centering):
    ratings = RNG.integers(1, 6, size=(25, 8)) * (RNG.random((25, 8)) < 0.7)
    ratings = ratings.astype(np.float64)
    users, items = np.nonzero(ratings)
    events = pd.DataFrame({"user_id": users, "item_id": items, "rating": ratings[users, items]})
    model = UserKNN(3, target="rating", similarity="msd", centering=centering, shrink=0)
    model.fit(events)
    means = np.array([r[r > 0].mean() for r in ratings]) if centering == "mean" else np.zeros(25)
    user, item = 4, int(np.flatnonzero(ratings[4] == 0)[0])
    likeness = []
    for other in range(25):
        both = (ratings[user] > 0) & (ratings[other] > 0)
        if other != user and ratings[other, item] > 0 and both.any():
            gap = np.mean((ratings[user, both] - ratings[other, both]) ** 2)
            likeness.append((1 / (gap + 1), other))
    best = sorted(likeness, key=lambda pair: (-np.float32(pair[0]), pair[1]))[:3]
    total = sum(s * (ratings[v, item] - means[v]) for s, v in best)
    expected = np.clip(means[user] + total / sum(s for s, _ in best), 1, 5)
    assert model.predict([(user, item)])[0] == pytest.approx(expected, rel=1e-5)


def test_a_rating_model_refuses_a_table_without_ratings():
    events = pd.DataFrame({"user_id": [1, 2], "item_id": [3, 3]})
    with pytest.raises(ValueError, match="ratings are needed: the table has no rating"):
        UserKNN(target="rating").fit(events)
