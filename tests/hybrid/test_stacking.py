"""Scores added up as held-out pairs teach."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import RidgeCV

import ecomrec
from ecomrec.base import BaseRecommender
from ecomrec.cf import SVD, ItemKNN, Popularity
from ecomrec.datasets import make_shop
from ecomrec.exceptions import FileFormatError
from ecomrec.hybrid import Stacking
from ecomrec.hybrid.stacking import Stacked

PARTS = [("knn", ItemKNN(shrink=5.0)), ("popular", Popularity())]


@pytest.fixture(scope="module")
def shop():
    return make_shop(n_users=400, n_items=60, n_events=8000, random_state=1)


class Noise(BaseRecommender):
    """Scores that mean nothing."""

    _learned_types = (Stacked,)

    def _fit(self, shop, sides):
        return Stacked(None, np.empty((2, 0)), 0)

    def _score(self, state, query):
        first = query.profiles.items[query.profiles.indptr[:-1]]
        rows = [np.random.default_rng(int(item)) for item in first]
        return np.stack([rng.random(state.interactions.n_items) for rng in rows]).astype("f4")


def test_a_part_that_knows_nothing_counts_for_nothing(shop):
    model = Stacking([*PARTS, ("noise", Noise())]).fit(shop.events)
    knn, popular, noise = model.final_estimator_.coef_[0]
    assert knn > 10 * abs(noise)
    assert popular > 10 * abs(noise)


def test_score_is_that_of_the_definition(shop):
    model = Stacking(PARTS).fit(shop.events)
    user = model.user_ids_[4]
    frame = model.recommend([user], k=60).to_frame()
    frame = frame[frame["score"] > 0]
    pairs = [(user, item) for item in frame["item_id"]]
    columns = []
    for name, _ in PARTS:
        scores = model.parts_[name].predict(pairs)
        columns.append(scores / model.parts_[name].recommend([user], k=1).scores[0, 0])
    learned = model.final_estimator_
    margins = np.column_stack(columns) @ learned.coef_[0] + learned.intercept_[0]
    slope, shift = model._state.learned.own.knots[:, 0]
    expected = 1 / (1 + np.exp(-(slope * margins + shift)))
    np.testing.assert_allclose(frame["score"], expected, rtol=1e-4)
    np.testing.assert_allclose(model.predict(pairs), expected, rtol=1e-4)
    table = model.explain(user, pairs[0][1])
    assert table["contribution"].sum() == pytest.approx(expected[0], rel=1e-4)
    assert set(table["part"]) == {"knn", "popular", "Stacking"}


def test_folds_hold_out_each_pair_once():
    from ecomrec.data.source import Source

    rng = np.random.default_rng(0)
    matrix = (rng.random((30, 20)) < 0.3) * 1.0
    source = Source.of(matrix, None, None, None, 1)
    total = np.zeros((30, 20))
    for rest, held_out in source.folds(3, seed=1):
        total[held_out.users, held_out.items] += 1
        left = rest.shop("weight", None)
        assert left.n_entries + len(held_out.users) == matrix.sum()
        assert not left.to_scipy().toarray()[held_out.users, held_out.items].any()
        per_user = np.bincount(held_out.users, minlength=30)
        assert (np.abs(per_user - matrix.sum(axis=1) / 3) < 1).all()
    np.testing.assert_array_equal(total, matrix)


@pytest.mark.parametrize(
    "final", [RidgeCV(), HistGradientBoostingClassifier(max_iter=10)], ids=["ridge", "trees"]
)
def test_other_final_estimators(shop, final, tmp_path):
    model = Stacking(PARTS, final).fit(shop.events)
    users = model.user_ids_[:9].tolist()
    recs = model.recommend(users)
    model.save(tmp_path / "shop.ecomrec")
    back = ecomrec.load(tmp_path / "shop.ecomrec", verify=True)
    np.testing.assert_array_equal(back.recommend(users).scores, recs.scores)
    assert ((recs.scores >= 0) & (recs.scores <= 1)).all()


def test_parts_may_rate():
    rng = np.random.default_rng(0)
    rows, columns = np.nonzero(rng.random((80, 30)) < 0.4)
    stars = rng.integers(1, 6, len(rows)) * 1.0
    events = pd.DataFrame({"user_id": rows, "item_id": columns, "rating": stars})
    model = Stacking([("svd", SVD(4)), ("knn", ItemKNN())]).fit(events)
    assert model.n_positives_ > 50
    assert model.recommend([3], k=4).items.shape == (1, 4)


def test_too_little_is_a_mean():
    events = pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": [1, 2, 2, 3, 4]})
    model = Stacking(PARTS).fit(events)
    assert model.final_estimator_ is None
    items, scores = model.recommend([1], k=2)
    assert items[0].tolist() == [3, 4]
    assert scores[0] == pytest.approx([1.0, 0.5])


def test_wrong_compositions_are_refused(shop):
    with pytest.raises(ValueError, match="parts must be None or a list of at least 1"):
        Stacking([]).fit(shop.events)
    with pytest.raises(ValueError, match="part named 'a'"):
        Stacking([("a", ItemKNN()), ("a", Popularity())]).fit(shop.events)
    with pytest.raises(ValueError, match="final_estimator must be None or what learns"):
        Stacking(PARTS, 3).fit(shop.events)


def test_a_file_that_does_not_fit_is_refused(shop, tmp_path):
    from ecomrec import persistence

    path = tmp_path / "shop.ecomrec"
    Stacking(PARTS).fit(shop.events).save(path)
    manifest, arrays = persistence.read(path)
    for name, bad in (
        ("own.knots", np.zeros((3, 1))),
        ("own.learner.coef_", np.zeros((1, 5))),
    ):
        persistence.write(path, manifest, arrays | {name: bad})
        with pytest.raises(FileFormatError):
            ecomrec.load(path)
