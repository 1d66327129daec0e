"""What privacy costs in accuracy on a made-up shop whose parameters are fixed here (P13).

The shop: 1,000 items in 20 taste groups and about 28 items of each user. A fifth of the items of
2,000 users who were in no fit is to be found from the rest, among all items that they do not
have, in 20 places. The constants of `DPEASE` were chosen on shops of other seeds and on other
data.
"""

import math
from functools import cache

import numpy as np
import pytest

from ecomrec.cf import EASE, Popularity
from ecomrec.datasets import make_shop
from ecomrec.evaluation import per_user_metrics
from ecomrec.privacy import DPEASE, DPPopularity, SeededNoise

pytestmark = pytest.mark.slow

PAIR = ["user_id", "item_id"]
DELTA = 2.5e-6
SEEDS = range(5)
HELD_OUT = 2000


class Shop:
    """A made-up shop, with users who are held out, and the histories that these tell."""

    def __init__(self, n_users):
        everybody = n_users + HELD_OUT
        made = make_shop(
            everybody, 1000, 41 * everybody, 20, taste=0.45, columns=PAIR, random_state=1
        )
        events = made.events.drop_duplicates(ignore_index=True)
        rng = np.random.default_rng(0)
        tested = rng.permutation(everybody)[:HELD_OUT]
        test = events["user_id"].isin(tested).to_numpy()
        self.items, self.train = made.items, events[~test]
        self.n_users = self.train["user_id"].nunique()
        shuffled = events[test].sample(frac=1, random_state=0)
        place = shuffled.groupby("user_id").cumcount()
        size = shuffled.groupby("user_id")["item_id"].transform("size")
        hidden = place < np.maximum(1, (0.2 * size).round())
        several = size >= 5
        self.given = shuffled[~hidden & several].groupby("user_id")["item_id"].agg(list)
        self.wanted = shuffled[hidden & several]

    def recalls(self, model):
        recs = model.recommend(history=self.given.tolist(), k=20)
        users = self.given.index
        return per_user_metrics(recs, users, self.wanted, 20, metrics=["recall"])["recall"]

    def recall(self, kind, epsilon, **params):
        """Recall@20 of each held-out user, the mean over the seeds of the noise."""
        found = []
        for seed in SEEDS:
            model = kind(epsilon, delta=DELTA, noise_source=SeededNoise(seed), **params)
            found.append(self.recalls(model.fit(self.train, items=self.items)))
        return np.mean(found, axis=0)

    @cache  # noqa: B019
    def not_private(self):
        """Recall@20 of the best EASE without privacy, its regularization chosen on the test."""
        models = [EASE(), EASE(user_damping=1.0), *map(EASE, (100.0, 300.0, 1000.0, 3000.0, 1e4))]
        return max(self.recalls(model.fit(self.train)).mean() for model in models)


@pytest.fixture(scope="module")
def small():
    return Shop(12_000)


def test_the_shop_is_what_the_figures_are_about(small):
    assert 11_900 < small.n_users <= 12_000
    assert 27 < len(small.train) / small.n_users < 30
    assert 1900 < len(small.given) <= HELD_OUT
    assert 0.10 < small.recalls(Popularity().fit(small.train)).mean() < 0.18
    assert 0.38 < small.not_private() < 0.44


def test_12000_users_keep_most_accuracy_at_epsilon_3_and_beat_one_list(small):
    private = small.recall(DPEASE, 3.0)
    same = small.recall(DPPopularity, 3.0)
    assert private.mean() >= 0.85 * small.not_private()
    # The difference of each user, and the lower end of the 95 % interval of its mean.
    more = private - same
    assert more.mean() - 1.96 * more.std() / math.sqrt(len(more)) > 0.15
    exact = small.recalls(DPEASE(math.inf).fit(small.train, items=small.items)).mean()
    assert private.mean() < exact
    # Nothing is lost by the path itself.
    assert exact > 0.98 * small.not_private()


def test_38000_users_keep_88_percent_at_epsilon_1_and_95_at_epsilon_3():
    shop = Shop(38_000)
    best = shop.not_private()
    assert shop.recall(DPEASE, 1.0).mean() >= 0.88 * best
    assert shop.recall(DPEASE, 3.0).mean() >= 0.95 * best
