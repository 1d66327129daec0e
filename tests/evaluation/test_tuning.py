"""Searches: which parameters are tried, what ends a trial early, and what is kept."""

import sys
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, ParameterGrid, PredefinedSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted

from ecomrec._registry import ESTIMATORS
from ecomrec.cf import ItemKNN, Popularity
from ecomrec.data import EventWeights
from ecomrec.datasets import make_shop
from ecomrec.evaluation import (
    KFoldRows,
    RandomPerUser,
    TemporalSplit,
    TuningResult,
    ranking_scorer,
    train_test_split,
    tune,
)
from ecomrec.evaluation._space import read_space
from ecomrec.evaluation._trials import BelowMedian
from ecomrec.exceptions import DataError

optuna: Any = pytest.importorskip("optuna")


class Dial(BaseEstimator):
    """Is as good as its dial says; remembers every fit of every copy."""

    fits: list[dict[str, Any]] = []  # noqa: RUF012

    def __init__(self, dial=0.5, *, tone=None, max_iter=None):
        self.dial = dial
        self.tone = tone
        self.max_iter = max_iter

    def fit(self, X, y=None, *, items=None, users=None):
        if self.dial == "broken":
            raise ArithmeticError("the dial came off")
        if self.dial == "stop":
            raise KeyboardInterrupt
        self.n_rows_ = len(X)
        self.sides_ = (items, users)
        Dial.fits.append(
            self.get_params() | {"n_rows": len(X), "first": X["user_id"].tolist()[:9]}
        )
        return self

    def recommend(self, users, k=10):
        raise AssertionError("these tests score by reading the dial.")


def reading(model, X, y=None):
    return model.dial


@pytest.fixture(autouse=True)
def fits():
    Dial.fits.clear()
    return Dial.fits


def search(events, space, estimator=None, **options):
    options = {"scoring": reading, "cv": TemporalSplit(1)} | options
    return tune(estimator or Dial(), space, events, **options)


# ---------------------------------------------------------------------- what is tried


def test_own_parameters_come_first_and_the_best_is_never_below_them(events):
    result = search(events, {"dial": [0.1, 0.2, 0.3]})
    assert result.trials["dial"].iloc[0] == 0.5
    assert sorted(result.trials["dial"].iloc[1:]) == [0.1, 0.2, 0.3]
    assert (result.best_params_, result.best_score_) == ({"dial": 0.5}, 0.5)


def test_own_parameters_win_a_tie(events):
    result = search(events, {"tone": ["high", "low"]})
    assert result.best_params_ == {"tone": None}


def test_small_space_is_tried_as_a_whole_and_nothing_twice(events, fits):
    space = {"dial": [0.5, 0.6], "tone": [None, "high", "low"]}
    result = search(events, space, n_trials=30, refit=False)
    assert len(result.trials) == len(fits) == 6
    assert set(zip(result.trials["dial"], result.trials["tone"], strict=True)) == {
        (one["dial"], one["tone"]) for one in ParameterGrid(space)
    }


def test_proposals_that_were_tried_cost_nothing_and_do_not_count(events, fits):
    space = {"dial": [*np.linspace(0, 1, 8)], "tone": ["high", "low", "flat"]}
    result = search(events, space, n_trials=20, refit=False)
    tried = result.trials.duplicated(["dial", "tone"])
    assert len(result.study.trials) > len(result.trials) == len(fits) == 20
    assert not tried.any()
    assert result.best_score_ == 1.0


def test_sampler_without_new_ideas_ends_the_search(events, fits):
    class Stubborn(optuna.samplers.RandomSampler):
        def sample_independent(self, *_):
            return 0.7

    study = optuna.create_study(direction="maximize", sampler=Stubborn())
    result = search(events, {"dial": (0.0, 1.0)}, n_trials=5, study=study, refit=False)
    assert [one["dial"] for one in fits] == [0.5, 0.7]
    assert result.best_params_ == {"dial": 0.7}


