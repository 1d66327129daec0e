"""Recommenders made of named recommenders, which learn, forget and are saved as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils import Bunch

from ecomrec._validation import Rule
from ecomrec.base import BaseRecommender, Explained, Query, SideTables, State
from ecomrec.data.histories import Profiles, stored_profiles
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.source import Growth, Removal, Source
from ecomrec.exceptions import FileFormatError
from ecomrec.kernels import neighbors, ranking
from ecomrec.requests import make_query
from ecomrec.state import (
    pack_fields,
    pack_shop,
    unpack_available,
    unpack_fields,
    unpack_shop,
)

Named = list[tuple[str, BaseRecommender]]


@dataclass(frozen=True, eq=False)
class Composed:
    """What a composite learns.

    Attributes
    ----------
    parts : tuple of BaseRecommender
        Fitted, with the users and items of the composite in the same rows. They also keep what
        `_freshen` makes fresh.
    own : dataclass or None
        What the composite learned itself.
    """

    parts: tuple[BaseRecommender, ...]
    own: Any = None


class CompositeRecommender(BaseRecommender):
    """Base of recommenders made of others.

    A subclass says in `_parts` which they are, and answers through `_score` or `_top_k` from those
    of the parts: ``state.learned.parts[n]._score(part._state, self._asked_of(state, n, query))``.
    What it learns itself, a dataclass of one of `_own_types`, comes from `_learn_own`. Parts may
    differ in half-life, and some may learn ratings: each has interactions of its own, with users
    and items in the same rows.
    """

    _learned_types: ClassVar[tuple[type, ...]] = (Composed,)
    _own_types: ClassVar[tuple[type, ...]] = ()
    #: Whether it reads scores of parts for items that their own lists may not show.
    _reads_scores: ClassVar[bool] = False
    #: Parameters that hold lists of (name, recommender or other estimator).
    _part_lists: ClassVar[tuple[str, ...]] = ("parts",)

    # ------------------------------------------------------------------ what a subclass writes

    def _parts(self) -> Named:
        """The parts by name, as the parameters give them."""
        raise NotImplementedError

    def _learn_own(self, source: Source, sides: SideTables) -> Any:
        """Return what the composite learns beside its parts, which are not fitted yet."""
        return None

    def _own_added(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> Any:
        """Return that for a model with a batch; `shop` has the batch."""
        return state.learned.own

    def _own_without(
        self, state: State, left: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> Any:
        """Return that for a model without some users and items."""
        return state.learned.own

    def _own_refreshed(self, state: State) -> Any:
        """Return that for a model in which nothing is left for later."""
        return state.learned.own

    # ------------------------------------------------------------------ parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; with `deep`, those of the parts as ``name__parameter`` too.

        Parameters
        ----------
        deep : bool

        Returns
        -------
        dict of str to object
        """
        params: dict[str, Any] = super().get_params(deep)
        if deep:
            for name, part in self._listed():
                params[name] = part
                params.update({f"{name}__{key}": v for key, v in part.get_params().items()})
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters, of parts too: ``set_params(cf=ALS(), text__min_df=2)``.

        Parameters
        ----------
        **params : object

        Returns
        -------
        self
        """
        for attribute in self._part_lists:
            if attribute in params:
                setattr(self, attribute, params.pop(attribute))
            listed = getattr(self, attribute)
            if _is_listing(listed) and any(name in params for name, _ in listed):
                setattr(self, attribute, [(n, params.pop(n, part)) for n, part in listed])
        for key in params:
            name, nested, _ = key.partition("__")
            if nested and name not in params and name in self._defaults():
                raise ValueError(
                    f"{type(self).__name__}: {name!r} is one of its default parts, which are not "
                    f"among its parameters, so {key!r} cannot be set. Pass parts of your own "
                    f"first; got {self!r}."
                )
        super().set_params(**params)
        return self

    def _listed(self) -> Iterator[tuple[str, Any]]:
        for attribute in self._part_lists:
            listed = getattr(self, attribute)
            if _is_listing(listed):
                yield from listed

    def _defaults(self) -> list[str]:
        """Names of the parts that nobody passed."""
        passed = [*self.get_params(deep=False).values(), *(part for _, part in self._listed())]
        return [n for n, part in self._parts() if not any(part is one for one in passed)]

    def _nested(self) -> Iterator[tuple[str, BaseRecommender]]:
        """Parts at any depth, named as parameters are."""
        for name, part in self._parts():
            yield name, part
            if isinstance(part, CompositeRecommender):
                yield from ((f"{name}__{path}", inner) for path, inner in part._nested())

    def _check_as_part(self, path: str, owner: CompositeRecommender) -> None:
        """Refuse to be a part, at a path, of a composition that could not use it."""

    def _check_params(self) -> None:
        super()._check_params()
        taken = set(super().get_params(deep=False))
        names = [name for name, _ in self._listed()]
        for name in names:
            if "__" in name or name in taken or names.count(name) > 1:
                raise ValueError(
                    f"{type(self).__name__} has a part named {name!r}: names must differ from "
                    "each other and from the parameters, and have no '__'."
                )
        for _, part in self._parts():
            part._check_params()
        for path, part in self._nested():
            if isinstance(part, CompositeRecommender):
                part._check_as_part(path, self)

    # ------------------------------------------------------------------ learning

    def _fitted_parts(self, source: Source, sides: SideTables) -> tuple[BaseRecommender, ...]:
        """Clones of the parts, fitted on a source."""
        return tuple(with_state(part, part._fitted(source, sides)) for _, part in self._parts())

    def _fitted(self, source: Source, sides: SideTables) -> State:
        source.shop(self._values(), self.half_life)
        if source.from_table:  # a matrix gets warnings, from the parts
            self._check_tables(source, sides)
        own = self._learn_own(source, sides)
        parts = self._fitted_parts(source, sides)
        shop = source.shop(self._values(), self.half_life)
        available = parts[0]._state.available
        return State(shop, Composed(parts, own), available, source.from_table)

    def _check_tables(self, source: Source, sides: SideTables) -> None:
        for name, part in self._parts():
            try:
                part._check_tables(source, sides)
            except ValueError as error:
                kind = "its default part" if name in self._defaults() else "part"
                error.args = (f"{type(self).__name__}: {kind} {name!r}: {error}",)
                raise
        super()._check_tables(source, sides)

    def _extended(self, state: State, grow: Growth, sides: SideTables) -> State:
        parts = tuple(
            with_state(part, part._extended(part._state, grow, sides))
            for part in state.learned.parts
        )
        shop, change = grow(state.interactions)
        own = self._own_added(state, shop, change, sides)
        available = parts[0]._state.available
        return replace(state, interactions=shop, learned=Composed(parts, own), available=available)

    def _reduced(self, state: State, remove: Removal) -> State:
        parts = tuple(
            with_state(part, part._reduced(part._state, remove)) for part in state.learned.parts
        )
        left, kept_users, kept_items = remove(state.interactions)
        own = self._own_without(state, left, kept_users, kept_items)
        available = parts[0]._state.available
        return replace(state, interactions=left, learned=Composed(parts, own), available=available)

    def _refreshed(self, state: State) -> State:
        parts = tuple(
            with_state(part, part._refreshed(part._state)) for part in state.learned.parts
        )
        return replace(state, learned=Composed(parts, self._own_refreshed(state)))

    def _freshen(self, state: State, query: Query | None) -> State:
        for number, part in enumerate(state.learned.parts):
            known = part._state
            while True:
                asked = None if query is None else self._asked_of(state, number, query)
                fresh = part._freshen(known, asked)
                if fresh is known:
                    break
                known = fresh
        return state

    # ------------------------------------------------------------------ asking

    def _ask(
        self, state: State, users: Any, history: Any
    ) -> tuple[Sequence[Any] | np.ndarray, Query, np.ndarray]:
        if hasattr(history, "__next__"):
            history = list(history)
        keys, query, known = super()._ask(state, users, history)
        others = {_kind_of(shop): shop for shop in _shops(state)}
        views = {_kind_of(state.interactions): query.profiles}
        others.pop(_kind_of(state.interactions))
        if others and history is not None:
            for kind, shop in others.items():
                counted = replace(state, interactions=shop, learned=None)
                views[kind] = make_query(counted, users, history, quiet=True)[1].profiles
            query = query._replace(views=views)
        return keys, query, known

    def _asked_of(self, state: State, number: int, query: Query) -> Query:
        """Return a query as one of the parts must get it, in its own weights or ratings."""
        shop = state.learned.parts[number]._state.interactions
        if shop is state.interactions:
            return query
        kind = _kind_of(shop)
        if query.views is not None and kind in query.views:
            return query._replace(profiles=query.views[kind])
        if query.as_stored:
            return query._replace(profiles=stored_profiles(shop, query.users))
        if shop.kind == state.interactions.kind:
            return query
        # Items without a rating of their own: as a history of ids is read.
        value = float(shop.data.max(initial=1.0)) if shop.kind == "rating" else 1.0
        weights = np.full_like(query.profiles.weights, value)
        return query._replace(profiles=Profiles(*query.profiles[:2], weights))

    def _may_fill(self, query: Query) -> np.ndarray:
        of_parts = [part._may_fill(query) for _, part in self._parts()]
        every: np.ndarray = np.logical_and.reduce(of_parts)
        return every

    # ------------------------------------------------------------------ what the parts say

    def _values(self) -> Literal["weight", "rating"]:
        rating = all(part._values() == "rating" for _, part in self._parts())
        return "rating" if rating else "weight"

    @property
    def half_life(self) -> Any:
        """Half-life of events: of the first part that has one."""
        lives = (getattr(part, "half_life", None) for _, part in self._parts())
        return next((life for life in lives if life is not None), None)

    @property
    def group(self) -> Any:
        """Column of the users table that a part reads, if any does."""
        groups = (getattr(part, "group", None) for _, part in self._parts())
        return next((group for group in groups if group is not None), None)

    @property
    def _reads_items(self) -> bool:  # type: ignore[override]
        return any(part._reads_items for _, part in self._parts())

    @property
    def _reads_friends(self) -> bool:  # type: ignore[override]
        return any(part._reads_friends for _, part in self._parts())

    @property
    def _reads_ratings(self) -> bool:  # type: ignore[override]
        return any(part._reads_ratings or part._values() == "rating" for _, part in self._parts())

    @property
    def forget_exact_(self) -> bool:
        """Whether `forget` equals a fit without what was forgotten: if it does in every part."""
        parts = [part for _, part in self._parts()]
        return not self._own_types and all(getattr(p, "forget_exact_", False) for p in parts)

    @property
    def parts_(self) -> Bunch:
        """The fitted parts, by name: copies that may be asked, and changed without harm."""
        parts = self._attribute("parts_").learned.parts
        names = [name for name, _ in self._parts()]
        return Bunch(
            **{name: with_state(p, p._state) for name, p in zip(names, parts, strict=True)}
        )

    # ------------------------------------------------------------------ files

    def _packed_state(
        self, state: State, shared: Sequence[Interactions] = ()
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        known = list(shared)
        shop, arrays = pack_shop(state.interactions, known)
        known += [state.interactions] if state.interactions not in known else []
        manifest: dict[str, Any] = {"shop": shop, "from_table": state.from_table, "parts": []}
        if state.available is not None:
            arrays["available"] = state.available
        if state.learned.own is not None:
            manifest["own"], more = self._packed_own(state.learned.own)
            arrays |= more
        for number, part in enumerate(state.learned.parts):
            inner, more = part._packed_state(part._state, known)
            known += [other for other in _shops(part._state) if other not in known]
            manifest["parts"].append(inner)
            arrays |= {f"part{number}/{name}": values for name, values in more.items()}
        return manifest, arrays

    def _restored_state(
        self,
        manifest: dict[str, Any],
        arrays: dict[str, np.ndarray],
        shared: Sequence[Interactions] = (),
    ) -> State:
        known = list(shared)
        shop = unpack_shop(manifest["shop"], arrays, known)
        known += [shop] if shop not in known else []
        own = self._restored_own(manifest["own"], arrays, shop) if "own" in manifest else None
        parts = []
        for number, ((_, part), inner) in enumerate(
            zip(self._parts(), manifest["parts"], strict=True)
        ):
            start = f"part{number}/"
            theirs = {n.removeprefix(start): v for n, v in arrays.items() if n.startswith(start)}
            state = part._restored_state(inner, theirs, known)
            if state.interactions.shape != shop.shape:
                raise FileFormatError("the parts differ in users or items; the file is damaged.")
            known += [other for other in _shops(state) if other not in known]
            parts.append(with_state(part, state))
        composed = Composed(tuple(parts), own)
        return State(shop, composed, unpack_available(arrays, shop), bool(manifest["from_table"]))

    def _packed_own(self, own: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What the composite learned, as a manifest and arrays."""
        forms, arrays = pack_fields(own, "own")
        return {"type": type(own).__name__, "fields": forms}, arrays

    def _restored_own(
        self, manifest: dict[str, Any], arrays: dict[str, np.ndarray], shop: Interactions
    ) -> Any:
        """What `_packed_own` packed."""
        kind = {kind.__name__: kind for kind in self._own_types}[manifest["type"]]
        return unpack_fields(manifest["fields"], arrays, kind, shop, "own")


