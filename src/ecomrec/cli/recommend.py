"""``ecomrec recommend``: lists of items for users, in a file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecomrec.cli.columns import is_integer
from ecomrec.cli.errors import InputError, as_input_error, some_of
from ecomrec.cli.events import TIME, USER, fade, read_events
from ecomrec.cli.events import add_arguments as add_event_arguments
from ecomrec.cli.models import make_model, model_names
from ecomrec.cli.output import TableWriter, check_table_target, check_target
from ecomrec.cli.progress import Progress
from ecomrec.cli.tables import open_table

if TYPE_CHECKING:
    import numpy as np

HELP = "recommend items to your users"
DESCRIPTION = """\
Recommend items to users: learn from EVENTS, or load a model that --save wrote.
The answer has the columns user_id, rank, item_id and score.
"""

_MODEL = "item-knn"
_BATCH = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "events", metavar="EVENTS", nargs="?", help="CSV or Parquet file, a row per event"
    )
    parser.add_argument("--model", help=f"one of {', '.join(model_names())} (default: {_MODEL})")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the model, such as n_neighbors=50; may be repeated",
    )
    parser.add_argument(
        "-k", "--k", type=int, default=10, help="items for each user (default: 10)"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=".csv, .tsv or .parquet, replaced when all is done (default: CSV to stdout)",
    )
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument(
        "--users",
        metavar="FILE",
        help="whom to recommend to: a table with user_id (or --user-col), or a .txt file with an "
        "id on each line (default: every user of the events)",
    )
    asked.add_argument("--user", nargs="+", metavar="ID", help="whom to recommend to")
    parser.add_argument(
        "--skip-unknown", action="store_true", help="leave out users without any event"
    )
    parser.add_argument(
        "--repeats", action="store_true", help="recommend what the user already has, too"
    )
    parser.add_argument("--save", metavar="MODEL", help="write the model, such as shop.ecomrec")
    parser.add_argument("--load", metavar="MODEL", help="read the model instead of EVENTS")
    add_event_arguments(parser)


def run(args: argparse.Namespace, progress: Progress) -> None:
    """Learn or load, then recommend batch by batch."""
    if args.k < 1:
        raise InputError(f"-k must be a positive integer; got {args.k}.")
    output = None if args.output is None else check_table_target(args.output)
    asked = _asked(args)
    model = _loaded(args, progress) if args.load else _learned(args, progress)
    users = _known_users(asked, model.user_ids_, args, progress)
    batches = (users[start : start + _BATCH] for start in range(0, len(users), _BATCH))
    with TableWriter(output) as writer:
        for batch in progress.track(batches, len(users), "recommending to users"):
            answer = model.recommend(batch, k=args.k, exclude_seen=not args.repeats)
            writer.write(answer.to_frame())
    where = "" if output is None else f" to {output}"
    progress.note(f"wrote {writer.n_rows:,} recommendations for {len(users):,} users{where}")


def _learned(args: argparse.Namespace, progress: Progress) -> Any:
    if args.events is None:
        raise InputError("name the file of EVENTS, or a model with --load.")
    name = args.model or _MODEL
    model = make_model(name, args.param)
    target = None if args.save is None else check_target(args.save)
    events, items = read_events(args, progress, timed=False)
    if args.half_life is not None:
        events = fade(events, args.half_life, events[TIME].max())
    with progress.step(f"fitting {name}"), as_input_error():
        model.fit(events, items=items)
    if target is not None:
        model.save(target)
        progress.note(f"saved the model to {target}")
    return model


def _loaded(args: argparse.Namespace, progress: Progress) -> Any:
    from ecomrec.base import load

    options = {"EVENTS": args.events, "--model": args.model, "--param": args.param}
    options |= {"--save": args.save, "--items": args.items}
    given = [name for name, value in options.items() if value]
    if given:
        raise InputError(f"--load takes everything from the model's file; drop {given[0]}.")
    path = Path(args.load)
    if not path.exists():
        raise InputError(f"there is no file {path}.")
    with progress.step(f"loading {path}"):
        model = load(path)
    if not model.__sklearn_is_fitted__():
        raise InputError(f"{path} holds a model that was never fitted.")
    if not hasattr(model, "user_ids_"):
        raise InputError(
            f"{path} holds a {type(model).__name__}, which is private and knows no users. Answer "
            "histories from Python: load(path).recommend(history=...)."
        )
    return model


def _asked(args: argparse.Namespace) -> list[Any] | None:
    """Ids to recommend to, in the order given, none twice; None for everybody."""
    if args.user:
        return list(dict.fromkeys(args.user))
    if args.users is None:
        return None
    path = Path(args.users)
    if path.suffix.lower() == ".txt":
        if not path.is_file():
            raise InputError(f"there is no file {path}.")
        ids = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        ids = [name for name in ids if name]
    else:
        file = open_table(args.users)
        name = args.user_col if args.user_col in file.columns else USER
        key = file.pick(name, "--user-col")
        ids = file.read([key], text=[key])[key].dropna().tolist()
    if not ids:
        raise InputError(f"{path} names no user.")
    return list(dict.fromkeys(ids))


def _known_users(
    asked: Sequence[Any] | None, known: np.ndarray, args: argparse.Namespace, progress: Progress
) -> Sequence[Any] | np.ndarray:
    """Return those asked for as the model knows them; unknown ones are refused or left out."""
    if asked is None:
        return known
    found = set(known.tolist())
    ids = [_as_known(user, integers=known.dtype != object) for user in asked]
    unknown = [user for user, key in zip(asked, ids, strict=True) if key not in found]
    if unknown and not args.skip_unknown:
        raise InputError(
            f"{len(unknown):,} of {len(ids):,} users are unknown: {some_of(unknown)}. Leave "
            "them out with --skip-unknown."
        )
    if unknown:
        progress.note(f"note: left out {len(unknown):,} unknown users: {some_of(unknown)}.")
    left = [user for user in ids if user in found]
    if not left:
        raise InputError("none of the users is known.")
    return left


def _as_known(user: Any, *, integers: bool) -> Any:
    """Return an id as the model has it: an integer where all are, text where it came as text."""
    if integers and isinstance(user, str) and is_integer(user):
        return int(user)
    return str(user) if not integers and isinstance(user, int) else user