def test_same_seed_same_trials(events):
    space = {"dial": (0.0, 1.0), "tone": ["high", "low"]}
    tables = [
        search(events, space, n_trials=14, random_state=seed).trials.drop(columns="seconds")
        for seed in (3, 3, 4)
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert tables[0]["dial"].tolist() != tables[2]["dial"].tolist()


def test_order_of_a_space_changes_nothing(events):
    spaces = [{"dial": (0.0, 1.0), "max_iter": (1, 9, "int")}]
    spaces.append(dict(reversed(spaces[0].items())))
    one, other = (search(events, space, n_trials=12).trials["dial"] for space in spaces)
    assert one.tolist() == other.tolist()


def test_good_regions_are_searched_more(events):
    result = search(events, {"dial": (0.0, 1.0)}, n_trials=40)
    assert result.trials["dial"].iloc[20:].mean() > 0.65
    assert result.best_score_ > 0.95


@given(st.integers(1, 1000), st.integers(1, 1000), st.sampled_from([(), ("int",), ("log", "int")]))
def test_ranges_are_kept_to(low, length, words):
    entry = read_space(Dial(), {"dial": (low, low + length, *words)})["dial"]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    values = [entry.suggest(study.ask(), "dial") for _ in range(5)]
    assert all(low <= value <= low + length for value in values)
    assert {type(value) for value in values} == {int if "int" in words else float}
    assert all(entry.label(value) == value for value in values)
    for outside in (low - 1, low + length + 1, None, True, "x"):
        with pytest.raises(LookupError):
            entry.label(outside)


def test_logarithmic_range_tries_every_magnitude():
    entry = read_space(Dial(), {"dial": (1e-4, 1.0, "log")})["dial"]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    values = [entry.suggest(study.ask(), "dial") for _ in range(40)]
    assert np.histogram(np.log10(values), bins=4, range=(-4, 0))[0].min() >= 4


def test_values_may_be_of_any_kind(events):
    dials = [{"view": 1}, {"view": 2}]
    result = tune(
        Dial(), {"dial": dials}, events, scoring=lambda model, X: 1.0 * (model.dial == dials[1])
    )
    assert result.best_params_ == {"dial": {"view": 2}}
    assert result.best_estimator_.dial == {"view": 2}


def test_numbers_beside_none_stay_numbers(events):
    result = search(events, {"max_iter": [None, 3, np.int64(4)]}, prune=False)
    assert sorted(result.trials["max_iter"].iloc[1:].tolist()) == [3, 4]
    assert all(type(v) is int for v in result.trials["max_iter"] if v is not None)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_own_space_of_every_model_suits_both_searches(name):
    model = getattr(import_module(ESTIMATORS[name]), name)
    params = getattr(model, "_test_params", dict)()
    if ESTIMATORS[name] == "ecomrec.privacy":  # each fit of a search spends: nothing to begin with
        assert not model.tuning_space
        return
    space = read_space(model(**params), None)
    for one in list(ParameterGrid(dict(model.tuning_space)))[:50]:
        assert {name: entry.value(entry.label(one[name])) for name, entry in space.items()} == one


# ---------------------------------------------------------------------- scores


def test_finds_what_grid_search_finds():
    events = make_shop(n_users=150, n_items=60, n_events=3000, random_state=0).events
    space, cv = {"shrink": [0, 500], "user_damping": [0.5, 1.0]}, TemporalSplit(2)
    grid = GridSearchCV(ItemKNN(), space, cv=cv, scoring=ranking_scorer("recall", k=5))
    grid.fit(events)
    result = tune(ItemKNN(), space, events, metric="recall", k=5, cv=cv, prune=False)
    assert result.best_params_ == grid.best_params_
    assert result.best_score_ == pytest.approx(grid.best_score_)
    expected = grid.best_estimator_.recommend([3, 4]).items.tolist()
    assert result.best_estimator_.recommend([3, 4]).items.tolist() == expected


def test_without_a_split_the_newest_fifth_is_asked_for(events, fits):
    search(events, {"dial": [0.5]}, cv=None, refit=False)
    (fit,) = fits
    train, _ = train_test_split(events)
    assert fit["n_rows"] == len(train)


def test_random_split_is_made_once_for_all_trials(events, fits):
    search(events, {"dial": [0.1, 0.2]}, cv=KFoldRows(2), refit=False, prune=False)
    assert len({str(fit["first"]) for fit in fits}) == 2
    assert len(fits) == 6


def test_rows_may_be_given_as_pairs(events, fits):
    pairs = [(np.arange(100), np.arange(100, 400)), (np.arange(200), np.arange(200, 400))]
    for cv in (pairs, PredefinedSplit(np.repeat([-1, 0], 200))):
        search(events, {"dial": [0.5]}, cv=cv, refit=False, prune=False)
    assert [fit["n_rows"] for fit in fits] == [100, 200, 200]


def test_every_kind_of_table_is_taken(stub, make_table, events):
    table = make_table({name: events[name].tolist() for name in events})
    result = tune(stub(), {"reverse": [True, False]}, table, k=4, cv=TemporalSplit(2))
    expected = tune(stub(), {"reverse": [True, False]}, events, k=4, cv=TemporalSplit(2))
    assert result.trials["score"].tolist() == expected.trials["score"].tolist()
    assert result.best_params_ == {"reverse": False}


def test_ratings_are_tuned_by_a_scorer_of_scikit_learn():
    rng = np.random.default_rng(0)
    pairs = pd.DataFrame(
        {"user_id": rng.integers(0, 40, 900), "item_id": rng.integers(0, 20, 900)}
    )
    agree = pairs["user_id"] % 2 == pairs["item_id"] % 2
    stars = np.where(agree, 4.0, 2.0) + rng.integers(-1, 2, 900)
    model, space = ItemKNN(target="rating"), {"n_neighbors": [None, 1, 10]}
    options = {"scoring": "neg_root_mean_squared_error", "cv": KFoldRows(2, random_state=0)}
    grid = GridSearchCV(model, space, **options).fit(pairs, stars)
    result = tune(model, space, pairs, stars, **options)
    assert result.best_params_ == grid.best_params_
    assert result.best_score_ == pytest.approx(grid.best_score_)
    assert result.best_estimator_.predict([(0, 1)])[0] < 3


def test_side_tables_reach_every_fit_and_the_last_step_of_a_pipeline(events):
    items, users = pd.DataFrame({"item_id": [1]}), pd.DataFrame({"user_id": [1]})
    result = search(events, {"dial": [0.5]}, items=items, users=users)
    assert result.best_estimator_.sides_ == (items, users)
    pipe = Pipeline([("skip", "passthrough"), ("model", Dial())])
    result = search(
        events, {"model__dial": [0.9]}, pipe, items=items, scoring=lambda pipe, X: pipe[-1].dial
    )
    assert result.best_estimator_[-1].sides_ == (items, None)
    assert result.best_params_ == {"model__dial": 0.9}


def test_steps_before_the_model_are_searched_as_well():
    events = make_shop(n_users=100, n_items=40, n_events=2000, random_state=0).events
    worth = [
        {"view": 0, "cart": 0, "purchase": 0, "return": 0},
        {"view": 1, "cart": 3, "purchase": 5, "return": -5},
    ]
    pipe = make_pipeline(EventWeights(worth[1]), Popularity())
    result = tune(pipe, {"eventweights__weights": worth}, events)
    assert result.best_params_ == {"eventweights__weights": worth[1]}
    # Weights of 0 leave nothing to ask for.
    assert result.trials["state"].tolist() == ["complete", "failed"]
    assert "no pair with a positive weight" in result.trials["error"][1]


def test_space_of_a_pipeline_is_that_of_its_last_step():
    pipe = make_pipeline("passthrough", Popularity())
    assert set(read_space(pipe, None)) == {"popularity__count"}


# ---------------------------------------------------------------------- early ends


def test_models_with_iterations_are_looked_at_after_few_of_them(events, fits):
    search(events, {"dial": [0.5]}, Dial(max_iter=16), refit=False)
    assert [fit["max_iter"] for fit in fits] == [4, 16]


def test_what_is_behind_after_few_iterations_is_cut(events, fits):
    dials = [0.9, 0.8, 0.7, 0.6, 0.55, 0.1]
    study = optuna.create_study(direction="maximize", pruner=BelowMedian())
    study.enqueue_trial({}, user_attrs={"own parameters": []})
    for dial in dials:
        study.enqueue_trial({"dial": dial})
    result = search(
        events, {"dial": dials}, Dial(max_iter=18), study=study, n_trials=7, refit=False
    )
    assert result.trials["state"].tolist() == ["complete"] * 5 + ["pruned"] * 2
    assert result.trials["score"].isna().tolist() == [False] * 5 + [True] * 2
    assert [fit["max_iter"] for fit in fits if fit["dial"] == 0.1] == [4]
    assert [fit["max_iter"] for fit in fits if fit["dial"] == 0.9] == [4, 18]


def test_first_look_is_at_some_of_the_users(events, monkeypatch):
    monkeypatch.setattr("ecomrec.evaluation._trials._LOOK_USERS", 5)
    asked = []

    def counting(model, X, y=None):
        asked.append(X["user_id"].nunique())
        assert y is None or len(y) == len(X)
        return 0.5

    search(events, {"dial": [0.5]}, Dial(max_iter=9), scoring=counting)
    search(events, {"dial": [0.5]}, Dial(max_iter=9), scoring=counting, y=np.ones(len(events)))
    assert asked[0] == asked[2] == 5
    assert asked[1] == asked[3] > 15


def test_first_look_at_users_who_cannot_be_scored_cuts_nothing(events):
    def picky(model, X, y=None):
        if model.max_iter == 2:
            raise DataError("no user has a test item left")
        return model.dial

    result = search(events, {"dial": [0.1, 0.9]}, Dial(max_iter=9), scoring=picky)
    assert result.trials["state"].tolist() == ["complete"] * 3
    assert result.best_params_ == {"dial": 0.9}


def test_own_parameters_are_never_cut(events):
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.ThresholdPruner(1e9))
    result = search(events, {"dial": [0.6]}, Dial(max_iter=9), study=study)
    assert result.trials["state"].tolist() == ["complete", "pruned"]
    assert result.best_params_ == {"dial": 0.5}


