"""Search for the parameters of a recommender with Optuna, on splits of the training events."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv

from ecomrec._optional import require
from ecomrec._rng import RandomState, make_rng
from ecomrec.evaluation._space import read_space
from ecomrec.evaluation._tables import Table, read_table
from ecomrec.evaluation._trials import (
    ERROR,
    BelowMedian,
    Params,
    Search,
    enqueue,
    quiet,
    run,
    some_rows,
)
from ecomrec.evaluation.scoring import RankingScorer, ranking_scorer, unwrap
from ecomrec.evaluation.splits import Rows, TemporalSplit
from ecomrec.exceptions import DataError

_STATES = {"COMPLETE": "complete", "PRUNED": "pruned"}


@dataclass(frozen=True, eq=False, repr=False)
class TuningResult:
    """What `tune` found.

    Attributes
    ----------
    best_estimator_ : estimator
        Has the best parameters; fitted on all of `events`, unless ``refit=False``.
    best_params_ : dict of str to object
        The parameters of the space in the best trial.
    best_score_ : float
        Mean of the score over the splits, in the best trial.
    trials : pandas.DataFrame
        One row per trial: `number` (that of the study; proposals that were tried before are left
        out), `state` ("complete", "pruned" or "failed"), `score` (NaN unless complete),
        `seconds`, one column per parameter, and `error`, the message of a failed trial. The
        first row has the estimator's own parameters.
    study : optuna.study.Study
        What Optuna keeps, for its plots and for going on.

    Examples
    --------
    >>> from ecomrec.cf import Popularity
    >>> from ecomrec.datasets import make_shop
    >>> from ecomrec.evaluation import tune
    >>> events = make_shop(n_users=200, n_events=3000, random_state=0).events
    >>> result = tune(Popularity(count="weights"), {"half_life": [None, "7D"]}, events)
    >>> result.trials[["number", "state", "half_life"]]
       number     state half_life
    0       0  complete      None
    1       1  complete        7D
    """

    best_estimator_: Any
    best_params_: Params
    best_score_: float
    trials: pd.DataFrame
    study: Any

    def __repr__(self) -> str:
        states = self.trials["state"].value_counts(sort=False)
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        params = ", ".join(f"{name}={value!r}" for name, value in self.best_params_.items())
        own = self.trials["score"].iloc[0]
        return (
            f"TuningResult: best score {self.best_score_:.4f} with {params}\n"
            f"  own parameters {own:.4f}; {len(self.trials)} trials: {counts}"
        )


def tune(
    estimator: Any,
    space: Mapping[str, Any] | None = None,
    events: Table = None,
    y: Any = None,
    *,
    metric: str = "ndcg",
    k: int = 10,
    scoring: Any = None,
    cv: Any = None,
    n_trials: int | None = 30,
    timeout: float | None = None,
    prune: bool = True,
    items: Table | None = None,
    users: Table | None = None,
    refit: bool = True,
    random_state: RandomState = 0,
    n_jobs: int = 1,
    progress: bool = False,
    callbacks: Sequence[Callable[[Any, Any], None]] = (),
    study: Any = None,
) -> TuningResult:
    """Search for good parameters within the training events, with Optuna.

    Parameters
    ----------
    estimator : recommender, composite, or Pipeline that ends in one
        It is cloned: yours stays as it is.
    space : mapping of str to list or tuple, or None
        For each parameter a list of values to choose among, or a range: ``(low, high)``, with
        "int" behind it for whole numbers and "log" for an even spread of the logarithm, as in
        ``(16, 256, "int", "log")``. Names may be nested (``als__n_factors``). None is the
        estimator's `tuning_space`, in a `Pipeline` that of its last step.
    events : pandas, Polars or Arrow table
        The training events. Hold your test part back: what is in here has been tuned on.
    y : array-like or None
        Rating or weight of each row, as in `fit`.
    metric, k : str, int
        A name as in `ranking_metrics`, and the length of the lists: new items of known users.
    scoring : scorer, str or None
        In the place of `metric` and `k`: ``ranking_scorer(...)``, or any scorer of scikit-learn
        or its name. Higher is better.
    cv : splitter, iterable of pairs of rows, or None
        None is ``TemporalSplit(1, test_size=0.2)``: fit on the past, score on the newest fifth.
    n_trials : int or None
        Different sets of parameters to try; fewer where the space has no more, or where the
        sampler finds no new ones. None goes on until `timeout`.
    timeout : float or None
        Seconds after which no further trial is started.
    prune : bool
        Whether a trial may be cut short.
    items, users : table or None
        Side tables handed to every `fit`.
    refit : bool
        Whether to fit the best parameters on all of `events`.
    random_state : None, int, Generator or RandomState
        An integer tries the same parameters again.
    n_jobs : int
        Trials at a time, in threads. With more than 1 the trials differ from run to run, and
        those already begun are finished. The models use several threads themselves, so it is
        rarely faster.
    progress : bool
        Whether to show a bar with the best score so far.
    callbacks : sequence of callables
        Called as ``callback(study, trial)`` after each trial; ``study.stop()`` ends the search.
    study : optuna.study.Study or None
        One to go on with, made with ``direction="maximize"``; its sampler, pruner and storage are
        used, and `random_state` is not.

    Returns
    -------
    TuningResult
        `best_estimator_`, `best_params_`, `best_score_`, the table `trials`, and the `study`.

    Raises
    ------
    ImportError
        If Optuna is not installed (``pip install 'ecomrec[tune]'``).
    ValueError
        If an argument or the space is not valid, or if all trials fail.
    DataError
        If the table lacks a column or is too small for the split.
    TypeError
        If the estimator cannot recommend.

    Notes
    -----
    The first trial has the estimator's own parameters, and is never cut short: the result is at
    least as good on the splits. A space with no more than `n_trials` combinations is tried as a
    whole; otherwise Optuna's TPE sampler proposes. Proposals that were tried before cost nothing
    and do not count. A trial that raises an exception is recorded and the search goes on. Ctrl-C
    ends the search and keeps the best so far.

    Pruning: a trial is cut short if, at the same point, it is below the median of the trials that
    went to their end, of which there must be 5. The points are the folds of `cv` and, before them,
    for models with `max_iter`, a fit with a fifth of the iterations, scored on at most 2,000
    users of the first fold.

    The best score is the highest of many, and so a little too high: compare on the test part.

    Examples
    --------
    >>> from ecomrec.cf import ItemKNN
    >>> from ecomrec.datasets import make_shop
    >>> from ecomrec.evaluation import train_test_split, tune
    >>> events = make_shop(n_users=200, n_events=3000, random_state=0).events
    >>> train, test = train_test_split(events)
    >>> space = {"shrink": (1, 1000, "log"), "n_neighbors": [50, 100, 200]}
    >>> result = tune(ItemKNN(), space, train, metric="recall", n_trials=8)
    >>> len(result.trials)
    8
    >>> bool(result.best_score_ >= result.trials["score"][0])
    True
    >>> result.best_estimator_.recommend([17], k=3).items.shape
    (1, 3)
    """
    optuna = require("optuna", "tune")
    _check_counts(n_trials, timeout)
    rng = make_rng(random_state)
    wanted = read_space(estimator, space)
    folds = _folds(cv, events, y)
    search = Search(
        estimator=estimator,
        space=wanted,
        events=events,
        y=y,
        folds=folds,
        some_users=some_rows(events, folds[0][1], rng),
        scorer=_scorer(estimator, metric, k, scoring),
        sides=_side_tables(estimator, items=items, users=users),
        prune=prune,
    )
    with quiet(optuna):
        if study is None:
            sampler = optuna.samplers.TPESampler(seed=int(rng.integers(2**31)))
            study = optuna.create_study(
                direction="maximize", sampler=sampler, pruner=BelowMedian()
            )
        elif study.direction.name != "MAXIMIZE":
            raise ValueError('study must be made with optuna.create_study(direction="maximize").')
        limit = enqueue(study, search, n_trials, rng)
        run(optuna, study, search, limit, timeout, n_jobs, progress, callbacks)
    best = _best(study, search)
    params = search.params_of(best)
    tuned = search.model(params)
    if refit:
        tuned.fit(events, y, **search.sides)
    return TuningResult(tuned, params, float(best.value), _table(study, search), study)


def _best(study: Any, search: Search) -> Any:
    complete = [trial for trial in search.trials(study) if trial.state.name == "COMPLETE"]
    if not complete:
        raise ValueError("no trial was run. Give it more time, or more trials.")
    return max(complete, key=lambda trial: trial.value)


def _table(study: Any, search: Search) -> pd.DataFrame:
    trials = search.trials(study)
    table = {
        "number": [trial.number for trial in trials],
        "state": [_STATES.get(trial.state.name, "failed") for trial in trials],
        "score": [t.value if t.state.name == "COMPLETE" else math.nan for t in trials],
        "seconds": [t.duration.total_seconds() if t.duration else math.nan for t in trials],
    }
    params = [search.params_of(trial) for trial in trials]
    columns = {name: _column([one[name] for one in params]) for name in search.space}
    errors = [trial.user_attrs.get(ERROR, "") for trial in trials]
    return pd.DataFrame(table | columns | {"error": errors})


def _column(values: list[Any]) -> pd.Series[Any]:
    """Make a column in which numbers beside None stay what they are."""
    column = pd.Series(values, dtype=object)
    return column if any(value is None for value in values) else column.infer_objects()


def _folds(cv: Any, events: Table, y: Any) -> list[tuple[Rows, Rows]]:
    """Rows of train and test of each split, made once so that all trials have the same."""
    if events is None:
        raise ValueError("tune needs the training events: pass events=table.")
    frame = read_table(events, "event")
    if y is not None and len(y) != len(frame):
        raise DataError(f"y has {len(y)} values for {len(frame)} rows.")
    if cv is None:
        cv = TemporalSplit(1, test_size=0.2)
        if cv.timestamp not in frame.columns:
            raise DataError(
                f"the event table has no column {cv.timestamp!r} to split by. Pass another split, "
                "such as cv=RandomPerUser(1)."
            )
    elif isinstance(cv, numbers.Integral):
        raise ValueError(f"cv must be a splitter such as TemporalSplit({cv}); got {cv!r}.")
    return list(check_cv(cv).split(events, y))


def _scorer(estimator: Any, metric: Any, k: int, scoring: Any) -> Any:
    if scoring is None:
        scoring = ranking_scorer(metric, k=k)
    if isinstance(scoring, RankingScorer):
        unwrap(estimator)
        if not isinstance(scoring.metric, str):
            raise ValueError(f"one metric decides what is best; got {list(scoring.metric)}.")
    return check_scoring(estimator, scoring=scoring)


def _side_tables(estimator: Any, **tables: Table | None) -> Params:
    """Arguments of `fit`; those of a pipeline go to its last step."""
    prefix = f"{estimator.steps[-1][0]}__" if hasattr(estimator, "steps") else ""
    return {f"{prefix}{name}": table for name, table in tables.items() if table is not None}


def _check_counts(n_trials: Any, timeout: Any) -> None:
    if n_trials is None and timeout is None:
        raise ValueError("give n_trials or timeout: without either the search has no end.")
    whole = isinstance(n_trials, numbers.Integral) and not isinstance(n_trials, bool)
    if n_trials is not None and not (whole and n_trials >= 1):
        raise ValueError(f"n_trials must be None or a positive integer; got {n_trials!r}.")
