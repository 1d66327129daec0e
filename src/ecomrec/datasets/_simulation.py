"""How a made-up shop comes about: groups of taste, sessions of users, and their times."""

from __future__ import annotations

from typing import Any

import numpy as np

EVENTS = ("view", "cart", "purchase", "return")

# How far a visit to an item goes: probability of carting it, of then buying, of then returning.
_OWN_GROUP = (0.25, 0.6, 0.08)
_OTHER_GROUP = (0.10, 0.4, 0.15)
_VISITS_PER_SESSION = 3
# Zipf-Mandelbrot exponents, and the offset of ranks as a share of the number of ranks: the offset
# keeps the first ranks from holding more than a few per cent of all events, as in real logs.
_USERS = (0.7, 0.0005)
_ITEMS = (1.0, 0.01)
_BLOCK = 1 << 18
_DAY = 86_400


class Groups:
    """Which items are in which group: ``members[first[g] + rank]``, the most popular first."""

    def __init__(self, n_items: int, n_groups: int, rng: np.random.Generator) -> None:
        self.members = rng.permutation(n_items).astype(np.int32)
        ends = np.linspace(0, n_items, n_groups + 1).astype(np.int64)
        self.first, self.size = ends[:-1], np.diff(ends)
        self.of_item = np.empty(n_items, dtype=np.int64)
        self.of_item[self.members] = np.repeat(np.arange(n_groups), self.size)
        self.share = rng.dirichlet(np.full(n_groups, 5.0))

    def draw(self, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw an item of each group by popularity."""
        rank = _zipf(rng, len(group), self.size[group], *_ITEMS)
        items: np.ndarray = self.members[self.first[group] + rank]
        return items


def draw_people(
    n_users: int, n_countries: int, groups: Groups, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Country of each user, and a favourite group that depends on it."""
    share = 1.0 / np.arange(1, n_countries + 1)
    country = rng.choice(n_countries, size=n_users, p=share / share.sum())
    group = np.empty(n_users, dtype=np.int32)
    for code in range(n_countries):
        here = np.flatnonzero(country == code)
        local = groups.share * rng.dirichlet(np.full(len(groups.share), 2.0))
        group[here] = rng.choice(len(local), size=len(here), p=local / local.sum())
    return country, group


def draw_sessions(
    n_events: int,
    user_group: np.ndarray,
    groups: Groups,
    taste: float,
    with_events: bool,
    with_times: bool,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Rows of all sessions one after the other, made block by block."""
    rows = {"user": np.empty(n_events, np.int32), "item": np.empty(n_events, np.int32)}
    if with_events:
        rows["event"] = np.empty(n_events, np.int8)
    if with_times:
        rows |= {"session": np.empty(n_events, np.int32), "visit": np.empty(n_events, np.int32)}
    by_activity = rng.permutation(len(user_group)).astype(np.int32)
    done, n_sessions = 0, 0
    while done < n_events:
        n = min(_BLOCK, n_events - done)
        user = by_activity[_zipf(rng, n, len(user_group), *_USERS)]
        group = user_group[user]
        wander = np.flatnonzero(rng.random(n) >= taste)
        group[wander] = rng.choice(len(groups.share), size=len(wander), p=groups.share)
        length = rng.geometric(1 / _VISITS_PER_SESSION, size=n)
        session = np.repeat(np.arange(n), length)
        block = {"user": user[session], "item": groups.draw(group[session], rng)}
        visit = np.arange(len(session)) - np.repeat(np.cumsum(length) - length, length)
        block |= {"session": session + n_sessions, "visit": visit}
        if with_events:
            steps = _steps(user_group[user[session]] == group[session], rng)
            row = np.repeat(np.arange(len(steps)), steps)
            block = {name: values[row] for name, values in block.items()}
            block["event"] = np.arange(len(row)) - np.repeat(np.cumsum(steps) - steps, steps)
        here = slice(done, min(done + len(block["user"]), n_events))
        for name, values in rows.items():
            values[here] = block[name][: here.stop - done]
        done, n_sessions = here.stop, n_sessions + n
    return rows


def _steps(own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the number of events of each visit: 1 for a view, up to 4 for a return."""
    steps = np.ones(len(own), dtype=np.int64)
    going = np.ones(len(own), dtype=bool)
    for mine, other in zip(_OWN_GROUP, _OTHER_GROUP, strict=True):
        going &= rng.random(len(own)) < np.where(own, mine, other)
        steps += going
    return steps


def put_in_time(
    rows: dict[str, np.ndarray], start: str, days: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Give rows their times, and their order in time."""
    session = rows.pop("session")
    # Gaps of a Poisson process: starts are sorted as they are made.
    starts = np.cumsum(rng.exponential(size=int(session[-1]) + 1))
    starts = (starts - starts[0]) * (days * _DAY / max(starts[-1] - starts[0], 1.0))
    # Two minutes from visit to visit, less from view to cart to purchase, days to a return.
    seconds = starts[session] + 120 * rows.pop("visit")
    if "event" in rows:
        seconds += 40.0 * rows["event"]
        returned = np.flatnonzero(rows["event"] == EVENTS.index("return"))
        seconds[returned] += rng.uniform(0.005, 0.1, size=len(returned)) * days * _DAY
    offset = seconds.astype(np.int64)
    order = np.argsort(offset, kind="stable")
    rows = {name: values[order] for name, values in rows.items()}
    begin = np.datetime64(start).astype("datetime64[s]")
    rows["time"] = (begin + offset[order]).astype("datetime64[us]")
    return rows


def _zipf(
    rng: np.random.Generator, n: int, n_ranks: Any, exponent: float, offset: float
) -> np.ndarray:
    """Draw n ranks from 0; share of rank r proportional to (r + q) ** -exponent, q at least 1."""
    q = 1.0 + offset * n_ranks
    uniform = rng.random(n)
    if exponent == 1.0:
        rank = q * (((n_ranks + q) / q) ** uniform) - q
    else:
        power = 1.0 - exponent
        rank = (q**power + uniform * ((n_ranks + q) ** power - q**power)) ** (1.0 / power) - q
    # Rounding may reach n_ranks itself, or fall just below 0.
    floor: np.ndarray = np.clip(rank.astype(np.int64), 0, n_ranks - 1)
    return floor
