"""An answer for everybody: who is new, and what is new, goes by other paths than the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ecomrec._validation import Rule, check_k, real
from ecomrec.base import BaseRecommender, Explained, Query, Recommendations, State, Unknown
from ecomrec.cf import ItemKNN, Popularity
from ecomrec.cf.popularity import group_label
from ecomrec.coldstart._answers import (
    ColdStartRecommendations,
    fill,
    read_attributes,
)
from ecomrec.coldstart._new_items import (
    best_new_items,
    content_part,
    merged,
    score_new_items,
)
from ecomrec.coldstart._strangers import as_anybody, has_answer
from ecomrec.composite import CompositeRecommender, Named, named_parts, reasons_of
from ecomrec.content import TfidfRecommender
from ecomrec.kernels import assemble, neighbors, ranking
from ecomrec.requests import (
    SKIP,
    check_unknown,
    make_mask,
    raise_unknown,
    strangers,
    taken,
)

#: The path of rows that no part knows anything of.
POPULARITY = "popularity"
_NO_REASON: Explained = ([], [], np.zeros(0), [])


class ColdStart(CompositeRecommender):
    r"""Answers everybody: the model where it can, and by name what is next where it cannot.

    The parts are asked in order, the model first. The first that knows anything of a visitor
    answers, and its name is in `paths` of the result: a history is answered by the model, or by
    what reads texts if the model knows none of its items; attributes by the popularity of the
    group; a stranger by popularity. A model that answers anybody, such as `TwoStage`, is asked
    last about those without a history whom it would answer as any stranger, or of whom the
    request says an attribute. Places that the part cannot fill are filled by the next ones at
    score 0. Scores of a row are those of its part; of two paths they do not compare.

    New items, those that nobody has touched, come into the model's lists through the first
    fallback that reads the items table. Of the items that both score and the visitor has not, let
    :math:`m_1 \ge m_2 \ge \dots` be the model's best scores, :math:`t_1 \ge t_2 \ge \dots` those
    of the fallback. A new item that the fallback scores :math:`t_r` gets

    .. math:: m_{r / w}

    with w `new_item_weight`, and in between in proportion: w = 1 puts it where the model has an
    item that is as far up its list. A model that reads the items table itself, such as
    `AttributeToFactor`, scores new items itself.

    Parameters
    ----------
    model : BaseRecommender or None
        Who answers those that it knows; `ItemKNN` if None.
    fallback : list of (str, recommender), or None
        Who answers the others, in order. None: ``[("text", TfidfRecommender()), ("all",
        Popularity())]``. Put ``("group", Popularity(group="country"))`` before the last for
        visitors of whom nothing but an attribute is known.
    new_item_weight : float
        w: with less, fewer new items come to the top; 0 leaves them to places that stay free.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    parts_ : Bunch
        The fitted `model` and fallbacks, by name.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True if `forget` is exact in all parts.

    See Also
    --------
    AttributeToFactor : New items as vectors of a factor model.

    Notes
    -----
    A request costs the model's answer and, while there are new items, three short lists more: the
    best 100 known items by both (100 / w by the model), and the best new ones. Fallbacks are asked
    for rows that need them only. `partial_fit`, `forget` and `refresh` do to each part what they
    do to it; an item is new until somebody has touched it, then it is the model's.

    Which path to take, by rule, is the switching hybrid of [1]_.

    References
    ----------
    .. [1] Burke: Hybrid recommender systems: survey and experiments. User Modeling and
       User-Adapted Interaction 2002.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.cf import ItemKNN, Popularity
    >>> from ecomrec.coldstart import ColdStart
    >>> from ecomrec.content import TfidfRecommender
    >>> events = pd.DataFrame(
    ...     {"user_id": ["ann", "ann", "bob", "bob", "cleo"], "item_id": [1, 2, 1, 3, 3]}
    ... )
    >>> titles = ["red mug", "blue mug", "tea", "green mug"]
    >>> items = pd.DataFrame({"item_id": [1, 2, 3, 4], "title": titles})
    >>> users = pd.DataFrame({"user_id": ["ann", "bob", "cleo"], "country": ["FR", "FR", "DE"]})
    >>> fallback = [
    ...     ("text", TfidfRecommender()),
    ...     ("group", Popularity(group="country")),
    ...     ("all", Popularity()),
    ... ]
    >>> model = ColdStart(ItemKNN(), fallback).fit(events, items=items, users=users)
    >>> known = [{}, {"country": "DE"}, {}]
    >>> answer = model.recommend(["bob", "eve", "fay"], k=1, attributes=known)
    >>> answer.items[:, 0].tolist(), answer.paths.tolist()
    ([2, 3, 1], ['model', 'group', 'all'])
    >>> model.recommend(history=[[4]], k=1).to_frame()
       user_id  rank  item_id     score  path
    0        0     1        1  0.289475  text
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "model": Rule(
            "None or a recommender",
            lambda v: v is None or isinstance(v, BaseRecommender),
            ("ItemKNN", 3, BaseRecommender),
        ),
        "fallback": named_parts(),
        "new_item_weight": real(0),
    }
    _part_lists: ClassVar[tuple[str, ...]] = ("fallback",)
    tuning_space: ClassVar[Mapping[str, Sequence[Any]]] = {
        "new_item_weight": [0.0, 0.25, 0.5, 1.0, 2.0]
    }

    def __init__(
        self,
        model: BaseRecommender | None = None,
        fallback: list[tuple[str, BaseRecommender]] | None = None,
        *,
        new_item_weight: float = 1.0,
    ) -> None:
        self.model = model
        self.fallback = fallback
        self.new_item_weight = new_item_weight

    def _parts(self) -> Named:
        model = ItemKNN() if self.model is None else self.model
        fallback = self.fallback
        if fallback is None:
            fallback = [("text", TfidfRecommender()), ("all", Popularity())]
        return [("model", model), *fallback]

    @property
    def n_jobs(self) -> int | None:
        """Threads, as of the model."""
        jobs: int | None = getattr(self._parts()[0][1], "n_jobs", 1)
        return jobs

    @property
    def _score_unit(self) -> float:  # type: ignore[override]
        return max(float(part._score_unit) for _, part in self._parts())

    # ------------------------------------------------------------------ answering

    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        history: Any = None,
        attributes: Any = None,
        candidates: Any = None,
        exclude: Any = None,
        exclude_seen: bool = True,
        unknown: Unknown = "raise",
    ) -> Recommendations:
        """Return the best k items for anybody: known or not, with a history or without.

        Parameters
        ----------
        users : list of ids, optional
            Known or not. With `history`, what it holds is added to theirs, for this call only.
        k : int
            Items per row.
        history : list of sequences of item ids, or table, optional
            What each visitor did, as in `BaseRecommender.recommend`.
        attributes : list of dict, or table, optional
            What is known of each row, such as ``[{"country": "FR"}, {}]``; a table has a row for
            each, or a row for each `user_id`. It goes before what the users table of `fit` said.
            Alone, it is the request: strangers so described.
        candidates : list of ids, or list of lists, optional
            Nothing else is recommended; shared, or one list for each row.
        exclude : list of ids, or list of lists, optional
            Never recommended; shared, or one list for each row.
        exclude_seen : bool
            Leave out what the user has already touched.
        unknown : {"raise", "skip"}
            What happens to unknown users, and histories without any known item, of whom no part
            knows anything: an error that names them, or an empty row.

        Returns
        -------
        Recommendations
            With an attribute `paths`, who answered each row; `to_frame` has it as `path`.
        """
        state = self._fitted_state()
        k = check_k(k)
        check_unknown(unknown)
        said: dict[str, list[Any]] = {}
        if users is None and history is None and attributes is not None:
            keys, said = read_attributes(attributes, None, self._wanted(state))
            query, known = strangers(len(keys)), np.zeros(len(keys), dtype=bool)
        else:
            keys, query, known = self._ask(state, users, history)
            if attributes is not None:
                said = read_attributes(attributes, keys, self._wanted(state))[1]
        self._freshen(state, query)
        mask = make_mask(state, query, candidates, exclude, exclude_seen)
        items, scores, by, open_rows = self._answered(state, query, k, mask, said)
        lost = ~known & (by < 0)
        if lost.any() and unknown == "raise":
            raise_unknown(keys, ~lost, SKIP, users is None)
        if (items[:, -1] < 0).any():
            ranking.fill_by_popularity(items, scores, state.by_popularity, mask, open_rows)
        names = [*(name for name, _ in self._parts()), POPULARITY]  # the last is that of -1
        paths = np.array(names, dtype=object)[by]
        items[lost], scores[lost], paths[lost] = -1, np.nan, None
        return ColdStartRecommendations(state.interactions.items.take(items), scores, keys, paths)

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        items, scores, *_ = self._answered(state, query, k, mask, {})
        return items, scores

    def _answered(
        self,
        state: State,
        query: Query,
        k: int,
        mask: ranking.Mask,
        said: Mapping[str, list[Any]],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Items, scores, part that answered (-1: none), and whether popular items may follow."""
        n = len(query.users)
        items = np.full((n, k), -1, dtype=np.int32)
        scores = np.full((n, k), np.nan, dtype=np.float32)
        by, open_rows = np.full(n, -1), np.ones(n, dtype=bool)
        for number, asked, able in self._turns(state, query, said):
            rows = np.flatnonzero((items[:, -1] < 0) & able & open_rows)
            if len(rows) == 0:
                continue
            part, (some, shown) = state.learned.parts[number], taken(asked, mask, rows)
            ours = self._asked_of(state, number, some)
            first = by[rows] < 0
            # Of what fills a list, some may stand in it already.
            wanted = k if first.all() else 2 * k
            found, values = part._top_k(part._state, ours, wanted, shown)
            knows = found[:, 0] >= 0
            unsure = np.flatnonzero(first & ~knows)
            if len(unsure):
                knows[unsure] = has_answer(part, *taken(ours, shown, unsure))
            may_fill = part._may_fill(ours)
            if number == 0 and (knows & may_fill).any():
                found, values = self._with_new_items(
                    state, some, shown, k, found, values, knows & may_fill
                )
            head = np.flatnonzero(first & knows)
            items[rows[head]], scores[rows[head]] = found[head, :k], values[head, :k]
            by[rows[head]], open_rows[rows[head]] = number, may_fill[head]
            for place in np.flatnonzero(~first & knows).tolist():
                fill(items[rows[place]], scores[rows[place]], found[place])
        return items, scores, by, open_rows & ((by >= 0) | self._may_fill(query))

    def _with_new_items(
        self,
        state: State,
        query: Query,
        mask: ranking.Mask,
        k: int,
        found: np.ndarray,
        values: np.ndarray,
        knows: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The model's lists with new items among them, in rows of which it knows something."""
        content, rows = content_part(state, self.new_item_weight), np.flatnonzero(knows)
        if content is None:
            return found, values
        some, shown = taken(query, mask, rows)
        more = best_new_items(self, state, some, shown, k, content, self.new_item_weight)
        found[rows], values[rows] = merged((found[rows], values[rows]), more, found.shape[1])
        return found, values

    def _score(self, state: State, query: Query) -> np.ndarray:
        n, n_items = len(query.users), state.interactions.n_items
        block = np.full((n, n_items), np.nan, dtype=np.float32)
        left = np.ones(n, dtype=bool)
        for number, asked, able in self._turns(state, query, {}):
            rows = np.flatnonzero(left & able)
            if len(rows) == 0:
                continue
            part = state.learned.parts[number]
            ours = taken(asked, ranking.no_mask(n), rows)[0]
            values = part._score(part._state, self._asked_of(state, number, ours))
            knows = np.flatnonzero((~np.isnan(values)).any(axis=1))
            content = content_part(state, self.new_item_weight)
            if number == 0 and content is not None and len(knows):
                some = taken(ours, ranking.no_mask(len(rows)), knows)[0]
                weight = self.new_item_weight
                score_new_items(self, state, some, content, weight, values, knows)
            block[rows[knows]], left[rows[knows]] = values[knows], False
        return block

    def _explain(self, state: State, query: Query, item: int) -> Explained:
        for number, asked, able in self._turns(state, query, {}):
            part, ours = state.learned.parts[number], self._asked_of(state, number, asked)
            scores = part._score(part._state, ours)[0] if able[0] else np.full(1, np.nan)
            if np.isnan(scores).all():
                continue
            if not np.isnan(scores[item]):
                return reasons_of(self._parts()[number][0], part, ours, item)
            return self._explain_new(state, query, item) if number == 0 else _NO_REASON
        return _NO_REASON

    def _explain_new(self, state: State, query: Query, item: int) -> Explained:
        """What the content says, in proportion to what it is worth in the model's list."""
        content = content_part(state, self.new_item_weight)
        score = float(np.nan_to_num(self._score(state, query)[0, item]))
        if content is None or score == 0:
            return _NO_REASON
        part, asked = state.learned.parts[content], self._asked_of(state, content, query)
        return reasons_of(self._parts()[content][0], part, asked, item, score)

    def _similar_items(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        model, content = state.learned.parts[0], content_part(state, self.new_item_weight)
        found: neighbors.Rows = model._similar_items(model._state, rows, k)
        new = np.flatnonzero(state.interactions.item_counts[rows] == 0)
        if content is None or len(new) == 0:
            return found
        part = state.learned.parts[content]
        other = part._similar_items(part._state, rows[new], k)
        lists = [slice(*found.indptr[row : row + 2]) for row in range(len(rows))]
        picked: list[tuple[np.ndarray, ...]] = [(found[1][one], found[2][one]) for one in lists]
        for place, row in enumerate(new.tolist()):
            one = slice(*other.indptr[place : place + 2])
            picked[row] = other[1][one], other[2][one]
        ends = assemble.offsets(np.array([len(one[0]) for one in picked], dtype=np.int64))
        return neighbors.Rows(ends, *(np.concatenate(v) for v in zip(*picked, strict=True)))

    def _similar_users(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        model: BaseRecommender = state.learned.parts[0]
        return model._similar_users(model._state, rows, k)

    # ------------------------------------------------------------------ who is asked about whom

    def _turns(
        self, state: State, query: Query, said: Mapping[str, list[Any]]
    ) -> Iterator[tuple[int, Query, np.ndarray]]:
        """Parts in the order in which they are asked: number, question, and about which rows."""
        asked, able = self._as_members(state, 0, query, said)
        last = np.zeros(len(able), dtype=bool)
        if _group_of(state.learned.parts[0]) is None:
            last = as_anybody(self, state, query, said)
        yield 0, asked, able & ~last
        for number in range(1, len(state.learned.parts)):
            yield number, *self._as_members(state, number, query, said)
        yield 0, asked, last

    def _wanted(self, state: State) -> list[str]:
        """Attributes that parts read."""
        return [str(_group_of(part)) for part in state.learned.parts if _group_of(part)]

    def _as_members(
        self, state: State, number: int, query: Query, said: Mapping[str, list[Any]]
    ) -> tuple[Query, np.ndarray]:
        """A query in the name of members of the visitors' groups, and whose group is known."""
        part = state.learned.parts[number]
        group = _group_of(part)
        if group is None:
            return query, np.ones(len(query.users), dtype=bool)
        learned = part._state.learned
        users = query.users.copy()
        for row, value in enumerate(said.get(group, ())):
            label = group_label(value)
            if label is not None:
                users[row] = learned.members.get(label, -1)
        able = (users >= 0) & (learned.groups[users] > 0)
        return query._replace(users=users, as_stored=False), able


def _group_of(part: BaseRecommender) -> str | None:
    """The attribute that a part of groups reads."""
    return part.group if isinstance(part, Popularity) else None