class WrappingRecommender(CompositeRecommender):
    """Base of recommenders that add something to another one, the first of their parts.

    What a subclass does not answer itself, the first part answers.
    """

    _part_lists: ClassVar[tuple[str, ...]] = ()

    def _score(self, state: State, query: Query) -> np.ndarray:
        inner, asked = self._first(state, query)
        return inner._score(inner._state, asked)

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        inner, asked = self._first(state, query)
        return inner._top_k(inner._state, asked, k, mask)

    def _predict(self, state: State, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        inner: BaseRecommender = state.learned.parts[0]
        return inner._predict(inner._state, users, items)

    def _similar_items(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        inner: BaseRecommender = state.learned.parts[0]
        return inner._similar_items(inner._state, rows, k)

    def _similar_users(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        inner: BaseRecommender = state.learned.parts[0]
        return inner._similar_users(inner._state, rows, k)

    def _explain(self, state: State, query: Query, item: int) -> Explained:
        inner, asked = self._first(state, query)
        return inner._explain(inner._state, asked, item)

    def _first(self, state: State, query: Query) -> tuple[BaseRecommender, Query]:
        """The part that answers, and what it is asked."""
        return state.learned.parts[0], self._asked_of(state, 0, query)

    @property
    def n_jobs(self) -> int | None:
        """Threads, as of the first part."""
        jobs: int | None = getattr(self._parts()[0][1], "n_jobs", 1)
        return jobs

    @property
    def _score_unit(self) -> float:  # type: ignore[override]
        return float(self._parts()[0][1]._score_unit)


def with_state(part: BaseRecommender, state: State) -> BaseRecommender:
    """Return a copy of a recommender that knows a state: others may still ask the former."""
    twin: BaseRecommender = clone(part)
    twin._state = state
    return twin


def reasons_of(
    name: str, part: BaseRecommender, asked: Query, item: int, given: float | None = None
) -> tuple[list[str], list[Any], np.ndarray, list[str]]:
    """Why a part scores an item as it does, under the part's name: kinds, reasons, amounts, parts.

    With `given`, the amounts are shares of that, and there are none if the reasons cancel out.
    """
    kinds, reasons, amounts, *inner = part._explain(part._state, asked, item)
    amounts = np.asarray(amounts, dtype=np.float64)
    if given is not None:
        total = amounts.sum()
        if total <= 0.01 * np.abs(amounts).sum():
            return [], [], np.zeros(0), []
        amounts = amounts * (given / total)
    names = [f"{name}/{one}" for one in inner[0]] if inner else [name] * len(kinds)
    return kinds, reasons, amounts, names


def named_parts(*, least: int = 1) -> Rule:
    """Rule for a parameter that holds named recommenders, or None for the default ones."""
    return Rule(
        f"None or a list of at least {least} (name, recommender)",
        lambda value: (
            value is None
            or (
                _is_listing(value)
                and len(value) >= least
                and all(isinstance(part, BaseRecommender) for _, part in value)
            )
        ),
        ([], "parts", 3, [("cf", 3)], [BaseRecommender], [("cf", BaseRecommender)]),
    )


def _is_listing(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(pair, (list, tuple))
        and len(pair) == 2
        and isinstance(pair[0], str)
        and hasattr(pair[1], "get_params")
        and not isinstance(pair[1], type)
        for pair in value
    )


def _shops(state: State) -> list[Interactions]:
    """The different interactions of a state and of its parts."""
    found = [state.interactions]
    if isinstance(state.learned, Composed):
        for part in state.learned.parts:
            found += [shop for shop in _shops(part._state) if shop not in found]
    return found


def _kind_of(shop: Interactions) -> tuple[str, float]:
    return shop.kind, shop.half_life