def test_tuned_iterations_are_compared_at_the_same_number(events, fits):
    result = search(
        events, {"max_iter": [4, 90]}, Dial(max_iter=9), refit=False, scoring=lambda model, X: 0.5
    )
    by_trial = {size: [] for size in (9, 4, 90)}
    for trial in result.study.trials:
        own = 9 if not trial.params else trial.params["max_iter"]
        by_trial[own] = sorted(trial.intermediate_values)
    assert by_trial == {9: [1], 4: [1], 90: [0, 1]}
    assert sorted(fit["max_iter"] for fit in fits) == [4, 9, 18, 90]


def test_without_pruning_every_trial_is_one_fit_for_each_fold(events, fits):
    search(
        events,
        {"dial": [0.1, 0.2]},
        Dial(max_iter=9),
        prune=False,
        cv=TemporalSplit(2),
        refit=False,
    )
    assert [fit["max_iter"] for fit in fits] == [9] * 6


def test_iterations_of_parts_that_do_not_recommend_are_left_alone(events, fits):
    class Inner(BaseEstimator):
        def __init__(self, max_iter=100):
            self.max_iter = max_iter

    search(events, {"tone__max_iter": [100]}, Dial(tone=Inner()), refit=False)
    assert len(fits) == 1


def test_what_is_behind_after_a_fold_is_cut_and_the_last_fold_cuts_nothing(events):
    def by_fold(model, X, y=None):
        """The first fold is easier than the others for everybody."""
        return model.dial + 10 * (X["timestamp"].min() == easy)

    cv = TemporalSplit(3)
    easy = min(events["timestamp"].iloc[test].min() for _, test in cv.split(events))
    dials = [*np.linspace(0.1, 0.4, 12).round(3)]
    result = search(events, {"dial": dials}, cv=cv, scoring=by_fold, n_trials=13)
    pruned = result.trials["state"] == "pruned"
    assert pruned.iloc[:5].sum() == 0
    assert 0 < pruned.sum() < 8
    for trial in result.study.trials:
        steps = sorted(trial.intermediate_values)
        assert steps == [1, 2, 3] if trial.state.name == "COMPLETE" else steps in ([1], [1, 2])


