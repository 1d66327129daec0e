"""Trials of a search: what each fits and scores, when it is cut short, and when it is enough."""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from ecomrec._optional import require
from ecomrec.data.tables import USER
from ecomrec.evaluation._space import Space, owner_of
from ecomrec.evaluation._tables import Table, read_codes, read_table
from ecomrec.evaluation.splits import Rows
from ecomrec.exceptions import DataError

Params = dict[str, Any]
# A first look at a trial: after this share of the iterations, through so many users of the fold.
_LOOK = 1 / 5
_LOOK_USERS = 2000
# Trials that must have gone to their end before others are cut short.
_TRIALS_BEFORE_PRUNING = 5
# A sampler that repeats itself so often in a row has found what it can find.
_REPEATS = 100
# Without a number of trials, spaces of up to so many combinations are tried as a whole.
_LISTED = 1000
# Names of what a trial remembers in the study.
_OWN, ERROR, _REPEAT = "own parameters", "error", "repeats trial"


@dataclass(frozen=True)
class Search:
    """What every trial needs to know."""

    estimator: Any
    space: Space
    events: Table
    y: Any
    folds: list[tuple[Rows, Rows]]
    some_users: Rows
    scorer: Callable[..., float]
    sides: Params
    prune: bool

    def model(self, params: Params) -> Any:
        """Return an unfitted copy of the estimator with other parameters."""
        return clone(self.estimator).set_params(
            **{name: clone(value, safe=False) for name, value in params.items()}
        )

    def own_params(self) -> Params:
        """Return what the estimator has for the names of the space."""
        params = self.estimator.get_params()
        return {name: params[name] for name in self.space}

    def params_of(self, trial: Any) -> Params:
        """Return the parameters of a trial of the study."""
        if _OWN in trial.user_attrs:
            return self.own_params()
        return {name: entry.value(trial.params[name]) for name, entry in self.space.items()}

    def trials(self, study: Any) -> list[Any]:
        """Trials of this space that have run, without those that repeat another."""
        return [
            trial
            for trial in study.get_trials(deepcopy=False)
            if trial.state.name != "WAITING"
            and _REPEAT not in trial.user_attrs
            and (_OWN in trial.user_attrs or self.space.keys() <= trial.params.keys())
        ]


def run(
    optuna: Any,
    study: Any,
    search: Search,
    limit: int | None,
    timeout: float | None,
    n_jobs: int,
    progress: bool,
    callbacks: Sequence[Callable[[Any, Any], None]],
) -> None:
    """Run trials until there are enough; Ctrl-C ends it if there is something to keep."""
    if limit == 0:
        return
    errors: list[Exception] = []
    n_done = n_repeats = 0
    bar = require("tqdm.auto", "tune").tqdm(total=limit, desc="tuning") if progress else None

    def after(study: Any, trial: Any) -> None:
        nonlocal n_done, n_repeats
        repeats = _REPEAT in trial.user_attrs
        n_repeats = n_repeats + 1 if repeats else 0
        n_done += not repeats
        if n_done == limit or n_repeats == _REPEATS:
            study.stop()
        if repeats:
            return
        if bar is not None:
            complete = [t.value for t in search.trials(study) if t.state.name == "COMPLETE"]
            bar.set_postfix_str(f"best {max(complete):.4f}" if complete else "none complete")
            bar.update()
        for callback in callbacks:
            callback(study, trial)

    def objective(trial: Any) -> float:
        try:
            return _objective(optuna, study, search, trial)
        except optuna.TrialPruned:
            raise
        except Exception as error:
            errors.append(error)
            trial.set_user_attr(ERROR, f"{type(error).__name__}: {error}")
            raise
        except KeyboardInterrupt:
            trial.set_user_attr(ERROR, "interrupted")
            raise

    try:
        # Fits side by side put the limits on BLAS back in any order: keep the first.
        with threadpool_limits(limits=None):
            study.optimize(
                objective, timeout=timeout, n_jobs=n_jobs, catch=(Exception,), callbacks=[after]
            )
    except KeyboardInterrupt:
        if not any(trial.state.name == "COMPLETE" for trial in search.trials(study)):
            raise
    finally:
        if bar is not None:
            bar.close()
    if errors and not any(trial.state.name == "COMPLETE" for trial in search.trials(study)):
        raise ValueError(
            f"all {len(errors)} trials failed, the first with {type(errors[0]).__name__}: "
            f"{errors[0]}"
        ) from errors[0]


