"""The event file: which column is what, and rows that mean what the options say."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ecomrec.cli.columns import read_numbers, read_times, refuse_future, same_ids
from ecomrec.cli.errors import InputError, as_input_error, some_of
from ecomrec.cli.progress import Progress
from ecomrec.cli.tables import TableFile, open_table

if TYPE_CHECKING:
    import pandas as pd

USER, ITEM, TIME, WEIGHT, RATING = "user_id", "item_id", "timestamp", "weight", "rating"
EVENT, AVAILABLE = "event", "available"

# What the library calls a column, the option that says what the file calls it, and what it holds.
_COLUMNS = {
    USER: ("--user-col", "who did it"),
    ITEM: ("--item-col", "what it was done with"),
    TIME: ("--time-col", "when"),
    WEIGHT: ("--weight-col", "how much it counts"),
    RATING: ("--rating-col", "how it was rated"),
    EVENT: ("--event-col", "what was done, such as view or purchase; see --event-weights"),
}
_YES_AND_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how the files are to be read."""
    group = parser.add_argument_group("columns of EVENTS, found by name")
    for name, (option, meaning) in _COLUMNS.items():
        group.add_argument(option, metavar="NAME", help=f"{meaning} (default: {name})")
    group.add_argument(
        "--time-format",
        metavar="FORMAT",
        help="how times are written: s, ms, us or ns since 1970, or a pattern such as "
        "'%%d/%%m/%%Y %%H:%%M' (default: ISO 8601, or seconds since 1970)",
    )
    group = parser.add_argument_group("what an event counts")
    group.add_argument(
        "--event-weights",
        metavar="EVENT=WEIGHT,...",
        help="such as view=1,purchase=5,return=-5 (default: every row counts 1)",
    )
    group.add_argument(
        "--half-life",
        metavar="DURATION",
        help="such as 30D: an event counts half after that time (default: nothing fades)",
    )
    group.add_argument(
        "--drop-missing",
        action="store_true",
        help="leave rows out that lack a user, an item, a time or a number, instead of refusing",
    )
    group.add_argument(
        "--drop-other-events",
        action="store_true",
        help="leave rows out whose event is not in --event-weights, instead of refusing",
    )
    parser.add_argument(
        "--items",
        metavar="FILE",
        help="table of items with item_id (or --item-col): they can be recommended although "
        "nobody has touched them; a column 'available' keeps items out of every answer",
    )


