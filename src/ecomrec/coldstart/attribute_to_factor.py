"""New items in the space of a factor model, by what they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from ecomrec._rng import RandomState, make_rng
from ecomrec._validation import Rule, boolean, choice, integer, real, seed
from ecomrec.base import Explained, Query, SideTables, State
from ecomrec.cf import ALS
from ecomrec.coldstart import _maps as maps
from ecomrec.coldstart._maps import ContentMap
from ecomrec.coldstart._prefit import adopted
from ecomrec.composite import Composed, Named, WrappingRecommender, with_state
from ecomrec.content import AttributeRecommender, EmbeddingRecommender, TfidfRecommender
from ecomrec.data.source import Growth, Removal, Source
from ecomrec.data.tables import ITEM, read_ids, to_frame
from ecomrec.kernels import neighbors, ranking
from ecomrec.vectors.factors import FactorModel

_CONTENT = (TfidfRecommender, AttributeRecommender, EmbeddingRecommender)
# Of a score: what an explanation may leave out.
_UNSAID = 1e-4


class AttributeToFactor(WrappingRecommender):
    r"""Gives new items a place among the vectors of a factor model, by what they are.

    From the items that the model knows, with vectors :math:`y_i` learned from :math:`n_i` users
    and content :math:`x_i` (words, attributes or an embedding, of length 1), a ridge regression
    learns

    .. math:: \min_{W} \sum_i \log(1 + n_i) \, \lVert y_i - c - W^\top x_i \rVert^2
              + \lambda \lVert W \rVert^2

    with c the weighted mean of the vectors. An item without events gets the vector
    :math:`s \, (c + W^\top x)`, and scores as any other item of the model does. Of items that the
    model knows, vectors, scores and order are the model's own, to the bit.

    Guesses are nearer to the mean than true vectors, and an item with a short vector is never on
    top. So s makes vectors guessed for known items, each held out in turn, as long on average as
    their own: a new item is taken for a usual one, not for one that few have bought so far. Biases
    are spread alike. Predicted ratings are not stretched.

    Parameters
    ----------
    model : FactorModel or None
        `ALS`, `PureSVD`, `BPR`, `SVD`, ...; a default `ALS` if None.
    content : TfidfRecommender, AttributeRecommender, EmbeddingRecommender or None
        What reads the items table; a default `TfidfRecommender` if None.
    kernel : {"linear", "rbf"}
        "rbf": ridge on ``exp(-gamma |x - z|^2)`` with known items z, so that words may count more
        together than alone.
    gamma : float
        Of "rbf": how fast likeness fades. Content has length 1, so distances are at most 2.
    n_landmarks : int
        Of "rbf": at most so many known items z, drawn at random; exact if there are no more.
    regularization : float or None
        :math:`\lambda`. None: of 0.1, 0.3, 1, 3 and 10 the one that guesses the scores of known
        items best, each held out in turn.
    new_item_weight : float
        Length of the new vectors beside usual ones: with less, fewer new items come to the top.
    prefit : bool
        Take `model` as it is, fitted; `fit` then learns the map only, and refuses events of users
        or items that the model does not know.
    random_state : int, Generator, RandomState or None
        Draws landmarks and what is held out.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    user_factors_ : ndarray of shape (n_users, n_factors), float32
        The model's.
    item_factors_ : ndarray of shape (n_items, n_factors), float32
        The model's, and those of the map for items that it does not know.
    is_mapped_ : ndarray of shape (n_items,), bool
        Items whose vectors come from the map.
    regularization_ : float
        :math:`\lambda`.
    stretch_ : float
        s.
    parts_ : Bunch
        The fitted `model` and `content`.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True if `forget` is exact in both parts.

    See Also
    --------
    ColdStart : Answers for everybody, from any model, by rule.

    Notes
    -----
    The map is solved for by conjugate gradients, at a cost of the entries of the content times
    `n_factors` for each step; what is held out are at most 10,000 items. The answer costs what it
    costs the model. Beside the parts, a second copy of the items' vectors is kept.

    `partial_fit` costs the batch: new items, with or without events, are mapped and ranked at
    once, and items with their first evidence get the model's own vectors; the map stays until
    `refresh`. `forget` learns it anew from what is left. Visitors get the vectors that the model
    gives them, from the items that it knows.

    Mapping content to factors is due to [1]_; newer methods are compared in [2]_.

    References
    ----------
    .. [1] Gantner, Drumond, Freudenthaler, Rendle, Schmidt-Thieme: Learning attribute-to-feature
       mappings for cold-start recommendations. ICDM 2010.
    .. [2] Huang, Wang, Tan, Dong: Aligning distillation for cold-start item recommendation. CIKM
       2023.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.cf import ALS
    >>> from ecomrec.coldstart import AttributeToFactor
    >>> events = pd.DataFrame(
    ...     {
    ...         "user_id": ["ann", "ann", "bob", "bob", "cleo", "cleo", "dan"],
    ...         "item_id": [1, 2, 1, 2, 3, 4, 3],
    ...     }
    ... )
    >>> items = pd.DataFrame(
    ...     {"item_id": [1, 2, 3, 4], "title": ["red mug", "blue mug", "green tea", "black tea"]}
    ... )
    >>> model = AttributeToFactor(ALS(2)).fit(events, items=items)
    >>> new = pd.DataFrame({"item_id": [5, 6], "title": ["white tea", "white mug"]})
    >>> model = model.partial_fit(events.head(0), items=new)
    >>> model.recommend(["ann", "dan"], k=1, candidates=[5, 6]).items.tolist()
    [[6], [5]]
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "model": Rule(
            "None or a model of vectors, such as ALS()",
            lambda v: v is None or isinstance(v, FactorModel),
            ("ALS", 3, ALS, TfidfRecommender()),
        ),
        "content": Rule(
            "None, a TfidfRecommender, an AttributeRecommender or an EmbeddingRecommender",
            lambda v: v is None or isinstance(v, _CONTENT),
            ("title", 3, ALS(), TfidfRecommender),
        ),
        "kernel": choice("linear", "rbf"),
        "gamma": real(0),
        "n_landmarks": integer(1),
        "regularization": real(0, none=True),
        "new_item_weight": real(0),
        "prefit": boolean(),
        "random_state": seed(),
    }
    _own_types: ClassVar[tuple[type, ...]] = (ContentMap,)
    tuning_space: ClassVar[Mapping[str, Any]] = {
        "kernel": ["linear", "rbf"],
        "new_item_weight": [0.5, 0.75, 1.0, 1.25],
    }

    def __init__(
        self,
        model: FactorModel | None = None,
        content: Any = None,
        *,
        kernel: str = "linear",
        gamma: float = 0.3,
        n_landmarks: int = 1000,
        regularization: float | None = None,
        new_item_weight: float = 1.0,
        prefit: bool = False,
        random_state: RandomState = 0,
    ) -> None:
        self.model = model
        self.content = content
        self.kernel = kernel
        self.gamma = gamma
        self.n_landmarks = n_landmarks
        self.regularization = regularization
        self.new_item_weight = new_item_weight
        self.prefit = prefit
        self.random_state = random_state

    # ------------------------------------------------------------------ parts

    def _parts(self) -> Named:
        model = ALS() if self.model is None else self.model
        content = TfidfRecommender() if self.content is None else self.content
        return [("model", model), ("content", content)]

    def _values(self) -> Literal["weight", "rating"]:
        return self._parts()[0][1]._values()

    @property
    def half_life(self) -> Any:
        """Half-life of events, as of the model."""
        return getattr(self._parts()[0][1], "half_life", None)

    @property
    def forget_exact_(self) -> bool:
        """Whether `forget` equals a fit without what was forgotten: if it does in both parts."""
        return all(getattr(part, "forget_exact_", False) for _, part in self._parts())

    # ------------------------------------------------------------------ learning

    def _fitted(self, source: Source, sides: SideTables) -> State:
        if self.prefit:
            return self._with_map(adopted(self._parts(), source, sides))
        return self._with_map(super()._fitted(source, sides))

    def _extended(self, state: State, grow: Growth, sides: SideTables) -> State:
        after = super()._extended(state, grow, sides)
        known: ContentMap = state.learned.own
        content = after.learned.parts[1]
        if len(known.weights) == 0 or maps.width_of(content) < known.n_features:
            return self._with_map(after)
        listed = np.empty(0, dtype=np.int64)
        if sides.items is not None:
            ids = read_ids(to_frame(sides.items, "the items table"), ITEM, "the items table")[1]
            listed = np.unique(after.interactions.items.rows(np.asarray(ids)))
        return _ready(_placed(after, known, listed))

    def _reduced(self, state: State, remove: Removal) -> State:
        return self._with_map(super()._reduced(state, remove))

    def _refreshed(self, state: State) -> State:
        return self._with_map(super()._refreshed(state))

    def _with_map(self, state: State) -> State:
        """Learn the map, and give all items that the model does not know their vectors."""
        (model, content), shop = state.learned.parts, state.interactions
        learned = model._state.learned
        # In the order of ids: who arrived first makes no difference.
        order = np.argsort(shop.item_ids, kind="stable")
        rows = order[np.asarray(learned.with_evidence)[order] & maps.described(content, order)]
        weights = np.log1p(np.maximum(shop.item_counts[rows], 1))
        users = np.asarray(learned.user_factors)
        with threadpool_limits(1, user_api="blas"):
            gram = (users.T @ users).astype(np.float64)
        examples = maps.Examples(
            content=maps.content_of(content, rows),
            factors=np.asarray(learned.item_factors)[rows].astype(np.float64),
            weights=weights / weights.mean() if len(rows) else weights,
            gram=gram,
            n_biases=learned.n_biases,
            ratings=model._values() == "rating",
        )
        settings = maps.Settings(
            self.kernel, self.gamma, self.n_landmarks, self.regularization, self.new_item_weight
        )
        found = maps.learn(examples, settings, make_rng(self.random_state))
        if len(found.weights) == 0:
            return _ready(replace(state, learned=Composed(state.learned.parts, found)))
        return _ready(_placed(state, found, np.arange(shop.n_items)))

    # ------------------------------------------------------------------ answering

    def _restored_state(
        self,
        manifest: dict[str, Any],
        arrays: dict[str, np.ndarray],
        shared: Any = (),
    ) -> State:
        return _ready(super()._restored_state(manifest, arrays, shared))

    def _asked_twin(self, state: State, query: Query) -> tuple[FactorModel, State, Query]:
        """The model with the new items, the visitors' vectors, and the question.

        Vectors are those of the model alone: from items with evidence, as stored ones are.
        """
        inner: Any = state.learned.parts[0]
        asked = self._asked_of(state, 0, query)
        twin = _twin(state)
        known = twin._state.learned
        moved = replace(known, user_factors=inner._vectors(inner._state, asked))
        vars(moved)["index"] = known.index
        place = np.arange(len(query.users))
        return twin, replace(twin._state, learned=moved), Query(place, asked.profiles, True)

    def _score(self, state: State, query: Query) -> np.ndarray:
        twin, known, asked = self._asked_twin(state, query)
        return twin._score(known, asked)

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        twin, known, asked = self._asked_twin(state, query)
        return twin._top_k(known, asked, k, mask)

    def _predict(self, state: State, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        twin = _twin(state)
        return twin._predict(twin._state, users, items)

    def _similar_items(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        twin = _twin(state)
        return twin._similar_items(twin._state, rows, k)

    def _explain(self, state: State, query: Query, item: int) -> Explained:
        twin, known, asked = self._asked_twin(state, query)
        kinds, reasons, amounts, *_ = twin._explain(known, asked, item)
        if item not in state.learned.own.items:
            return kinds, reasons, amounts
        # What the model cannot trace back in a vector that it did not learn.
        score = float(np.nan_to_num(twin._score(known, asked)[0, item]))
        rest = score - float(np.sum(amounts))
        if abs(rest) > _UNSAID * max(1.0, abs(score)):
            kinds, reasons = [*kinds, "factors"], [*reasons, None]
            amounts = np.append(amounts, rest)
        return kinds, reasons, amounts

    # ------------------------------------------------------------------ fitted attributes

    @property
    def user_factors_(self) -> np.ndarray:
        """Vectors of the users, by row."""
        return _twin(self._attribute("user_factors_")).user_factors_

    @property
    def item_factors_(self) -> np.ndarray:
        """Vectors of the items, by row; those of new items come from the map."""
        return _twin(self._attribute("item_factors_")).item_factors_

    @property
    def is_mapped_(self) -> np.ndarray:
        """Items whose vectors come from the map, by row."""
        state = self._attribute("is_mapped_")
        mapped = np.zeros(state.interactions.n_items, dtype=bool)
        mapped[state.learned.own.items] = True
        return mapped

    @property
    def regularization_(self) -> float:
        """The regularization that the map was learned with."""
        return float(self._attribute("regularization_").learned.own.regularization)

    @property
    def stretch_(self) -> float:
        """What the guessed vectors were multiplied by."""
        return float(self._attribute("stretch_").learned.own.stretch)


def _placed(state: State, known: ContentMap, rows: np.ndarray) -> State:
    """Give some items (rising rows) their vectors, and leave to the model those that it knows."""
    model, content = state.learned.parts
    new = ~np.asarray(model._state.learned.with_evidence)
    kept = new[known.items] & ~np.isin(known.items, rows)
    rows = rows[new[rows] & maps.described(content, rows)]
    items = np.concatenate((known.items[kept], rows))
    vectors = np.concatenate((known.vectors[kept], known.of(maps.content_of(content, rows))))
    order = np.argsort(items, kind="stable")
    placed = replace(known, items=items[order], vectors=vectors[order])
    return replace(state, learned=Composed(state.learned.parts, placed))


def _ready(state: State) -> State:
    """Make the model with the new items before somebody waits for it."""
    _twin(state)
    return state


def _twin(state: State) -> FactorModel:
    """The model, and the new items as if it knew them; made once for each state."""
    own: ContentMap = state.learned.own
    if "twin" not in vars(own):
        inner = state.learned.parts[0]
        learned = inner._state.learned
        factors = np.array(learned.item_factors, dtype=np.float32)
        known = np.array(learned.with_evidence)
        factors[own.items], known[own.items] = own.vectors, True
        merged = replace(learned, item_factors=factors, with_evidence=known)
        twin = with_state(inner, replace(inner._state, learned=merged))
        vars(own).setdefault("twin", twin)
    made: FactorModel = vars(own)["twin"]
    return made