def _objective(optuna: Any, study: Any, search: Search, trial: Any) -> float:
    """Score of one trial, of the one that it repeats, or TrialPruned."""
    own = _OWN in trial.user_attrs
    if own:
        params = search.own_params()
        for name in trial.user_attrs[_OWN]:
            search.space[name].suggest(trial, name)
    else:
        params = {name: entry.suggest(trial, name) for name, entry in search.space.items()}
        for earlier in search.trials(study):
            if earlier.number < trial.number and earlier.params == trial.params:
                trial.set_user_attr(_REPEAT, earlier.number)
                if earlier.state.name == "COMPLETE":
                    return float(earlier.value)
                raise optuna.TrialPruned
    score = math.nan
    for step, score in _scores(search, params):
        trial.report(score, step)
        more = step < len(search.folds)
        if search.prune and not own and more and trial.should_prune():
            raise optuna.TrialPruned
    if math.isnan(score):
        raise ValueError("the score is NaN.")
    return score


def _scores(search: Search, params: Params) -> Iterator[tuple[int, float]]:
    """Steps and scores: 0 is the first look, from 1 the mean over more and more folds."""
    model = search.model(params)
    frame = read_table(search.events, "event")
    y = None if search.y is None else np.asarray(search.y)

    def part(rows: Rows) -> tuple[Any, ...]:
        table = frame[rows].to_native()
        return (table,) if y is None else (table, y[rows])

    scores: list[float] = []
    for step, (train, test) in enumerate(search.folds, start=1):
        learn_from = part(train)
        fewer = _fewer_iterations(search, model) if search.prune and step == 1 else {}
        if fewer:
            glimpse = clone(model).set_params(**fewer).fit(*learn_from, **search.sides)
            with suppress(DataError):  # none of these users can be scored
                yield 0, float(search.scorer(glimpse, *part(search.some_users)))
        fitted = clone(model).fit(*learn_from, **search.sides)
        scores.append(float(search.scorer(fitted, *part(test))))
        yield step, float(np.mean(scores))


def _fewer_iterations(search: Search, model: Any) -> Params:
    """Return a share of the most iterations that any trial has; nothing if a model has no more."""
    params = model.get_params()
    fewer = {}
    for name, value in params.items():
        owner, last = owner_of(model, params, name)
        if last != "max_iter" or not hasattr(owner, "recommend"):
            continue
        if isinstance(value, numbers.Integral):
            most = max(value, search.space[name].largest() if name in search.space else 0)
            fewer[name] = min(int(value), math.ceil(int(most) * _LOOK))
    return fewer if any(fewer[name] < params[name] for name in fewer) else {}


def some_rows(events: Table, rows: Rows, rng: np.random.Generator) -> Rows:
    """Return the rows of a fold that belong to some of its users."""
    users = read_codes(read_table(events, "event")[rows], USER, "event")
    chosen = rng.permutation(users.max() + 1)[:_LOOK_USERS]
    return rows[np.isin(users, chosen)]


def enqueue(
    study: Any, search: Search, n_trials: int | None, rng: np.random.Generator
) -> int | None:
    """Queue the own parameters, and all others of a small space; return the number of trials."""
    own = {}
    for name, value in search.own_params().items():
        with suppress(LookupError):
            own[name] = search.space[name].label(value)
    if not any(_OWN in trial.user_attrs for trial in study.get_trials(deepcopy=False)):
        study.enqueue_trial(own, user_attrs={_OWN: list(own)})
    entries = search.space.values()
    size = math.prod(entry.size() for entry in entries) + (len(own) < len(search.space))
    if size > (_LISTED if n_trials is None else n_trials):
        return n_trials
    rows = [*itertools.product(*(entry.labels() for entry in entries))]
    for place in rng.permutation(len(rows)):
        study.enqueue_trial(dict(zip(search.space, rows[place], strict=True)), skip_if_exists=True)
    states = [trial.state.name for trial in study.get_trials(deepcopy=False)]
    return states.count("WAITING")


@dataclass(frozen=True)
class BelowMedian:
    """Cut a trial below the median of the complete ones at the same step.

    Optuna's own median pruner takes the best of all steps so far, which are not alike here: a
    fold may be easier than the next.
    """

    def prune(self, study: Any, trial: Any) -> bool:
        """Whether a trial should end here, as Optuna asks."""
        step = trial.last_step
        others = [
            other.intermediate_values[step]
            for other in study.get_trials(deepcopy=False)
            if other.state.name == "COMPLETE" and step in other.intermediate_values
        ]
        return len(others) >= _TRIALS_BEFORE_PRUNING and bool(
            trial.intermediate_values[step] < np.median(others)
        )


@contextmanager
def quiet(optuna: Any) -> Iterator[None]:
    """Keep Optuna from logging; the table of trials says it all."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