# ---------------------------------------------------------------------- what goes wrong


def test_failing_trial_is_recorded_and_the_search_goes_on(events):
    result = search(events, {"dial": ["broken", 0.9]})
    failed = result.trials[result.trials["state"] == "failed"]
    assert failed["error"].tolist() == ["ArithmeticError: the dial came off"]
    assert failed["score"].isna().all()
    assert result.best_params_ == {"dial": 0.9}


def test_a_score_that_is_no_number_is_a_failure(events):
    scoring = lambda model, X: float("nan") if model.dial == 0.9 else model.dial  # noqa: E731
    result = search(events, {"dial": [0.9, 0.6]}, scoring=scoring)
    assert result.best_params_ == {"dial": 0.6}
    assert "the score is NaN" in "".join(result.trials["error"])


def test_nothing_but_failures_is_an_error_with_the_first(events):
    with pytest.raises(ValueError, match=r"all 2 trials failed, the first .* came off") as r:
        search(events, {"dial": ["broken"], "tone": [None, "high"]}, Dial("broken"))
    assert isinstance(r.value.__cause__, ArithmeticError)


def test_interruption_keeps_the_best_so_far(events):
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial({"dial": 0.8})
    study.enqueue_trial({"dial": "stop"})
    result = search(events, {"dial": [0.8, "stop"]}, study=study)
    assert (result.best_params_, result.best_estimator_.n_rows_) == ({"dial": 0.8}, len(events))
    assert result.trials["error"].tolist() == ["", "interrupted"]
    assert result.trials["state"].tolist() == ["complete", "failed"]


