"""A learned order of candidates: what it may know, what its scores mean, what it refuses."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ecomrec
from ecomrec.cf import ALS, ItemKNN, Popularity
from ecomrec.coldstart import AttributeToFactor
from ecomrec.datasets import make_shop
from ecomrec.exceptions import DataError, FileFormatError, UnknownIdError
from ecomrec.hybrid import Blend, RankFusion, Stacking, Switch, TwoStage, _pair_features, _ranker

GENERATORS = [("knn", ItemKNN(shrink=5.0)), ("popular", Popularity())]
START = pd.Timestamp("2026-01-01")


@pytest.fixture(scope="module")
def shop():
    return make_shop(n_users=400, n_items=60, n_events=8000, random_state=1)


@pytest.fixture(scope="module")
def fitted(shop):
    return TwoStage(GENERATORS, held_out_users=0.2).fit(
        shop.events, items=shop.items, users=shop.users
    )


# ---------------------------------------------------------------------- no leak


N_ITEMS = 300


def log_with_a_break(seed=0, n_users=400):
    """Everything sells equally well until a day; after it some items are hot."""
    rng = np.random.default_rng(seed)
    hot = rng.permutation(N_ITEMS)[:30]
    early = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(n_users), 9),
            "item_id": rng.permutation(np.repeat(np.arange(N_ITEMS), n_users * 9 // N_ITEMS)),
            "timestamp": START + pd.to_timedelta(rng.random(n_users * 9) * 80, unit="D"),
        }
    )
    later = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(n_users), 2),
            "item_id": rng.choice(hot, n_users * 2),
            "timestamp": START + pd.to_timedelta(81 + rng.random(n_users * 2) * 9, unit="D"),
        }
    )
    return pd.concat([early, later], ignore_index=True), hot


def counting(**params):
    """Features that are counts: nothing tells single items apart, so none is learned by heart."""
    groups = ["scores", "ranks", "popularity"]
    return TwoStage(GENERATORS, feature_groups=groups, n_candidates=N_ITEMS, **params)


def test_what_was_counted_later_is_not_seen():
    events, _ = log_with_a_break()
    model = counting().fit(events)
    assert model.n_positives_ > 200
    importance = model.feature_importances()["importance"]
    assert importance.abs().max() < 0.1, importance


def test_that_test_sees_a_leak(monkeypatch):
    """The same with features made from all events: popularity tells what sold later."""
    events, _ = log_with_a_break()
    whole = []
    counted, learn = _pair_features.pair_features, TwoStage._learn_own

    def leaking(shop, *rest, **more):
        return counted(whole[0], *rest, **more)

    def remember(self, source, sides):
        whole.append(source.shop("weight", None))
        return learn(self, source, sides)

    monkeypatch.setattr(TwoStage, "_learn_own", remember)
    monkeypatch.setattr(_pair_features, "pair_features", leaking)
    importance = counting().fit(events).feature_importances()["importance"]
    assert importance["item_popularity"] > 0.2, importance


def test_features_are_what_was_known_at_the_cut(monkeypatch):
    events, _ = log_with_a_break()
    seen = []
    counted = _pair_features.pair_features

    def spy(shop, facts, *rest, **more):
        seen.append((shop, facts))
        return counted(shop, facts, *rest, **more)

    monkeypatch.setattr(_pair_features, "pair_features", spy)
    TwoStage(GENERATORS, later=0.2).fit(events)
    cut = events["timestamp"].sort_values().iloc[int(0.8 * len(events))]
    early = events[events["timestamp"] < cut]
    for shop, facts in seen:
        assert shop.n_entries == len(early.drop_duplicates(["user_id", "item_id"]))
        assert shop.newest < cut.value
        times = early.groupby("item_id")["timestamp"].max().reindex(range(N_ITEMS))
        expected = times.to_numpy(dtype="datetime64[ns]").astype(np.int64)
        np.testing.assert_array_equal(facts.item_times, expected)


@pytest.mark.parametrize("since", ["later", "before", None])
def test_attributes_count_from_when_they_are_known(since):
    events, hot = log_with_a_break()
    future = np.isin(np.arange(N_ITEMS), hot) * 1.0  # computed from sales to come
    items = pd.DataFrame({"item_id": range(N_ITEMS), "future_sales": future})
    if since is not None:
        items["timestamp"] = START + pd.Timedelta(81 if since == "later" else 0, unit="D")
    model = TwoStage(GENERATORS, n_candidates=N_ITEMS).fit(events, items=items)
    importance = model.feature_importances()["importance"]["item: future_sales"]
    assert importance == 0 if since == "later" else importance > 0.2


def test_held_out_users_teach_nothing(shop, fitted):
    held_out = fitted.held_out_users_
    assert len(held_out) > 10
    # Whatever these users do in the later slice, the ranker is the same.
    cut = shop.events["timestamp"].sort_values().iloc[int(0.8 * len(shop.events))]
    late = shop.events["timestamp"] >= cut
    early = pd.MultiIndex.from_frame(shop.events.loc[~late, ["user_id", "item_id"]])
    new = late & ~pd.MultiIndex.from_frame(shop.events[["user_id", "item_id"]]).isin(early)
    # Those who were held out: of the others who taught nothing nothing new is known.
    theirs = late & shop.events["user_id"].isin(set(held_out) & set(shop.events["user_id"][new]))
    assert theirs.sum() > 50
    rng = np.random.default_rng(0)
    changed = shop.events.copy()
    changed.loc[theirs, "item_id"] = rng.permutation(changed.loc[theirs, "item_id"])
    other = TwoStage(GENERATORS, held_out_users=0.2).fit(
        changed, items=shop.items, users=shop.users
    )
    assert set(other.held_out_users_) == set(held_out)
    for mine, theirs in zip(fitted.ranker_.nodes, other.ranker_.nodes, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_model_that_saw_the_later_events_is_refused(shop, monkeypatch):
    seen = AttributeToFactor(ALS(4).fit(shop.events), prefit=True)
    parts = [("seen", seen), ("popular", Popularity())]
    deep = [("a", Switch([("new", Popularity()), ("old", RankFusion(parts))])), *GENERATORS]
    fits = []
    monkeypatch.setattr(Popularity, "_fit", lambda *given: fits.append(given))
    for model, path in (
        (TwoStage(parts), "'seen'"),
        (TwoStage(deep), "'a__old__seen'"),
        (Stacking(parts), "'seen'"),
        (Blend(parts, weights="learned"), "'seen'"),
        (Blend(parts, weights="evidence"), "'seen'"),
        (Blend(deep, normalize="probability"), "'a__old__seen'"),
        (Switch([("x", TwoStage(parts)), ("y", Popularity())]), "'seen'"),
    ):
        with pytest.raises(ValueError, match=f"{path} is an AttributeToFactor with prefit=True"):
            model.fit(shop.events, items=shop.items)
    assert not fits


def test_a_model_that_is_fitted_already_can_have_a_fixed_weight(shop):
    seen = AttributeToFactor(ALS(4).fit(shop.events), prefit=True)
    parts = [("seen", seen), ("popular", Popularity())]
    for model in (Blend(parts, weights=[0.6, 0.4]), RankFusion(parts)):
        model.fit(shop.events, items=shop.items)
        assert model.recommend([model.user_ids_[0]], k=3).items.shape == (1, 3)


# ---------------------------------------------------------------------- what scores mean


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("spread", [0.0, 1e-15, 1e-7, 1.0])
@pytest.mark.parametrize("level", [-3.0, 0.0, 0.05, 1e4])
def test_margins_that_tell_nothing_have_the_base_rate(method, spread, level):
    labels = np.arange(1000) % 20 == 0
    found = level + spread * (np.arange(1000) // 20 % 2)
    knots = _ranker.calibrated(found, labels, method)
    assert np.isfinite(knots).all()
    assert _ranker.rates(knots, found).mean() == pytest.approx(0.05, rel=0.02)


@pytest.mark.parametrize("slope", [1.0, 1e7, 1e-7])
def test_a_line_in_the_log_odds_is_found_wherever_the_margins_lie(slope):
    rng = np.random.default_rng(0)
    odds = rng.normal(-2, 1, 20_000)
    labels = rng.random(20_000) < 1 / (1 + np.exp(-odds))
    found = 5.0 * slope + slope * odds
    knots = _ranker.calibrated(found, labels, "sigmoid")
    np.testing.assert_allclose(_ranker.rates(knots, found), 1 / (1 + np.exp(-odds)), atol=0.02)


def test_a_ranker_that_is_worse_than_chance_keeps_its_order_and_the_base_rate():
    found = np.linspace(40, 60, 1000)
    knots = _ranker.calibrated(found, np.arange(1000) < 100, "sigmoid")
    rates = _ranker.rates(knots, found)
    assert (np.diff(rates) >= 0).all()
    np.testing.assert_allclose(rates, 0.1, rtol=1e-3)


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
@pytest.mark.parametrize(
    "ranker",
    [Lasso(1.0), HistGradientBoostingClassifier(min_samples_leaf=10**6)],
    ids=["lasso", "stumps"],
)
def test_a_ranker_that_tells_nothing_says_the_base_rate(shop, ranker, calibration):
    model = TwoStage(GENERATORS, ranker, calibration=calibration).fit(shop.events)
    scores = model.recommend(model.user_ids_[:5].tolist(), k=3).scores
    assert np.ptp(scores) < 1e-6
    assert 0.01 < scores[0, 0] < 0.2


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
def test_scores_read_as_rates(calibration):
    """Of candidates with score p, p are touched by users whom no training has touched."""
    rng = np.random.default_rng(4)
    n_users, n_items = 1500, 30
    chance = np.linspace(0.02, 0.5, n_items)
    rows, columns = np.nonzero(rng.random((n_users, n_items)) < 0.25)
    early = pd.DataFrame({"user_id": rows, "item_id": columns})
    early["timestamp"] = START + pd.to_timedelta(rng.random(len(rows)), unit="D")

    def visits(day):
        rows, columns = np.nonzero(rng.random((n_users, n_items)) < chance)
        when = START + pd.to_timedelta(day + rng.random(len(rows)), unit="D")
        return pd.DataFrame({"user_id": rows, "item_id": columns, "timestamp": when})

    later, test = visits(1), visits(9)
    events = pd.concat([early, later], ignore_index=True)
    items = pd.DataFrame({"item_id": range(n_items), "liking": chance})
    share = 1 - len(early) / len(events.drop_duplicates(["user_id", "item_id"])) * 0.93
    model = TwoStage(
        [("popular", Popularity())],
        later=round(share, 2),
        calibration=calibration,
        held_out_users=0.3,
        n_negatives=5,
        feature_groups=["items", "scores"],
    ).fit(events, items=items)
    users = model.held_out_users_.tolist()
    frame = model.recommend(users, k=n_items).to_frame()
    touched = pd.MultiIndex.from_frame(test[["user_id", "item_id"]])
    pairs = pd.MultiIndex.from_frame(frame[["user_id", "item_id"]])
    frame["hit"] = pairs.isin(touched)
    frame["bin"] = pd.qcut(frame["score"], 5, duplicates="drop")
    table = frame.groupby("bin", observed=True)[["score", "hit"]].mean()
    assert len(table) >= 4
    # Three standard errors of a rate in a bin, and what the split shifts.
    tolerance = 3 * np.sqrt(0.25 / (len(frame) / 5)) + 0.06
    np.testing.assert_allclose(table["score"], table["hit"], atol=tolerance)
    assert frame["score"].between(0, 1).all()


def test_order_is_that_of_the_ranker_even_where_rates_tie(shop):
    model = TwoStage(GENERATORS, calibration="isotonic").fit(shop.events, items=shop.items)
    raw = TwoStage(GENERATORS, calibration=None).fit(shop.events, items=shop.items)
    users = model.user_ids_[:40].tolist()
    assert model.recommend(users, k=20).items.tolist() == raw.recommend(users, k=20).items.tolist()


def test_better_than_its_generators_where_attributes_decide():
    """Only the price tells what is bought later; generators do not know it."""
    rng = np.random.default_rng(0)
    n_users, n_items = 300, 60
    prices = rng.permutation(np.linspace(1, 100, n_items))
    taste = rng.choice([5.0, 50.0, 95.0], n_users)
    order = np.argsort(np.abs(prices[None, :] - taste[:, None]), axis=1)[:, :14]
    rows = np.repeat(np.arange(n_users), 14)
    events = pd.DataFrame({"user_id": rows, "item_id": order.ravel()})
    events["timestamp"] = START + pd.to_timedelta(rng.random(len(events)), unit="D")
    events = events.sort_values("timestamp", ignore_index=True)
    train, test = events[:-900], events[-900:]
    items = pd.DataFrame({"item_id": range(n_items), "price": prices})
    popular = [("popular", Popularity())]
    model = TwoStage(popular, LogisticRegression()).fit(train, items=items)
    trees = TwoStage(popular).fit(train, items=items)
    assert trees.score(test) > 2 * Popularity().fit(train).score(test)
    assert trees.feature_importances().index[0] == "price_fit"
    assert model.ranker_ is not None


# ---------------------------------------------------------------------- rankers


def rankers():
    yield "logistic", lambda: make_pipeline(StandardScaler(), LogisticRegression())
    yield "linear", LinearRegression
    yield "forest", lambda: RandomForestClassifier(10, min_samples_leaf=20)

    def lightgbm(name):
        module = pytest.importorskip("lightgbm")
        return getattr(module, name)(n_estimators=10, verbosity=-1, n_jobs=1)

    def xgboost(name):
        module = pytest.importorskip("xgboost")
        return getattr(module, name)(n_estimators=10, n_jobs=1)

    for name in ("LGBMClassifier", "LGBMRegressor", "LGBMRanker"):
        yield name, lambda name=name: lightgbm(name)
    for name in ("XGBClassifier", "XGBRegressor", "XGBRanker"):
        yield name, lambda name=name: xgboost(name)


@pytest.mark.parametrize(("name", "make"), list(rankers()), ids=lambda v: v if v is str else None)
def test_any_ranker_learns_and_is_saved(shop, name, make, tmp_path):
    model = TwoStage(GENERATORS, make()).fit(shop.events, items=shop.items, users=shop.users)
    users = model.user_ids_[:20].tolist()
    recs = model.recommend(users, k=8)
    assert ((recs.scores >= 0) & (recs.scores <= 1)).all()
    again = TwoStage(GENERATORS, make()).fit(shop.events, items=shop.items, users=shop.users)
    np.testing.assert_array_equal(recs.scores, again.recommend(users, k=8).scores)
    table = model.explain(users[0], recs.items[0, 0])
    assert table["contribution"].sum() == pytest.approx(recs.scores[0, 0], rel=1e-4)
    path = tmp_path / "shop.ecomrec"
    if name == "forest":
        with pytest.raises(
            TypeError, match="Cannot save a RandomForestClassifier: nothing is pickled"
        ):
            model.save(path)
        return
    model.save(path)
    back = ecomrec.load(path, verify=True)
    np.testing.assert_array_equal(back.recommend(users, k=8).items, recs.items)
    np.testing.assert_allclose(back.recommend(users, k=8).scores, recs.scores, rtol=1e-6)
    pd.testing.assert_frame_equal(back.feature_importances(), model.feature_importances())
    assert repr(back) == repr(model)


def test_terms_of_a_linear_ranker_add_up_in_its_own_space(shop):
    model = TwoStage(GENERATORS, LinearRegression(), calibration=None).fit(
        shop.events, items=shop.items
    )
    user = model.user_ids_[3]
    item = model.recommend([user], k=1).items[0, 0]
    table = model.explain(user, item)
    row = model.features([user], [item]).iloc[0]
    terms = table[table["kind"] == "feature"].set_index("reason")["contribution"]
    weights = dict(zip(model.feature_names_, model.ranker_.coef_, strict=True))
    typical = dict(zip(model.feature_names_, model._state.learned.own.typical, strict=True))
    for name, term in terms.items():
        expected = weights[name] * (np.nan_to_num(row[name], nan=typical[name]) - typical[name])
        assert term == pytest.approx(expected, abs=1e-8)
    assert table["contribution"].sum() == pytest.approx(row["score"])
    assert set(table["part"]) <= {"knn", "popular", "TwoStage"}


class Unsure(RegressorMixin, BaseEstimator):
    """Says NaN of some rows, once it may."""

    says_nan = True

    def fit(self, X, y):
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return np.where(self.says_nan & (np.arange(len(X)) % 7 == 0), np.nan, X[:, 0])


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic", None])
def test_a_ranker_that_says_nan_is_named(shop, calibration, monkeypatch):
    with pytest.raises(
        DataError, match=r"the ranker Unsure scores \d+ of \d+ rows NaN or infinite"
    ):
        TwoStage(GENERATORS, Unsure(), calibration=calibration).fit(shop.events)
    monkeypatch.setattr(Unsure, "says_nan", False)
    model = TwoStage(GENERATORS, Unsure(), calibration=calibration).fit(shop.events)
    user = model.user_ids_[0]
    model.recommend([user])
    monkeypatch.setattr(Unsure, "says_nan", True)
    for call in (
        lambda: model.recommend([user]),
        lambda: model.predict([(user, model.item_ids_[0])]),
    ):
        with pytest.raises(DataError, match="the ranker Unsure scores"):
            call()


@pytest.mark.parametrize(
    ("ranker", "takes"),
    [
        (HistGradientBoostingClassifier(), True),
        (LogisticRegression(), False),
        (make_pipeline(StandardScaler(), HistGradientBoostingClassifier()), True),
        (make_pipeline("passthrough", HistGradientBoostingClassifier()), True),
        (make_pipeline(SelectKBest(k=3), HistGradientBoostingClassifier()), False),
        (make_pipeline(SimpleImputer(), LogisticRegression()), False),
        (make_pipeline(make_pipeline(SelectKBest(k=3)), HistGradientBoostingClassifier()), False),
    ],
    ids=["trees", "line", "scaled", "passed", "selected", "imputed", "nested"],
)
def test_a_ranker_takes_missing_values_if_each_step_does(ranker, takes):
    assert _ranker.takes_missing(ranker) is takes


def test_a_selector_before_trees_learns(shop):
    ranker = make_pipeline(SelectKBest(k=3), HistGradientBoostingClassifier(max_iter=5))
    model = TwoStage(GENERATORS, ranker, n_candidates=10).fit(shop.events, items=shop.items)
    assert model.recommend([model.user_ids_[0]], k=3).scores.min() > 0


# ---------------------------------------------------------------------- features


def test_what_scores_shares_and_places_add_is_the_parts(shop):
    """A part may be named as columns are, and a column as a feature of a part."""
    parts = [("knn", ItemKNN()), ("item", Popularity())]
    items = shop.items[["item_id"]].assign(knn_rank=np.arange(60.0), item_share=np.arange(60) % 7)
    ranker = make_pipeline(StandardScaler(), LogisticRegression())
    groups = ["scores", "ranks", "popularity", "items"]
    model = TwoStage(parts, ranker, feature_groups=groups).fit(shop.events, items=items)
    told = [
        model.explain(user, model.recommend([user], k=1).items[0, 0])
        for user in model.user_ids_[:20].tolist()
    ]
    table = pd.concat(told)
    owner = table[table["kind"] == "feature"].set_index("reason")["part"].to_dict()
    for name in ("knn", "item"):
        for what in ("score", "share", "rank"):
            assert owner.get(f"{name}_{what}", name) == name
    for name in ("item_popularity", "item: knn_rank", "item: item_share"):
        assert owner[name] == "TwoStage"


def test_only_places_of_parts_stand_behind_the_last_where_they_are_missing(shop):
    sales = np.where(np.arange(60) % 3 == 0, np.nan, np.arange(60) * 1000.0)
    found = {}
    for name in ("sales_rank", "sales_position"):
        items = shop.items[["item_id"]].assign(**{name: sales})
        model = TwoStage(
            GENERATORS,
            make_pipeline(StandardScaler(), LogisticRegression(C=0.1)),
            feature_groups=["ranks", "items"],
            n_candidates=20,
        ).fit(shop.events, items=items)
        found[name] = model._state.learned.own.typical
    np.testing.assert_array_equal(found["sales_rank"], found["sales_position"])
    assert found["sales_rank"][:2].tolist() == [21, 21]
    assert found["sales_rank"][2] > 1000


def recency(gone):
    return round(2 * np.log2(1 + gone / pd.Timedelta("1D"))) / 2


def test_features_are_those_of_the_definition(fitted, shop):
    users, items = fitted.user_ids_[:3].tolist(), fitted.item_ids_[:20].tolist()
    table = fitted.features(users, items)
    assert table.shape == (60, 3 + len(fitted.feature_names_))
    events = shop.events
    first = table.iloc[7]
    user, item = int(first["user_id"]), int(first["item_id"])
    mine = events[events["user_id"] == user]
    sold = events.drop_duplicates(["user_id", "item_id"])["item_id"].value_counts()
    assert first["item_popularity"] == pytest.approx(np.log((sold[item] + 0.5) / sold.sum()))
    assert first["user_items"] == pytest.approx(np.log1p(mine["item_id"].nunique()))
    newest = events["timestamp"].max()
    last = events.groupby("item_id")["timestamp"].max()[item]
    assert first["item_recency"] == recency(newest - last)
    assert first["user_recency"] == recency(newest - mine["timestamp"].max())
    prices = shop.items.set_index("item_id")["price"]
    usual = np.log(prices[mine["item_id"].unique()]).mean()
    assert first["price_fit"] == pytest.approx(np.log(prices[item]) - usual)
    assert first["item: price"] == prices[item]
    country = shop.users.set_index("user_id")["country"][user]
    assert first[f"user: country={country}"] == 1
    popular = fitted.parts_["popular"]
    assert first["popular_score"] == popular.predict([(user, item)])[0]
    assert first["score"] == fitted.predict([(user, item)])[0]
    shown = popular.recommend([user], k=60).items[0].tolist()
    unseen = [
        i
        for i in items
        if i in shown and (user, i) in set(zip(table["user_id"], table["item_id"], strict=True))
    ]
    ranks = table[table["user_id"] == user].set_index("item_id")["popular_rank"]
    for one in unseen:
        assert 1 <= ranks[one] <= shown.index(one) + 1


def test_attributes_of_many_kinds(shop):
    n = len(shop.items)
    items = shop.items.assign(
        title=[f"thing {k}" for k in range(n)],
        tags=[["new", "red"] if k % 2 else ["red"] for k in range(n)],
        sale=[k % 3 == 0 for k in range(n)],
        size=[None if k % 4 else 2.5 for k in range(n)],
        added=pd.Timestamp("2020-01-01"),
    )
    model = TwoStage(GENERATORS, feature_groups=["items", "ranks"]).fit(shop.events, items=items)
    names = set(model.feature_names_)
    assert {"item: sale", "item: size", "item: tags=new", "item: tags=red"} <= names
    assert not any("title" in name or "added" in name or "=thing" in name for name in names)
    rows = model.features([model.user_ids_[0]], [0, 1])
    assert rows["item: tags=new"].tolist() == [0, 1]
    assert rows["item: sale"].tolist() == [1, 0]
    assert np.isnan(rows["item: size"]).tolist() == [False, True]


def test_updates_reach_the_features(shop):
    model = TwoStage(GENERATORS).fit(shop.events, items=shop.items)
    ranker = model.ranker_
    newest = shop.events["timestamp"].max() + pd.Timedelta("3D")
    batch = pd.DataFrame({"user_id": [5, 9999], "item_id": [0, 777], "timestamp": newest})
    new = pd.DataFrame({"item_id": [777, 1], "price": [9.0, 4.5], "category": ["mug", None]})
    model.partial_fit(batch, items=new)
    assert model.ranker_ is ranker
    table = model.features([5, 9999], [0, 777, 1]).set_index(["user_id", "item_id"])
    assert table.loc[(5, 0), ["item_recency", "user_recency"]].tolist() == [0, 0]
    assert table.loc[(9999, 777), "item: price"] == 9.0
    assert table.loc[(9999, 777), "item: category=mug"] == 1
    assert table.loc[(5, 1), "item: price"] == 4.5
    model.forget(items=[777], users=[5])
    # With both events of the batch its time is forgotten.
    assert 777 not in model.item_ids_
    table = model.features([7], [0, 1]).set_index("item_id")
    assert table.loc[1, "item: price"] == 4.5
    earlier = shop.events[shop.events["user_id"] != 5]
    last = earlier[earlier["item_id"] == 0]["timestamp"].max()
    assert table.loc[0, "item_recency"] == recency(earlier["timestamp"].max() - last)
    model.refresh()
    assert model.recommend([7], k=3).items.shape == (1, 3)


# ---------------------------------------------------------------------- context


def seasonal(seed=0, n_users=400):
    """What is bought depends on the weather: umbrellas (0 to 9) or hats (10 to 19)."""
    rng = np.random.default_rng(seed)
    wet = rng.random(n_users * 6) < 0.5
    items = np.where(wet, rng.integers(0, 10, len(wet)), rng.integers(10, 20, len(wet)))
    when = START + pd.to_timedelta(np.sort(rng.random(len(wet)) * 90), unit="D")
    return pd.DataFrame(
        {
            "user_id": rng.permutation(np.repeat(np.arange(n_users), 6)),
            "item_id": items,
            "weather": np.where(wet, "wet", "dry"),
            "hour": rng.integers(0, 24, len(wet)),
            "timestamp": when,
        }
    )


@pytest.fixture(scope="module")
def weather():
    items = pd.DataFrame({"item_id": range(20), "kind": np.repeat(["umbrella", "hat"], 10)})
    return TwoStage([("popular", Popularity())], context=["weather", "hour"]).fit(
        seasonal(), items=items
    )


def test_context_decides(weather):
    users = weather.user_ids_[:30].tolist()
    wet = weather.recommend(users, k=5, context={"weather": "wet", "hour": 9}).items
    dry = weather.recommend(users, k=5, context={"weather": "dry", "hour": 9}).items
    assert (wet < 10).mean() > 0.8
    assert (dry >= 10).mean() > 0.8
    each = pd.DataFrame({"weather": ["wet", "dry"] * 15, "hour": 9})
    both = weather.recommend(users, k=5, context=each).items
    np.testing.assert_array_equal(both[::2], wet[::2])
    np.testing.assert_array_equal(both[1::2], dry[1::2])
    rows = weather.recommend(
        history=[[0], [1]], context={"weather": ["wet", "dry"], "hour": 1}, k=4
    )
    assert (rows.items[0] < 10).mean() > 0.7
    assert (rows.items[1] >= 10).mean() > 0.7


def test_context_is_asked_for_everywhere(weather):
    user, context = weather.user_ids_[0], {"weather": "wet", "hour": 3}
    score = weather.predict([(user, 3), (user, 13)], context=context)
    assert score[0] > score[1]
    table = weather.explain(user, 3, context=context)
    assert table["contribution"].sum() == pytest.approx(score[0])
    rows = weather.features([user], [3], context=context)
    assert rows["context: weather=wet"].tolist() == [1]
    assert rows["context: hour"].tolist() == [3]
    for call in (
        lambda: weather.recommend([user]),
        lambda: weather.predict([(user, 3)]),
        lambda: weather.explain(user, 3),
        lambda: weather.features([user], [3]),
    ):
        with pytest.raises(
            DataError, match=r"context columns \['hour', 'weather'\]; pass context="
        ):
            call()
    with pytest.raises(DataError, match=r"the context lacks \['weather'\]; it has \['hour'\]"):
        weather.recommend([user], context={"hour": 3})
    with pytest.raises(DataError, match=r"the context lacks the columns \['weather'\]"):
        weather.recommend([user], context=pd.DataFrame({"hour": [3]}))
    with pytest.raises(DataError, match="the context has 2 values of 'hour' for 1 rows"):
        weather.recommend([user], context={"hour": [3, 4], "weather": "wet"})
    with pytest.raises(DataError, match=r"hour holds 'noon'.*in fit it held numbers"):
        weather.recommend([user], context={"hour": "noon", "weather": "wet"})


def test_context_is_saved(weather, tmp_path):
    weather.save(tmp_path / "shop.ecomrec")
    back = ecomrec.load(tmp_path / "shop.ecomrec")
    context = {"weather": "dry", "hour": 9}
    one, two = (m.recommend([1, 2], context=context) for m in (weather, back))
    np.testing.assert_array_equal(one.scores, two.scores)


def test_context_columns_must_be_in_the_events():
    events = seasonal()
    with pytest.raises(DataError, match=r"event table lacks the columns \['moon'\]"):
        TwoStage(GENERATORS, context=["moon"]).fit(events)
    visits = events.assign(visit=[f"visit {n}" for n in range(len(events))])
    with pytest.raises(DataError, match=r"context columns \['visit'\] hold neither numbers nor"):
        TwoStage(GENERATORS, context=["visit", "hour"]).fit(visits)
    with pytest.raises(DataError, match=r"names columns of the event table"):
        TwoStage(GENERATORS, context=["hour"]).fit(np.eye(5))


# ---------------------------------------------------------------------- too little, and mistakes


def test_without_enough_to_learn_places_decide():
    events = pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": [1, 2, 2, 3, 4]})
    model = TwoStage(GENERATORS, n_candidates=4).fit(events)
    assert model.ranker_ is None
    items, scores = model.recommend([1], k=3)
    # Item 3 is the first of knn and, with 4, of popularity; 4 is known to popularity alone.
    assert items[0].tolist()[:2] == [3, 4]
    assert scores[0, :2] == pytest.approx([1.0, 0.5])
    table = model.explain(1, 3)
    assert table["contribution"].tolist() == [0.5, 0.5]
    assert set(table["part"]) == {"knn", "popular"}
    with pytest.raises(
        DataError, match=r"no ranker was learned: 0 candidates.*min_positives is 50"
    ):
        model.feature_importances()


def test_a_matrix_is_divided_at_random():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 3, 200)
    matrix = (
        rng.random((200, 30)) < np.where(np.arange(30) // 10 == groups[:, None], 0.6, 0.05)
    ) * 1.0
    model = TwoStage(GENERATORS).fit(matrix)
    assert model.ranker_ is not None
    assert "item_recency" not in model.feature_names_
    own = np.array(
        [
            np.isin(row // 10, g).mean()
            for row, g in zip(model.recommend(range(200), k=3).items, groups, strict=True)
        ]
    )
    assert own.mean() > 0.9


def test_wrong_compositions_are_refused(shop):
    events = shop.events
    with pytest.raises(ValueError, match="candidates must be None or a list of at least 1"):
        TwoStage([]).fit(events)
    with pytest.raises(ValueError, match="part named 'a'"):
        TwoStage([("a", ItemKNN()), ("a", Popularity())]).fit(events)
    with pytest.raises(ValueError, match="part named 'a__b'"):
        TwoStage([("a__b", ItemKNN())]).fit(events)
    with pytest.raises(ValueError, match="part named 'later'"):
        TwoStage([("later", ItemKNN())]).fit(events)
    with pytest.raises(ValueError, match=r"ranker must be None or what learns.*StandardScaler"):
        TwoStage(GENERATORS, StandardScaler()).fit(events)
    with pytest.raises(
        DataError, match=r"leaves the ranker without features.*Pass items= or users="
    ):
        TwoStage(GENERATORS, feature_groups=["items"]).fit(events)
    with pytest.raises(UnknownIdError, match="'nobody'"):
        TwoStage(GENERATORS, min_positives=10**6).fit(events).features(["nobody"], [1])


def test_parameters_of_parts_and_ranker_are_set_by_name():
    model = TwoStage(GENERATORS, LogisticRegression())
    model.set_params(knn__shrink=2.0, ranker__C=0.5, popular=ItemKNN(7))
    params = model.get_params()
    assert params["knn__shrink"] == 2.0
    assert params["ranker__C"] == 0.5
    assert params["popular__n_neighbors"] == 7
    assert isinstance(GENERATORS[1][1], Popularity)


def test_a_file_that_does_not_fit_is_refused(fitted, tmp_path):
    from ecomrec import persistence

    path = tmp_path / "shop.ecomrec"
    fitted.save(path)
    manifest, arrays = persistence.read(path)
    for name, bad in (
        ("own.typical", np.zeros(3)),
        ("own.knots", np.zeros((3, 1))),
        ("own.knots", np.full((2, 1), np.nan)),
        ("own.item_values", np.zeros((2, 2))),
        ("own.user_values", np.zeros((2, 2))),
        ("own.item_times", np.zeros(3, dtype=np.int64)),
        ("own.held_out", np.zeros(2, dtype=bool)),
        ("own.learner.left", arrays["own.learner.left"] * 0),
    ):
        assert name in arrays, name
        persistence.write(path, manifest, arrays | {name: bad})
        with pytest.raises(FileFormatError):
            ecomrec.load(path)


def test_candidates_run_out_by_popularity(shop):
    model = TwoStage([("knn", ItemKNN())], n_candidates=3).fit(shop.events)
    items, scores = model.recommend([model.user_ids_[0]], k=8)
    assert (scores[0, :3] > 0).all()
    assert (scores[0, 3:] == 0).all()
    assert len(set(items[0].tolist())) == 8
