"""``ecomrec evaluate``: compare models on the newest part of a shop's own events."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from ecomrec._version import __version__
from ecomrec.cli.errors import InputError, as_input_error
from ecomrec.cli.events import TIME, fade, read_events
from ecomrec.cli.events import add_arguments as add_event_arguments
from ecomrec.cli.models import find_model, make_model, model_names
from ecomrec.cli.output import check_target, whole_file
from ecomrec.cli.progress import Progress
from ecomrec.cli.report import comparison_record, comparison_text
from ecomrec.exceptions import DataError

if TYPE_CHECKING:
    import pandas as pd

HELP = "compare models on your own events"
DESCRIPTION = """\
Compare models on your own events: they learn from the older part and are asked
for what comes in the newer one. Intervals are resampled over users.
"""

_MODELS = "popular,item-knn,user-knn"
_METRICS = "ndcg,recall,hit_rate"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("events", metavar="EVENTS", help="CSV or Parquet file, a row per event")
    parser.add_argument(
        "--models",
        default=_MODELS,
        metavar="A,B",
        help=f"the first is what the others are measured against; of {', '.join(model_names())} "
        f"(default: {_MODELS})",
    )
    parser.add_argument(
        "-k", "--k", type=int, default=10, help="items that each user is shown (default: 10)"
    )
    parser.add_argument(
        "--metrics",
        default=_METRICS,
        metavar="A,B",
        help=f"ndcg, recall, precision, map, mrr, hit_rate, ... (default: {_METRICS})",
    )
    parser.add_argument(
        "--test-size",
        default="0.2",
        metavar="SIZE",
        help="the newest part: a share of the rows, or a duration such as 7D (default: 0.2)",
    )
    parser.add_argument(
        "--repeats", action="store_true", help="report with repeats of earlier items as well"
    )
    parser.add_argument("--json", metavar="FILE", help="write all numbers to a file as well")
    add_event_arguments(parser)


def run(args: argparse.Namespace, progress: Progress) -> None:
    """Read, split by time, compare, and print the table."""
    models = _models(args.models)
    metrics = _split_list(args.metrics, "--metrics")
    target = None if args.json is None else check_target(args.json)
    splitter = time_splitter(args.test_size)
    with as_input_error():
        from ecomrec.evaluation import compare, ranking_scorer

        ranking_scorer(metrics, k=args.k)
    events, items = read_events(args, progress, timed=True)
    train, test = cut_by_time(events, splitter, args.test_size)
    n_events, start = len(events), test[TIME].min()
    newest = train[TIME].max()
    train, test = (fade(part, args.half_life, newest) for part in (train, test))
    progress.note(f"learning from {len(train):,} events before {start}, testing on {len(test):,}")
    with progress.step(f"comparing {', '.join(models)}"):
        try:
            result = compare(
                models,
                train,
                test,
                k=args.k,
                metrics=metrics,
                items=items,
                exclude_seen=(True, False) if args.repeats else True,
            )
        except ValueError as error:
            said = "pass exclude_seen=False to count repeats"
            raise InputError(str(error).replace(said, "try a larger --test-size")) from error
    sys.stdout.write(comparison_text(result))
    if target is not None:
        record = {
            "ecomrec": __version__,
            "n_events": n_events,
            "n_train": len(train),
            "n_test": len(test),
            "test_start": start.isoformat(),
            "k": result.k,
            "metrics": result.metrics,
            "baseline": result.baseline,
            "results": comparison_record(result),
        }
        text = json.dumps(record, indent=2, allow_nan=False)
        with whole_file(target) as draft:
            draft.write_text(text + "\n", encoding="utf-8")
        progress.note(f"wrote {target}")


def _models(names: str) -> dict[str, Any]:
    known = [find_model(name)[0] for name in _split_list(names, "--models")]
    twice = {name for name in known if known.count(name) > 1}
    if twice:
        raise InputError(f"--models names {min(twice)!r} twice.")
    return {name: make_model(name) for name in known}


def _split_list(text: str, option: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError(f"{option} must name at least one; got {text!r}.")
    return names


def time_splitter(size: str) -> Any:
    """Read --test-size: one split that keeps the newest part for the test."""
    from ecomrec.data.timestamps import half_life_nanoseconds
    from ecomrec.evaluation import TemporalSplit

    fault = InputError(
        "--test-size must be a share of the rows between 0 and 1, or a duration with a unit such "
        f"as 7D or 12h; got {size!r}."
    )
    try:
        share = float(size)
    except ValueError:
        try:
            half_life_nanoseconds(size)
        except ValueError:
            raise fault from None
        return TemporalSplit(1, test_size=size)
    if not 0 < share < 1:
        raise fault
    return TemporalSplit(1, test_size=share)


def cut_by_time(
    events: pd.DataFrame, splitter: Any, size: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut the events in an older and a newer part; neither may be empty."""
    from ecomrec.evaluation import train_test_split

    try:
        train, test = train_test_split(events, splitter)
    except DataError as error:
        raise InputError(
            f"--test-size {size} leaves nothing to learn from or nothing to test on: "
            f"there are {len(events):,} events from {events[TIME].min()} to {events[TIME].max()}."
        ) from error
    return train, test
