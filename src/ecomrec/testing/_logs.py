"""Logs that a given model can be fitted on, and what is true of them by plain counting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from hypothesis import strategies as st
from sklearn.base import clone

from ecomrec.base import BaseRecommender
from ecomrec.testing import strategies

if TYPE_CHECKING:
    import pandas as pd

_GROUPS = ("de", "fr", None)
# What a shop writes, or leaves out.
_TITLES = (
    "red mug", "Red Mug, large", "blue mug", "green tea", "TEA tea tea", "WD-40 tea pot",
    "紅茶 500g", "绿茶", "!!!", "", None,
)  # fmt: skip
_CATEGORIES = ("kitchen", "garden", "drinks", None)
_PRICES = (1.0, 2.5, 2.5, 9.99, 120.0, None)
_LATITUDES, _LONGITUDES = (52.5, 52.5, 52.53, -33.9, None), (13.4, 13.4, 13.44, None)
_DESCRIBED: dict[str, tuple[Any, ...]] = {
    "title": _TITLES,
    "category": _CATEGORIES,
    "price": _PRICES,
    "lat": _LATITUDES,
    "lon": _LONGITUDES,
}
_NUMBERS = ("price", "lat", "lon")


@dataclass(frozen=True)
class Traits:
    """What a model can do and needs, as far as checks depend on it.

    Attributes
    ----------
    rates : bool
        Predicts ratings rather than scores to rank by.
    values : {"weight", "rating"}
        What it must be given: ratings if it or a part of it learns them.
    decays : bool
        Has a half-life, so it needs timestamps.
    group : str or None
        Column of the users table that it needs.
    reads_items : bool
        Needs an items table with texts and attributes.
    reads_friends : bool
        Needs a users table with lists of friends.
    explains, forgets_exactly : bool
    private : bool
        Holds no users: it is asked by histories, and fitted with the public list of items.
    noisy : bool
        What it learned has noise in it.
    params : frozenset of str
    """

    rates: bool
    values: Literal["weight", "rating"]
    decays: bool
    group: str | None
    reads_items: bool
    reads_friends: bool
    explains: bool
    forgets_exactly: bool
    private: bool
    noisy: bool
    params: frozenset[str]

    @property
    def takes_matrix(self) -> bool:
        """Whether a bare matrix is enough to fit it."""
        plain = self.group is None and not self.reads_friends
        return plain and not self.decays and not self.reads_items


def traits_of(model: BaseRecommender) -> Traits:
    """Read what a model can do from its parameters and methods."""
    rates = model._values() == "rating"
    return Traits(
        rates=rates,
        values="rating" if rates or model._reads_ratings else "weight",
        decays=getattr(model, "half_life", None) is not None,
        group=getattr(model, "group", None),
        reads_items=model._reads_items,
        reads_friends=model._reads_friends,
        explains=type(model)._explain is not BaseRecommender._explain,
        forgets_exactly=bool(getattr(model, "forget_exact_", False)),
        private=is_private(model),
        noisy=is_private(model) and bool(np.isfinite(getattr(model, "epsilon", np.inf))),
        params=frozenset(model.get_params(deep=False)),
    )


def is_private(model: BaseRecommender) -> bool:
    """Whether a model is one of `ecomrec.privacy`: it holds items only."""
    return hasattr(type(model), "privacy_report_")


def seeded(model: BaseRecommender) -> BaseRecommender:
    """Return a private model with noise that is the same in each fit; any other as it is."""
    if not is_private(model) or getattr(model, "noise_source", None) is not None:
        return model
    from ecomrec.privacy import SeededNoise

    copy: BaseRecommender = clone(model).set_params(noise_source=SeededNoise(0))
    return copy


@dataclass(frozen=True)
class Log:
    """Events with their side tables.

    Attributes
    ----------
    events : pandas.DataFrame
    items, users : pandas.DataFrame or None
    """

    events: pd.DataFrame
    items: pd.DataFrame | None = None
    users: pd.DataFrame | None = None

    @property
    def sides(self) -> dict[str, Any]:
        """The side tables, as keyword arguments of `fit`."""
        return {"items": self.items, "users": self.users}

    @cached_property
    def pairs(self) -> list[tuple[Any, Any]]:
        """User and item of each event."""
        return list(
            zip(self.events["user_id"].tolist(), self.events["item_id"].tolist(), strict=True)
        )

    @cached_property
    def user_ids(self) -> list[Any]:
        """All users, sorted."""
        return _union([user for user, _ in self.pairs], self.users, "user_id")

    @cached_property
    def item_ids(self) -> list[Any]:
        """All items, sorted."""
        return _union([item for _, item in self.pairs], self.items, "item_id")

    @cached_property
    def seen(self) -> dict[Any, set[Any]]:
        """Items that each user has touched, whatever came of it."""
        seen: dict[Any, set[Any]] = {user: set() for user in self.user_ids}
        for user, item in self.pairs:
            seen[user].add(item)
        return seen

    @cached_property
    def hidden(self) -> set[Any]:
        """Items that the catalogue marks as not available."""
        if self.items is None or "available" not in self.items:
            return set()
        return set(self.items.loc[~self.items["available"].astype(bool), "item_id"].tolist())

    def fit(self, model: BaseRecommender) -> Any:
        """Return a fitted clone of a model."""
        return clone(model).fit(self.events, **self.sides)

    def askers(self, model: BaseRecommender) -> list[Any]:
        """The users whom a model can be asked about; a private one needs something they did."""
        return [user for user in self.user_ids if self.seen[user] or not is_private(model)]

    def asking(self, model: BaseRecommender, users: Iterable[Any] | None = None) -> dict[str, Any]:
        """How `recommend` is asked for users: by name, or a private model by what they did."""
        chosen = self.askers(model) if users is None else list(users)
        if is_private(model):
            return {"history": [sorted(self.seen[user]) for user in chosen]}
        return {"users": chosen}

    def fresh(self, user: Any) -> set[Any]:
        """Items that a user can be shown."""
        return set(self.item_ids) - self.seen[user] - self.hidden

    def part(self, rows: np.ndarray) -> Log:
        """Return some of the events, with the side tables whole."""
        return replace(self, events=self.events[rows].reset_index(drop=True))

    def split(self, cut: int) -> tuple[Log, Log]:
        """Return the first `cut` events and the others; rows of side tables go where they occur.

        Rows that the first events need go with them, every second one of the others as well.
        """
        is_first = np.arange(len(self.events)) < cut
        first, later = self.part(is_first), self.part(~is_first)
        for name, column in (("items", "item_id"), ("users", "user_id")):
            table = getattr(self, name)
            if table is not None:
                early = table[column].isin(first.events[column]) | (np.arange(len(table)) % 2 == 0)
                first = replace(first, **{name: table[early].reset_index(drop=True)})
                later = replace(later, **{name: table[~early].reset_index(drop=True)})
        return first, later

    def without(self, users: Iterable[Any] = (), items: Iterable[Any] = ()) -> Log:
        """Return the log as if some users and items had never been."""
        users, items = set(users), set(items)
        keep = [user not in users and item not in items for user, item in self.pairs]
        left = self.part(np.array(keep, dtype=bool))
        for name, column, gone in (("items", "item_id", items), ("users", "user_id", users)):
            table = getattr(self, name)
            if table is not None:
                stays = ~table[column].isin(list(gone))
                left = replace(left, **{name: table[stays].reset_index(drop=True)})
        if left.users is not None and "friends" in left.users:
            lists = [[one for one in some if one not in users] for some in left.users["friends"]]
            left = replace(left, users=left.users.assign(friends=pd_objects(lists)))
        return left


def _union(ids: list[Any], table: pd.DataFrame | None, column: str) -> list[Any]:
    listed = [] if table is None else table[column].tolist()
    return sorted(set(ids) | set(listed))


def logs(
    model: BaseRecommender,
    *,
    ids: str | None = None,
    values: str | None = None,
    sides: bool | None = None,
    available: bool | None = None,
    timestamps: bool | None = None,
) -> st.SearchStrategy[Log]:
    """Strategy for logs that a model can be fitted on; None leaves a choice to chance."""
    traits = traits_of(model)
    if traits.values == "rating":
        values = "rating"
    if traits.decays:
        timestamps = True
    return _logs(traits, ids, values, sides, available, timestamps)


@st.composite
def _logs(
    draw: st.DrawFn,
    traits: Traits,
    ids: str | None,
    values: str | None,
    sides: bool | None,
    available: bool | None,
    timestamps: bool | None,
) -> Log:
    import pandas as pd

    kind = draw(st.sampled_from(("str", "int"))) if ids is None else ids
    n_events = draw(st.sampled_from((1, 10)))
    events = draw(
        strategies.event_tables(
            min_events=n_events, max_events=3 * n_events + 5, ids=kind, values=values,
            timestamps=timestamps,
        )
    )  # fmt: skip
    tables = draw(st.booleans()) if sides is None else sides
    items = users = None
    if tables or available or traits.reads_items or traits.private:
        # Two more than occur in events: some have none.
        items = _side(draw, kind, "item_id", 10)
        if traits.private:
            # What is not in the public list of items does not exist.
            items = pd.DataFrame({"item_id": _union(events["item_id"].tolist(), items, "item_id")})
        if available or (available is None and draw(st.booleans())):
            flags = draw(st.lists(st.booleans(), min_size=len(items), max_size=len(items)))
            items["available"] = np.array(flags, dtype=bool)
        if traits.reads_items:
            for name, choices in _DESCRIBED.items():
                items[name] = [draw(st.sampled_from(choices)) for _ in range(len(items))]
                items[name] = items[name].astype(float if name in _NUMBERS else object)
    group = traits.group
    if tables or group is not None or traits.reads_friends:
        users = _side(draw, kind, "user_id", 8)
        if traits.reads_friends:
            # Friends are in the table: who is only named by others may go unnoticed, and return.
            some = st.lists(st.sampled_from(users["user_id"].tolist()), max_size=4)
            users["friends"] = pd_objects([draw(some) for _ in range(len(users))])
        if group is not None:
            chosen = draw(st.lists(st.integers(0, 2), min_size=len(users), max_size=len(users)))
            users[group] = pd.Series([_GROUPS[place] for place in chosen], dtype=object)
    return Log(events, items, users)


def _side(draw: st.DrawFn, kind: str, column: str, n: int) -> pd.DataFrame:
    import pandas as pd

    numbers = draw(st.sets(st.integers(0, n - 1), min_size=1))
    return pd.DataFrame({column: strategies.labels(kind, column[0], sorted(numbers))})


def shop_log(model: BaseRecommender, *, ids: str = "str", n_users: int = 12) -> Log:
    """Return one log that suits a model: each user likes items near their own number."""
    import pandas as pd

    traits = traits_of(model)
    rows = [(u, (u + step) % n_users) for u in range(n_users) for step in (0, 1, 3, 4)]
    user, item = np.array(rows).T
    columns: dict[str, Any] = {
        "user_id": strategies.labels(ids, "u", user.tolist()),
        "item_id": strategies.labels(ids, "i", item.tolist()),
    }
    strength = 1.0 + (user * 3 + item * 5) % 5
    columns[traits.values] = strength
    if traits.decays:
        columns["timestamp"] = strategies.START + ((user + item) % 9).astype("timedelta64[D]")
    items = pd.DataFrame({"item_id": strategies.labels(ids, "i", range(n_users))})
    users = None
    known = strategies.labels(ids, "u", range(n_users))
    if traits.group is not None:
        places = [_GROUPS[n % 3] for n in range(n_users)]
        users = pd.DataFrame({"user_id": known, traits.group: pd.Series(places, dtype=object)})
    if traits.reads_friends:
        users = befriended(known) if users is None else users.assign(**befriended(known))
    known_items = described(model, items) if traits.reads_items or traits.private else None
    return Log(pd.DataFrame(columns), known_items, users)


def befriended(user_ids: Any) -> pd.DataFrame:
    """Return a users table in which everybody is the friend of the second and third next."""
    import pandas as pd

    ids = list(user_ids)
    lists = [[ids[(n + step) % len(ids)] for step in (2, 3)] for n in range(len(ids))]
    return pd.DataFrame({"user_id": ids, "friends": pd_objects(lists)})


def pd_objects(values: list[Any]) -> pd.Series:
    """Return a column of Python objects, whatever they are."""
    import pandas as pd

    return pd.Series(values, dtype=object)


def described(model: BaseRecommender, items: pd.DataFrame) -> pd.DataFrame:
    """Return an items table with texts and attributes if the model reads any.

    Neighbours in the table have words in common, and all items one.
    """
    if not traits_of(model).reads_items:
        return items
    numbers = range(len(items))
    return items.assign(
        title=[f"thing{n // 3} kind{n % 4} of the shop" for n in numbers],
        category=[f"category{n // 4}" for n in numbers],
        price=[1.0 + n for n in numbers],
        lat=[52.5 + n / 100 for n in numbers],
        lon=13.4,
    )