def read_events(
    args: argparse.Namespace, progress: Progress, *, timed: bool
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Read the events, and the items where there are any, as models take them.

    Parameters
    ----------
    args : Namespace
        With the options of `add_arguments`, and `events`, the file.
    progress : Progress
    timed : bool
        The time column must be there.

    Returns
    -------
    events : pandas.DataFrame
        `user_id`, `item_id` and, where the file has them, `timestamp`, `rating`, `weight`.
    items : pandas.DataFrame or None
    """
    weights = parse_event_weights(args.event_weights) if args.event_weights else {}
    check_half_life(args.half_life)
    if args.event_col and not weights:
        raise InputError("--event-col needs --event-weights, such as view=1,purchase=5.")
    if args.weight_col and weights:
        raise InputError("give --weight-col or --event-weights, not both.")
    file = open_table(args.events)
    chosen = _choose(file, args, weights, timed=timed or args.half_life is not None)
    if EVENT in file.columns and not {EVENT, WEIGHT, RATING} & set(chosen):
        progress.note("note: every event counts 1; --event-weights view=1,purchase=5 weighs them.")
    if WEIGHT in file.columns and weights:
        progress.note("note: column 'weight' is not read, because --event-weights is given.")
    with progress.step(f"reading {file.path}"):
        events = file.read(list(chosen.values()), text=file.columns)
        events.columns = list(chosen)
        events = _typed(events, file, chosen, args, progress)
        if weights:
            events = _weigh(events, weights, file, args, progress)
        events[USER] = same_ids([(events[USER], file.is_text)])[0].to_numpy()
        if args.items is None:
            items = None
            events[ITEM] = same_ids([(events[ITEM], file.is_text)])[0].to_numpy()
        else:
            items, typeless = _read_items(args)
            ids = same_ids([(events[ITEM], file.is_text), (items[ITEM], typeless)])
            events[ITEM], items[ITEM] = (column.to_numpy() for column in ids)
    _describe(events, items, progress)
    return events.reset_index(drop=True), items


def parse_event_weights(text: str) -> dict[str, float]:
    """Read ``view=1,purchase=5``."""
    weights = {}
    for part in text.split(","):
        event, equals, number = part.rpartition("=")
        try:
            weights[event.strip()] = float(number)
        except ValueError:
            equals = ""
        if not equals or not event.strip():
            raise InputError(
                "--event-weights must look like view=1,purchase=5,return=-5, a name and a number "
                f"each; got {part.strip()!r}."
            )
    return weights


def check_half_life(half_life: str | None) -> None:
    """Refuse what is no duration with a unit."""
    from ecomrec.data.timestamps import half_life_nanoseconds

    fault = InputError(
        f"--half-life must be a duration with a unit, such as 30D or 12h; got {half_life!r}."
    )
    if half_life is not None and half_life.strip().isdecimal():
        raise fault
    try:
        half_life_nanoseconds(half_life)
    except ValueError:
        raise fault from None


def fade(events: pd.DataFrame, half_life: str | None, newest: pd.Timestamp) -> pd.DataFrame:
    """Halve the weight of events for every half-life between them and the newest that is known."""
    if half_life is None:
        return events
    from ecomrec.data.timestamps import decay, half_life_nanoseconds, to_nanoseconds

    if RATING in events and WEIGHT not in events:
        raise InputError("--half-life makes weights fade, but these events have ratings.")
    reference = newest.as_unit("ns").value
    faded = decay(to_nanoseconds(events[TIME]), reference, half_life_nanoseconds(half_life))
    return events.assign(**{WEIGHT: faded * events.get(WEIGHT, 1.0)})


def _choose(
    file: TableFile, args: argparse.Namespace, weights: Mapping[str, float], *, timed: bool
) -> dict[str, str]:
    """Say which column of the file is what: those asked for, needed, or there by their name."""
    needed = {USER: True, ITEM: True, TIME: timed, EVENT: bool(weights)}
    skipped = {EVENT: not weights, WEIGHT: bool(weights)}
    chosen = {}
    for name, (option, _) in _COLUMNS.items():
        given = getattr(args, option.strip("-").replace("-", "_"))
        if given or needed.get(name) or (name in file.columns and not skipped.get(name)):
            chosen[name] = file.pick(given or name, option)
    twice = {column for column in chosen.values() if list(chosen.values()).count(column) > 1}
    if twice:
        raise InputError(
            f"the column {min(twice)!r} cannot be two things: "
            f"{', '.join(name for name, column in chosen.items() if column in twice)}."
        )
    return chosen


def _typed(
    table: pd.DataFrame,
    file: TableFile,
    chosen: Mapping[str, str],
    args: argparse.Namespace,
    progress: Progress,
) -> pd.DataFrame:
    """Turn text into times and numbers, and refuse or drop rows with gaps."""
    for name, column in chosen.items():
        place = f"{file.path}, column {column!r}"
        if name == TIME:
            table[name] = read_times(table[name], place, args.time_format)
            if args.half_life is not None:
                refuse_future(table[name], place)
        elif name in (WEIGHT, RATING):
            table[name] = read_numbers(table[name], place)
    gaps = table.isna()
    if not gaps.to_numpy().any():
        return table
    if not args.drop_missing:
        parts = [
            f"{int(gaps[name].sum()):,} without {column!r} (the first is row "
            f"{int(gaps[name].to_numpy().argmax()) + 1:,})"
            for name, column in chosen.items()
            if gaps[name].any()
        ]
        raise InputError(
            f"{file.path} has rows with gaps: {'; '.join(parts)}. Fill them, or leave these rows "
            "out with --drop-missing."
        )
    keep = ~gaps.any(axis=1)
    progress.note(f"note: dropped {int((~keep).sum()):,} rows with gaps of {len(keep):,}.")
    if not keep.any():
        raise InputError(f"{file.path} has no row without a gap.")
    return table[keep].copy()


def _weigh(
    events: pd.DataFrame,
    weights: Mapping[str, float],
    file: TableFile,
    args: argparse.Namespace,
    progress: Progress,
) -> pd.DataFrame:
    from ecomrec.data import EventWeights

    names = events[EVENT].astype("object").map(str)
    other = ~names.isin(list(weights))
    if other.any():
        listing = some_of(names[other].unique().tolist())
        if not args.drop_other_events:
            raise InputError(
                f"{file.path} has {int(other.sum()):,} rows with an event that --event-weights "
                f"does not name: {listing}. Add a weight for it (0: seen, but no sign of "
                "interest), or leave these rows out with --drop-other-events."
            )
        progress.note(f"note: dropped {int(other.sum()):,} rows with the event {listing}.")
    if other.all():
        raise InputError(f"no row of {file.path} has an event that --event-weights names.")
    events = events[~other].assign(**{EVENT: names[~other]})
    with as_input_error("--event-weights: "):
        weighted: pd.DataFrame = EventWeights(weights).fit_transform(events)
    return weighted.drop(columns=EVENT)


def _read_items(args: argparse.Namespace) -> tuple[pd.DataFrame, bool]:
    """Read the table of items, and say whether its ids are text because all of the file is."""
    file = open_table(args.items)
    name = args.item_col if args.item_col in file.columns else ITEM
    key = file.pick(name, "--item-col")
    items = file.read(list(dict.fromkeys(file.columns)), text=[key]).rename(columns={key: ITEM})
    gaps = items[ITEM].isna()
    if gaps.any():
        raise InputError(
            f"{file.path} has {int(gaps.sum()):,} rows without {key!r}; the first is row "
            f"{int(gaps.to_numpy().argmax()) + 1:,}."
        )
    if AVAILABLE in items and items[AVAILABLE].dtype != bool:
        words = items[AVAILABLE].astype("object").map(str).str.lower()
        unclear = items.loc[~words.isin(list(_YES_AND_NO)), AVAILABLE]
        if len(unclear):
            raise InputError(
                f"row {int(unclear.index[0]) + 1:,} of {file.path}, column 'available': "
                f"{unclear.iloc[0]!r} is neither true nor false. Write true, yes or 1, or false, "
                "no or 0."
            )
        items[AVAILABLE] = words.map(_YES_AND_NO).astype(bool)
    return items, file.is_text


def _describe(events: pd.DataFrame, items: pd.DataFrame | None, progress: Progress) -> None:
    n_items = events[ITEM].nunique()
    text = f"{len(events):,} events, {events[USER].nunique():,} users, {n_items:,} items"
    if TIME in events:
        text += f", {events[TIME].min():%Y-%m-%d} to {events[TIME].max():%Y-%m-%d}"
    if items is not None:
        text += f"; {len(items):,} items listed"
    progress.note(text)
