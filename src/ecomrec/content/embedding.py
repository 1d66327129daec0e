"""Recommendations from vectors of what items are: texts, images, or whatever has been encoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from os import PathLike
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.base import clone

from ecomrec._rng import RandomState, make_rng
from ecomrec._validation import Rule, choice, integer, jobs, real, seed
from ecomrec.base import SideTables, State
from ecomrec.content import _heads as heads
from ecomrec.content._embedded import (
    EmbeddingFactors,
    Sources,
    columns_of,
    fused,
    grown,
    profiles_by_id,
    sources_of,
    vector_columns,
    with_items,
)
from ecomrec.content._encoders import (
    GIVEN,
    LSA,
    as_written,
    encoded,
    encoders,
    is_unfitted,
    joined_texts,
    learn_lsa,
    lsa_vectors,
    read_vectors,
)
from ecomrec.content._fields import (
    TEXT_FIELDS,
    chosen_fields,
    field_weights,
    place_of,
)
from ecomrec.content._profiles import ProfileModel, unit_rows
from ecomrec.data.catalog import as_catalog
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.timestamps import HalfLife, duration
from ecomrec.exceptions import DataError
from ecomrec.kernels import assemble


class EmbeddingRecommender(ProfileModel):
    r"""Recommends what is like what the visitor touched, by vectors of texts, images or both.

    Each item is a vector :math:`x_j` of length 1, a visitor the mean of what they touched,
    weighted and decayed. The score of item j is

    .. math:: \frac{\sum_{i \in \text{history}} w_i \, x_i^\top W x_j}
              {\sum_{i \in \text{history}} w_i}

    Without a `head` W is the identity and the score is the mean cosine of the item and the items
    of the history: at most 1, and comparable between users. A head learns W from the events, with
    the vectors as they are; it is scaled so that scores stay within 1.

    Parameters
    ----------
    encoder : callable, transformer, str or None
        What makes vectors of texts. A callable takes a list of texts and returns an array; so does
        ``transform`` of a scikit-learn transformer or pipeline (fitted, or to be fitted on the
        texts of the shop) and ``encode`` of a sentence-transformers model. A str is the folder or
        the name of such a model (extra ``ecomrec[text]``), or "lsa": TF-IDF and a truncated
        singular value decomposition, learned here. None: "lsa", or no text if `vectors` are given.
    fields : dict of str to float, optional
        Text columns of the items table; "lsa" heeds the weights, other encoders read the columns
        one below the other. None: those there are of `title`, `name`, `category`, `brand`,
        `manufacturer`, `tags` and `description`.
    vectors : str, list of str, or dict of str to float, optional
        Columns of the items table that hold a vector for each item (a list or an array, or None),
        with their weights.
    text_weight : float
        Weight of the text beside `vectors`.
    n_factors : int
        Length of the vectors of "lsa".
    tokenizer : callable, optional
        For "lsa": takes a text and returns its words (None: ``Tokenizer()``).
    head : {None, "least_squares", "contrastive"}
        What is learned from the events. "least_squares": scores near 1 for what users have and
        near 0 for all other items, in closed form. "contrastive": steps that put the item a user
        has before those that others have.
    head_rank : int or None
        Rank of what a head adds to the identity; None for any.
    regularization : float
        Pulls a head back to the identity.
    max_iter : int
        For "contrastive": passes over the events; few events get more, up to 50 times as many.
    half_life : str, timedelta or None
        "30D": events count half as much for every 30 days before the newest one.
    random_state : int, Generator, RandomState or None
        Seed of what is drawn.
    n_jobs : int or None
        Threads, as in joblib. Answers do not depend on it.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    user_factors_ : ndarray of shape (n_users, n_factors), float32
        Weighted means of the items' vectors, times W.
    item_factors_ : ndarray of shape (n_items, n_factors), float32
        Rows of length 1; zeros for items of which nothing is known.
    fields_ : dict of str to float
        Text columns that are read, and their weights.
    head_ : ndarray of shape (n_factors, n_factors), float32
        W.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True: `forget` equals a fit without what was forgotten, texts included.

    See Also
    --------
    TfidfRecommender : Words rather than vectors, and explained by them.
    Item2Vec : Vectors from events, for items without texts.

    Notes
    -----
    Fusion is late: vectors of each modality get length 1, are multiplied by the root of its weight
    and put side by side, and the whole gets length 1 again. Between two items that have all, that
    is the weighted mean of the cosines; an item that lacks a modality is compared by the others.

    "least_squares" finds the W nearest to the identity with the least squared error over all
    pairs of an event's other items and an item; "contrastive" (after [1]_) is the cross entropy of
    a softmax over the items of a batch, corrected for how often each is drawn, with Adam. Neither
    lets an event predict itself. They take at most 500,000 events, drawn at random from more.

    An encoder is called once for each distinct text, and later only for new or changed ones.
    `partial_fit` gives new items vectors at once, replaces those of items in its `items` table,
    and describes anew users of the batch and users of changed items, exactly; "lsa" and a head
    stay until `refresh`, which learns them anew from all that is stored (vectors of other encoders
    are kept). `forget` learns anew what was learned from what has gone.

    No file holds a callable or a transformer. `save` writes all vectors and texts, and the loaded
    model, whose encoder is "given", answers; before new texts it wants
    ``set_params(encoder=...)``. scikit-learn's `clone` unfits a transformer: wrap a fitted one in
    ``sklearn.frozen.FrozenEstimator``.

    References
    ----------
    .. [1] van den Oord, Li, Vinyals: Representation learning with contrastive predictive coding.
       2018.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.content import EmbeddingRecommender
    >>> items = pd.DataFrame(
    ...     {
    ...         "item_id": [1, 2, 3, 4],
    ...         "title": ["red mug", "red tea pot", "blue mug", None],
    ...         "photo": [[1.0, 0.0], [0.9, 0.1], None, [0.0, 1.0]],
    ...     }
    ... )
    >>> events = pd.DataFrame({"user_id": ["ann", "bob"], "item_id": [1, 4]})
    >>> model = EmbeddingRecommender("lsa", vectors="photo").fit(events, items=items)
    >>> model.recommend(["ann"], k=1).items.tolist()
    [[2]]
    >>> new = pd.DataFrame({"item_id": [5], "title": [None], "photo": [[0.1, 0.9]]})
    >>> model.partial_fit(events.head(0), items=new).recommend(["bob"], k=1).items.tolist()
    [[5]]
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "encoder": encoders(),
        "fields": field_weights(),
        "vectors": vector_columns(),
        "text_weight": Rule(
            "a finite number above 0", lambda v: real(0).accepts(v) and v > 0, (0, -1, "1", True)
        ),
        "n_factors": integer(1),
        "tokenizer": Rule(
            "None or a callable that takes a text and returns its words",
            lambda v: v is None or (callable(v) and not isinstance(v, type)),
            ("english", 3),
        ),
        "head": choice("least_squares", "contrastive", none=True),
        "head_rank": integer(1, none=True),
        "regularization": real(0),
        "max_iter": integer(1),
        "half_life": duration(),
        "random_state": seed(),
        "n_jobs": jobs(),
    }
    _learned_types: ClassVar[tuple[type, ...]] = (EmbeddingFactors,)
    _reads_items: ClassVar[bool] = True
    tuning_space: ClassVar[Mapping[str, Any]] = {
        "n_factors": [128, 256, 512],
        "head": [None, "least_squares", "contrastive"],
        "regularization": [0.1, 0.3, 1.0, 3.0, 10.0],
    }
    forget_exact_ = True
    # Means of cosines: sums that nearly cancel are as good as 0.
    _score_unit = 1.0

    def __init__(
        self,
        encoder: Any = None,
        *,
        fields: Mapping[str, float] | None = None,
        vectors: str | Sequence[str] | Mapping[str, float] | None = None,
        text_weight: float = 1.0,
        n_factors: int = 256,
        tokenizer: Callable[[str], list[str]] | None = None,
        head: Literal["least_squares", "contrastive"] | None = None,
        head_rank: int | None = None,
        regularization: float = 1.0,
        max_iter: int = 3,
        half_life: HalfLife = None,
        random_state: RandomState = 0,
        n_jobs: int | None = -1,
    ) -> None:
        self.encoder = encoder
        self.fields = fields
        self.vectors = vectors
        self.text_weight = text_weight
        self.n_factors = n_factors
        self.tokenizer = tokenizer
        self.head = head
        self.head_rank = head_rank
        self.regularization = regularization
        self.max_iter = max_iter
        self.half_life = half_life
        self.random_state = random_state
        self.n_jobs = n_jobs

    # ------------------------------------------------------------------ learning

    def _fit(self, shop: Interactions, sides: SideTables) -> EmbeddingFactors:
        if sides.items is None:
            return self._learned(shop, Sources({}, [], {}))
        catalog = as_catalog(sides.items)
        rows = place_of(catalog, shop.items)
        fields, texts, blocks = {}, [""] * shop.n_items, {}
        if self.encoder is not None or self.vectors is None:
            name = type(self).__name__
            fields = chosen_fields(name, self.fields, catalog, TEXT_FIELDS, ("text", "words"))
            for row, text in zip(rows.tolist(), joined_texts(catalog, fields), strict=True):
                texts[row] = text
        for column in columns_of(self.vectors):
            found = read_vectors(catalog, column)
            if found.shape[1] == 0:
                raise DataError(f"no item has a vector in the column {column!r}.")
            blocks[column] = np.zeros((shop.n_items, found.shape[1]), dtype=np.float32)
            blocks[column][rows] = found
        return self._learned(shop, Sources(fields, texts, blocks))

    def _learned(self, shop: Interactions, sources: Sources) -> EmbeddingFactors:
        """Learn from sources; a block called "" holds vectors of the texts that are known."""
        rng = make_rng(self.random_state)
        fields, texts, blocks = sources
        learned: dict[str, Any] = {}
        if fields:
            blocks, learned = self._with_texts(shop, fields, texts, blocks, rng)
        encoded_texts = [text.encode("utf-8", "surrogatepass") for text in texts]
        ends = assemble.offsets(np.array([len(one) for one in encoded_texts], dtype=np.int64))
        units, parts = fused(blocks, self._weights(), shop.n_items)
        known = np.asarray(units.any(axis=1))
        made = EmbeddingFactors(
            user_factors=np.zeros((0, units.shape[1]), dtype=np.float32),
            item_factors=units,
            with_evidence=known,
            history_scales=known.astype(np.float32),
            head=None,
            fields=fields,
            modalities={name: block.shape[1] for name, block in blocks.items()},
            texts=np.frombuffer(b"".join(encoded_texts), dtype=np.uint8),
            text_ends=ends if texts else np.zeros(shop.n_items + 1, dtype=np.int64),
            parts=parts,
            **learned,
        )
        return self._with_users(shop, made, rng)

    def _with_texts(
        self,
        shop: Interactions,
        fields: dict[str, float],
        texts: list[str],
        blocks: dict[str, np.ndarray],
        rng: np.random.Generator,
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Blocks with that of the texts in front, and what was learned to make it."""
        weights = list(fields.values())
        # In the order of ids: who arrived first makes no difference.
        order = np.argsort(shop.item_ids, kind="stable").tolist()
        filled = [row for row in order if texts[row]]
        some = [texts[row] for row in filled]
        learned: dict[str, Any] = {}
        if self._is_lsa():
            lsa = learn_lsa(some, weights, self.tokenizer, self.n_factors, rng)
            learned = lsa._asdict()
            found = lsa_vectors(lsa, some, weights, self.tokenizer)
        elif "" in blocks:
            return blocks, learned
        else:
            encoder = self.encoder
            some = [as_written(text) for text in some]
            if not some:
                raise DataError(f"no item has a text in the columns {list(fields)}.")
            if is_unfitted(encoder):
                encoder = learned["transformer"] = clone(encoder).fit(some)
            found = encoded(encoder, some)
        block = np.zeros((len(texts), found.shape[1]), dtype=np.float32)
        block[filled] = unit_rows(found)
        others = {name: values for name, values in blocks.items() if name}
        return {"": block, **others}, learned

    def _with_users(
        self, shop: Interactions, known: EmbeddingFactors, rng: np.random.Generator
    ) -> EmbeddingFactors:
        """Learn the head, and describe everybody."""
        if self.head is not None and known.with_evidence.any():
            profiles = profiles_by_id(shop)
            units = np.asarray(known.item_factors)
            examples = heads.examples_of(profiles, units, rng, self.n_jobs)
            if self.head == "least_squares":
                head = heads.least_squares(examples, self.head_rank, self.regularization)
            else:
                head = heads.contrastive(
                    examples, self.head_rank, self.regularization, self.max_iter, rng
                )
            # A product of vectors of length 1 with it stays within 1, as a cosine does.
            known = replace(known, head=head / max(1.0, float(np.linalg.norm(head, 2))))
        everyone = np.arange(shop.n_users)
        return replace(known, user_factors=self._described(shop, everyone, known))

    def _partial_fit(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> EmbeddingFactors:
        known: EmbeddingFactors = state.learned
        catalog = None if sides.items is None else as_catalog(sides.items)
        if not known.modalities:
            if catalog is not None and len(catalog.columns) > 1:
                # Fitted on a bare matrix: the first table with texts says what to read.
                return self._fit(shop, sides)
            catalog = None
        known = grown(known, shop.n_items)
        touched = change.users
        if catalog is not None:
            known, changed = with_items(
                known, catalog, place_of(catalog, shop.items), self._weights(), self.encoder,
                self.tokenizer,
            )  # fmt: skip
            touched = np.union1d(touched, shop.by_item.take(changed)[1][0])
        before = state.interactions.n_users
        described = np.pad(known.user_factors, ((0, shop.n_users - before), (0, 0)))
        described[touched] = self._described(shop, touched, known)
        return replace(known, user_factors=described)

    def _forget(
        self, state: State, shop: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> EmbeddingFactors:
        known: EmbeddingFactors = state.learned
        if kept_items.all() and self.head is None:
            return replace(known, user_factors=known.user_factors[kept_users])
        return self._learned(shop, sources_of(known, np.flatnonzero(kept_items)))

    def _refresh(self, state: State) -> EmbeddingFactors:
        n_items = state.interactions.n_items
        return self._learned(state.interactions, sources_of(state.learned, np.arange(n_items)))

    def _weights(self) -> dict[str, float]:
        """Weight of each modality."""
        return {"": self.text_weight, **columns_of(self.vectors)}

    def _is_lsa(self) -> bool:
        return self.encoder is None or (isinstance(self.encoder, str) and self.encoder == LSA)

    # ------------------------------------------------------------------ files

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to one file, without an encoder that is an object.

        The loaded model has the encoder "given": it answers, and wants ``set_params(encoder=...)``
        before new texts.
        """
        super().save(path)

    def _packed(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        if self.encoder is None or isinstance(self.encoder, str):
            return super()._packed()
        twin = copy(self)
        twin.encoder = GIVEN
        if self.__sklearn_is_fitted__():
            state = self._state
            twin.__dict__["_state"] = replace(
                state, learned=replace(state.learned, transformer=None)
            )
        return super(EmbeddingRecommender, twin)._packed()

    # ------------------------------------------------------------------ fitted attributes

    @property
    def fields_(self) -> dict[str, float]:
        """Text columns that are read, and their weights."""
        return dict(self._attribute("fields_").learned.fields)

    @property
    def head_(self) -> np.ndarray:
        """The map from a mean of items to what is scored; the identity without a head."""
        learned: EmbeddingFactors = self._attribute("head_").learned
        if learned.head is None:
            return np.eye(learned.item_factors.shape[1], dtype=np.float32)
        return learned.head.copy()