def test_interruption_before_any_result_is_one(events):
    with pytest.raises(KeyboardInterrupt):
        search(events, {"dial": [0.8]}, Dial("stop"))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"knob": [1]}, "Dial has no parameter 'knob', which the space names. Parameters: dial, "),
        ({}, "the space of Dial is empty. Pass space="),
        (None, "the space of Dial is empty"),
        (pd.DataFrame({"user_id": [1]}), "must be a dict of .* got DataFrame. The table goes to"),
        ({"dial": []}, r"space\['dial'\] is an empty list"),
        ({"dial": 3}, r"space\['dial'\] must be a list of values, or a range .* got 3"),
        ({"dial": "high"}, "must be a list of values, or a range"),
        ({"dial": (1,)}, r"must be \(low, high\), .* got \(1,\)"),
        ({"dial": (2, 1)}, r"must be \(low, high\)"),
        ({"dial": ("high", "low")}, "Values to choose among are a list"),
        ({"dial": (0, 1, "log")}, r"must be \(low, high\)"),
        ({"dial": (0, 1.5, "int")}, r"must be \(low, high\)"),
        ({"dial": (1, 2, "linear")}, r"must be \(low, high\)"),
        ({"dial": (1, float("inf"))}, r"must be \(low, high\)"),
    ],
    ids=str,
)  # fmt: skip
def test_spaces_that_make_no_sense_are_named(events, space, message):
    with pytest.raises(ValueError, match=message):
        search(events, space)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"n_neighbors": [50, 0]}, "gives 0, but n_neighbors of ItemKNN must be .* at least 1"),
        ({"n_neighbors": (1, 9)}, r"must be None or an integer .* Whole numbers: \(1, 9, 'int'\)"),
        ({"shrink": (-1, 9)}, r"gives -1.0, but shrink of ItemKNN must be"),
    ],
    ids=["list", "range", "end"],
)
def test_values_that_the_model_refuses_are_refused_before_the_search(events, space, message):
    with pytest.raises(ValueError, match=message):
        tune(ItemKNN(), space, events)
    pipe = make_pipeline(ItemKNN())
    with pytest.raises(ValueError, match=message):
        tune(pipe, {f"itemknn__{name}": values for name, values in space.items()}, events)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_trials": 0}, "n_trials must be None or a positive integer; got 0"),
        ({"n_trials": True}, "n_trials must be None or a positive integer; got True"),
        ({"n_trials": None}, "give n_trials or timeout"),
        ({"timeout": 0}, "no trial was run. Give it more time"),
        ({"cv": 3}, r"cv must be a splitter such as TemporalSplit\(3\); got 3"),
        ({"y": [1, 2]}, "y has 2 values for 400 rows"),
        ({"metric": "auc", "scoring": None}, r"metrics must be among .*got \['auc'\]"),
        ({"scoring": ranking_scorer(["ndcg", "mrr"])}, r"one metric decides .* \['ndcg', 'mrr'\]"),
        ({"random_state": -1}, "random_state must be None, a non-negative integer"),
        ({"study": "minimize"}, r'create_study\(direction="maximize"\)'),
    ],
    ids=["none", "true", "endless", "no time", "cv", "y", "metric", "metrics", "seed", "study"],
)
def test_arguments_that_are_not_valid_are_named(events, options, message):
    if "study" in options:
        options = {"study": optuna.create_study(direction=options["study"])}
    with pytest.raises(ValueError, match=message):
        search(events, {"dial": [0.1]}, **options)


def test_events_must_be_given_and_have_times_or_a_split(events):
    with pytest.raises(ValueError, match="pass events=table"):
        tune(Popularity())
    with pytest.raises(DataError, match="the event table must be a pandas, Polars or Arrow table"):
        tune(Popularity(), events=[[1, 0]])
    timeless = events.drop(columns="timestamp")
    with pytest.raises(DataError, match=r"no column 'timestamp' .* such as cv=RandomPerUser\(1\)"):
        tune(Popularity(), events=timeless)
    cv = RandomPerUser(1, random_state=0)
    assert tune(Popularity(), events=timeless, cv=cv).best_score_ > 0


