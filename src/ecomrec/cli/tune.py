"""``ecomrec tune``: good parameters for a shop's own events."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ecomrec.cli.errors import InputError, as_input_error
from ecomrec.cli.evaluate import cut_by_time, time_splitter
from ecomrec.cli.events import TIME, fade, read_events
from ecomrec.cli.events import add_arguments as add_event_arguments
from ecomrec.cli.models import make_model, model_names
from ecomrec.cli.output import TableWriter, check_table_target, check_target
from ecomrec.cli.progress import Progress

HELP = "search for good parameters of a model"
DESCRIPTION = """\
Search for good parameters of a model: each trial learns from the older part of
the events and is asked for what comes in the newer one. Needs ecomrec[tune].
"""

_MODEL = "item-knn"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("events", metavar="EVENTS", help="CSV or Parquet file, a row per event")
    parser.add_argument(
        "--model",
        default=_MODEL,
        help=f"one of {', '.join(model_names())} (default: {_MODEL})",
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter that the first trial has, and all others unless it is searched",
    )
    parser.add_argument(
        "--trials", type=int, default=30, help="sets of parameters to try (default: 30)"
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="start no trial after this time"
    )
    parser.add_argument(
        "-k", "--k", type=int, default=10, help="items that each user is shown (default: 10)"
    )
    parser.add_argument("--metric", default="ndcg", help="one, as in evaluate (default: ndcg)")
    parser.add_argument(
        "--test-size",
        default="0.2",
        metavar="SIZE",
        help="the newest part: a share of the rows, or a duration such as 7D (default: 0.2)",
    )
    parser.add_argument("--seed", type=int, default=0, help="other trials (default: 0)")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write the trials: .csv, .tsv or .parquet"
    )
    parser.add_argument(
        "--save", metavar="MODEL", help="fit the best on all events and write the model"
    )
    add_event_arguments(parser)


def run(args: argparse.Namespace, progress: Progress) -> None:
    """Read, search, and print the best parameters."""
    model = make_model(args.model, args.param)
    output = None if args.output is None else check_table_target(args.output)
    target = None if args.save is None else check_target(args.save)
    splitter = time_splitter(args.test_size)
    if args.trials < 1:
        raise InputError(f"--trials must be a positive integer; got {args.trials}.")
    with as_input_error():
        from ecomrec._optional import require
        from ecomrec.evaluation import ranking_scorer, tune

        ranking_scorer(args.metric, k=args.k)
        try:
            require("optuna", "tune")
        except ImportError as error:
            raise InputError(str(error)) from error
    events, items = read_events(args, progress, timed=True)
    train, _ = cut_by_time(events, splitter, args.test_size)
    with as_input_error():
        result = tune(
            model,
            # Weights of the training part are what a model fitted on it would see.
            events=fade(events, args.half_life, train[TIME].max()),
            metric=args.metric,
            k=args.k,
            cv=splitter,
            n_trials=args.trials,
            timeout=args.timeout,
            items=items,
            refit=False,
            random_state=args.seed,
            callbacks=[_Reporter(progress, args.trials)],
        )
    sys.stdout.write(_text(result, args))
    if output is not None:
        with TableWriter(output) as writer:
            writer.write(result.trials)
        progress.note(f"wrote {writer.n_rows:,} trials to {output}")
    if target is not None:
        best = result.best_estimator_
        with progress.step(f"fitting {args.model} on all events"), as_input_error():
            best.fit(fade(events, args.half_life, events[TIME].max()), items=items)
        best.save(target)
        progress.note(f"saved the model to {target}")


class _Reporter:
    """Writes a line for each trial."""

    def __init__(self, progress: Progress, n_trials: int) -> None:
        self.progress = progress
        self.n_trials = n_trials
        self.n_done = 0
        self.best = -1.0

    def __call__(self, study: Any, trial: Any) -> None:
        self.n_done += 1
        told = {"PRUNED": "cut short", "FAIL": "failed"}.get(trial.state.name)
        if told is None:
            self.best = max(self.best, trial.value)
            told = f"{trial.value:.4f}, best {self.best:.4f}"
        self.progress.note(f"trial {self.n_done} of up to {self.n_trials}: {told}")


def _text(result: Any, args: argparse.Namespace) -> str:
    trials = result.trials
    counts = ", ".join(f"{n} {state}" for state, n in trials["state"].value_counts().items())
    params = " ".join(f"--param {name}={value}" for name, value in result.best_params_.items())
    fixed = [one for one in args.param if one.partition("=")[0].strip() not in result.best_params_]
    kept = "".join(f" --param {one}" for one in fixed)
    return (
        f"{args.metric}@{args.k} on the newest part ({args.test_size}), {len(trials)} trials "
        f"({counts}):\n"
        f"  {trials['score'].iloc[0]:.4f}  with the parameters that it had\n"
        f"  {result.best_score_:.4f}  with the best, of many trials and so a little too high\n\n"
        f"--model {args.model}{kept} {params}\n"
    )