def test_an_estimator_that_cannot_recommend_is_named(events):
    class Mute(BaseEstimator):
        def __init__(self, dial=1):
            self.dial = dial

        def fit(self, X, y=None):
            return self

    with pytest.raises(TypeError, match="with a method recommend is needed; got Mute"):
        tune(Mute(), {"dial": [1]}, events)


def test_without_optuna_it_says_what_to_install(events, monkeypatch):
    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] == "optuna":
                raise ModuleNotFoundError(f"No module named {name!r}", name="optuna")

    for name in [one for one in sys.modules if one.split(".")[0] == "optuna"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    with pytest.raises(ImportError, match=r"pip install 'ecomrec\[tune\]'"):
        search(events, {"dial": [0.1]})


# ---------------------------------------------------------------------- what is kept


def test_best_is_fitted_on_all_events_and_yours_stays_as_it_is(events):
    mine = Dial()
    result = search(events, {"dial": [0.9]}, mine)
    assert result.best_estimator_.n_rows_ == len(events)
    assert (mine.dial, hasattr(mine, "n_rows_")) == (0.5, False)
    unfitted = tune(Popularity(), {"count": ["weights"]}, events, refit=False).best_estimator_
    with pytest.raises(NotFittedError):
        check_is_fitted(unfitted)


def test_a_result_is_scored_by_its_best_estimator(events):
    train, test = train_test_split(events)
    test = test.assign(item_id=(test["item_id"] + 1) % 12)
    result = tune(Popularity(), events=train)
    scorer = ranking_scorer("ndcg", k=4)
    assert scorer(result, test) == scorer(result.best_estimator_, test)


def test_table_has_a_column_for_each_parameter(events):
    result = search(events, {"tone": ["high"], "dial": [0.1]})
    columns = ["number", "state", "score", "seconds", "dial", "tone", "error"]
    assert result.trials.columns.tolist() == columns
    assert (result.trials["seconds"] >= 0).all()
    assert isinstance(result, TuningResult)
    assert repr(result) == (
        "TuningResult: best score 0.5000 with dial=0.5, tone=None\n"
        "  own parameters 0.5000; 2 trials: 2 complete"
    )


def test_callbacks_see_each_trial_and_may_end_the_search(events):
    seen = []

    def enough(study, trial):
        seen.append(trial.number)
        if len(seen) == 3:
            study.stop()

    result = search(events, {"dial": (0.0, 1.0)}, callbacks=[enough])
    assert seen == result.trials["number"].tolist() == [0, 1, 2]


def test_time_is_kept_to(events):
    result = search(events, {"dial": (0.0, 1.0)}, n_trials=None, timeout=0.2, refit=False)
    assert 1 <= len(result.trials) < 2000


def test_a_study_is_continued(events, fits):
    space = {"dial": (0.0, 1.0)}
    first = search(events, space, n_trials=4, refit=False)
    second = search(events, space, n_trials=3, study=first.study, refit=False)
    assert second.trials["number"].tolist() == list(range(7))
    assert second.trials["dial"].tolist()[:4] == first.trials["dial"].tolist()
    assert sum(fit["dial"] == 0.5 for fit in fits) == 1


def test_a_study_that_has_tried_everything_is_at_its_end(events, fits):
    first = search(events, {"dial": [0.1, 0.9]}, refit=False)
    second = search(events, {"dial": [0.1, 0.9]}, study=first.study, refit=False)
    assert len(fits) == len(second.study.trials) == 3
    assert second.best_params_ == {"dial": 0.9}


def test_several_trials_at_a_time_find_it_too(events):
    result = search(events, {"dial": [0.1, 0.2, 0.8, 0.9]}, n_jobs=2)
    assert result.best_params_ == {"dial": 0.9}
    assert sorted(result.trials["dial"]) == [0.1, 0.2, 0.5, 0.8, 0.9]


def test_nothing_is_printed_unless_asked_for(events, capsys):
    before = optuna.logging.get_verbosity()
    search(events, {"dial": ["broken", 0.2]})
    assert capsys.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before
    search(events, {"dial": [0.2, 0.7]}, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "3/3" in err
    assert "best 0.7000" in err
