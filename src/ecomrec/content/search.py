"""Search: the items of a catalogue that fit what a visitor types, by BM25F."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np

from ecomrec._estimator import StatefulEstimator
from ecomrec._validation import Rule, boolean, check_k, jobs, real
from ecomrec.content import _filters, _postings
from ecomrec.content._fields import TEXT_FIELDS, chosen_fields, field_weights
from ecomrec.content._index_state import IndexState, pack_index, unpack_index
from ecomrec.content._queries import Reader, find, parts_of, read_queries
from ecomrec.content.tokens import Tokenizer
from ecomrec.data.catalog import Catalog, as_catalog
from ecomrec.data.ids import IdMap, encode_ids
from ecomrec.data.tables import read_available
from ecomrec.exceptions import DataError
from ecomrec.recommendations import Recommendations
from ecomrec.requests import known_rows, make_item_mask, raise_unknown

#: Columns that are searched unless told otherwise, where the table has them, and their weights.
DEFAULT_FIELDS = TEXT_FIELDS | {"modelno": 2.0, "model": 2.0}


class SearchIndex(StatefulEstimator[IndexState]):
    r"""Finds the items of a catalogue that fit a query, best first.

    The score of item d for a query q is that of BM25F [1]_,

    .. math:: \sum_{t \in q} \log\left(1 + \frac{N - n_t + 1/2}{n_t + 1/2}\right)
              \frac{s_{td}}{k_1 + s_{td}}, \qquad
              s_{td} = \sum_f w_f \frac{c_{tfd}}{1 - b_f + b_f \, l_{fd} / \bar l_f}

    with N items, :math:`n_t` of which hold word t; :math:`c_{tfd}` times in field f, which has
    :math:`l_{fd}` words, :math:`\bar l_f` on average where it has any; and field weights
    :math:`w_f`. A word counts for more the rarer it is, and for at most its rarity. Scores of one
    query compare, scores of two queries do not.

    Parameters
    ----------
    fields : dict of str to float, or None
        Columns to search, and their weights. None: what the table has of title and name (5),
        brand, manufacturer, category, tags, modelno and model (2), description (1).
    k1 : float
        How slowly repeated words, and words in heavier fields, stop adding; 0: a word is there or
        not.
    b : float or dict of str to float
        How much longer fields are held back, from 0 to 1; by field, those not named at 0.75.
    tokenizer : callable or None
        From a text to its words; a default `Tokenizer` if None.
    split_codes : bool
        Also index the parts of model codes and of joined words: "hp-q6511x" is found as
        "hpq6511x", "q6511x" and "6511", and "iphone15" as "iphone 15".
    prefix : bool
        Search as you type: the last word of a query also stands for words that start with it.
    typos : {0, 1}
        1: a word of four letters or more that no item holds stands for those that one edit makes
        of it (a letter more, less, another, or two swapped; never a digit).
    filters : list of str or None
        Columns that `search` can be narrowed by. None: what the table has of category, brand,
        tags, color, size and price.
    n_jobs : int or None
        Threads for building and for many queries at once. Answers do not depend on it.

    Attributes
    ----------
    item_ids_ : ndarray
        Ids of the items, by row.
    fields_ : dict of str to float
        Fields and their weights.
    vocabulary_ : ndarray of str
        Words that some item holds.

    See Also
    --------
    PersonalSearch : The same, in an order that suits the visitor.

    Notes
    -----
    `add` costs the batch, `remove` one pass over the stored numbers; no text is read again. The
    number of items that hold a word is exact at once. Average lengths of fields are those of the
    last `fit` or `refresh`. Memory: about 16 bytes for each different word of each item. A search
    reads the items that hold a word of the query and nothing else; completions and typos also read
    all words once.

    References
    ----------
    .. [1] Robertson, Zaragoza, Taylor: Simple BM25 extension to multiple weighted fields.
       CIKM 2004.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.content import SearchIndex
    >>> items = pd.DataFrame(
    ...     {
    ...         "item_id": ["bag1", "bag2", "mug"],
    ...         "title": ["Red lunch bag", "Blue lunch bag", "Red mug"],
    ...         "price": [6.0, 5.0, 4.0],
    ...     }
    ... )
    >>> index = SearchIndex().fit(items)
    >>> index.search("lunch bag red", k=2)
    Recommendations: 1 rows, 2 places
      'lunch bag red': 'bag1' 1.12, 'bag2' 0.745
    >>> index.search("red", where={"price": (None, 5)}).to_frame()
      query  rank item_id     score
    0   red     1     mug  0.393308
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "fields": field_weights(),
        "k1": real(0),
        "b": Rule(
            "a number from 0 to 1, or a dict of column names to these",
            lambda v: all(map(real(0, 1).accepts, v.values() if isinstance(v, dict) else [v])),
            (-0.1, 1.1, "0.75", {"title": 2}),
        ),
        "tokenizer": Rule("None or callable", lambda v: v is None or callable(v), ("words", 3)),
        "split_codes": boolean(),
        "prefix": boolean(),
        "typos": Rule("0 or 1", lambda v: type(v) is int and v in (0, 1), (2, -1, True, "1")),
        "filters": Rule(
            "None or a list of column names",
            lambda v: v is None or _are_names(v),
            ("price", 3, [1]),
        ),
        "n_jobs": jobs(),
    }

    def __init__(
        self,
        fields: Mapping[str, float] | None = None,
        *,
        k1: float = 1.2,
        b: float | Mapping[str, float] = 0.75,
        tokenizer: Callable[[str], list[str]] | None = None,
        split_codes: bool = True,
        prefix: bool = False,
        typos: int = 0,
        filters: Sequence[str] | None = None,
        n_jobs: int | None = -1,
    ) -> None:
        self.fields = fields
        self.k1 = k1
        self.b = b
        self.tokenizer = tokenizer
        self.split_codes = split_codes
        self.prefix = prefix
        self.typos = typos
        self.filters = filters
        self.n_jobs = n_jobs

    # ------------------------------------------------------------------ learning

    def fit(self, X: Any, y: Any = None) -> Self:
        """Index a catalogue, forgetting what was indexed before.

        Parameters
        ----------
        X : table or Catalog
            `item_id`, columns of text, and what can be filtered by. A boolean column `available`
            keeps items out of every answer.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        DataError
            There is no column of text, or a text is something else.
        """
        self._check_params()
        catalog = as_catalog(X)
        if catalog.n_items == 0:
            raise DataError("the items table has no rows: there is nothing to search.")
        _, ids, kind = encode_ids(catalog.ids, "item_id")
        with self._lock:
            self._state = self._learned(IdMap(ids, kind), catalog)
        return self

    def add(self, X: Any) -> Self:
        """Index more items, or other texts and attributes of known ones.

        Costs the batch. Of a known item, columns that the table does not have stay as they are.

        Parameters
        ----------
        X : table or Catalog

        Returns
        -------
        self
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(X)
        catalog = as_catalog(X)
        with self._lock:
            state = self._state
            items = state.postings.items
            _, ids, kind = encode_ids(catalog.ids, "item_id")
            if kind != items.kind and catalog.n_items:
                raise DataError(
                    f"item_id is {kind} in the batch and {items.kind} in the index. Convert one "
                    "of them."
                )
            items = items.extend(ids[items.rows(ids) < 0])
            self._state = self._extended(state, items, catalog)
        return self

    def remove(self, ids: Any) -> Self:
        """Take items out of the index, with every trace of their words and attributes.

        Parameters
        ----------
        ids : list of ids

        Returns
        -------
        self

        Raises
        ------
        UnknownIdError
            An id is not in the index; nothing is removed then.
        """
        with self._lock:
            state = self._fitted_state()
            kept = np.ones(len(state.postings.items), dtype=bool)
            kept[known_rows(state.postings.items, ids, "ids")] = False
            if not kept.any():
                raise DataError("removing these would leave nothing to search.")
            if not kept.all():
                self._state = self._kept(state, kept)
        return self

    def refresh(self) -> Self:
        """Take the average lengths of fields anew, as a fit on everything would.

        Returns
        -------
        self
        """
        with self._lock:
            self._state = self._refreshed(self._fitted_state())
        return self

    # ------------------------------------------------------------------ answering

    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        where: Mapping[str, Any] | None = None,
        candidates: Any = None,
        exclude: Any = None,
    ) -> Recommendations:
        """Return the best k items for a query, or for each of several.

        Parameters
        ----------
        queries : str, or list of str
            None and "" find nothing; so does a query without any word of the index.
        k : int
        where : dict, optional
            By column of `filters`: the value that it must have, a list of values, or a range of
            numbers as a tuple of two, None for no end.
        candidates, exclude : list of ids, or list of lists, optional
            What alone, or what never, may be found; shared, or a list for each query.

        Returns
        -------
        Recommendations
            Rows end in score NaN and item None (-1 where ids are integers) when fewer items hold a
            word of the query. Keys are the queries.
        """
        state = self._fitted_state()
        k = check_k(k)
        asked = read_queries(queries)
        items = state.postings.items
        mask = make_item_mask(items, len(asked), state.available, candidates, exclude)
        if where is not None:
            fits = state.filters.where(where)
            allowed = fits & mask.allowed if len(mask.allowed) else fits
            mask = mask._replace(allowed=allowed)
        rows, scores = find(state.postings, asked, self._reader(), k, mask, self.n_jobs)
        return Recommendations(items.take(rows), scores, asked, "query")

    def explain(self, query: str, item: Any) -> Any:
        """Return what made the score of one item for a query.

        Parameters
        ----------
        query : str
        item : id

        Returns
        -------
        pandas.DataFrame
            Columns `word` (of the query), `term` (of the index), `field` and `contribution`,
            largest first; the contributions add up to the score.
        """
        import pandas as pd

        postings = self._fitted_state().postings
        (asked,) = read_queries(query)
        row = int(postings.items.rows([item])[0])
        if row < 0:
            raise_unknown([item], np.zeros(1, dtype=bool))
        found = parts_of(postings, asked, self._reader(), row)
        names = ("word", "term", "field", "contribution")
        table = pd.DataFrame(dict(zip(names, found, strict=True)))
        order = np.argsort(-table["contribution"].to_numpy(), kind="stable")
        return table.iloc[order].reset_index(drop=True)

    # ------------------------------------------------------------------ files

    def _packed_state(self, state: IndexState) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return pack_index(state)

    def _restored_state(
        self, manifest: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> IndexState:
        return unpack_index(manifest, arrays)

    # ------------------------------------------------------------------ inside

    def _reader(self) -> Reader:
        tokenizer = _default_tokenizer() if self.tokenizer is None else self.tokenizer
        return Reader(tokenizer, self.split_codes, self.prefix, self.typos)

    def _recipe(self, catalog: Catalog | None) -> _postings.Recipe:
        weights: dict[str, float] = {}
        if catalog is not None:
            weights = chosen_fields(
                type(self).__name__, self.fields, catalog, DEFAULT_FIELDS, ("text", "words")
            )
        b = self.b if isinstance(self.b, Mapping) else dict.fromkeys(weights, self.b)
        return _postings.Recipe(
            tuple(weights),
            tuple(float(w) for w in weights.values()),
            tuple(float(b.get(name, 0.75)) for name in weights),
            float(self.k1),
        )

    def _learned(self, items: IdMap, catalog: Catalog | None) -> IndexState:
        """Index a catalogue by the rows of `items`; without one, nothing is found."""
        recipe = self._recipe(catalog)
        texts = [catalog.texts(name, items.ids) for name in recipe.fields] if catalog else []
        postings = _postings.build(items, texts, recipe, self._reader().analyzer, self.n_jobs)
        filters = _filters.read_filters(catalog, items.ids, self.filters)
        return IndexState(postings, filters, read_available(catalog, items, None))

    def _extended(self, state: IndexState, items: IdMap, catalog: Catalog | None) -> IndexState:
        """A state with more items, and with what a table says of some of them."""
        known = state.postings
        if catalog is not None and not known.how.fields:
            return self._learned(items, catalog)
        ids = items.ids[:0] if catalog is None else catalog.ids
        rows = items.rows(ids)
        texts = {
            name: catalog.texts(name, ids)
            for name in known.how.fields
            if catalog is not None and name in catalog.columns
        }
        return IndexState(
            _postings.added(known, items, rows, texts, self._reader().analyzer),
            _filters.with_rows(state.filters, catalog, ids, rows, len(items)),
            read_available(catalog, items, state.available),
        )

    def _kept(self, state: IndexState, kept: np.ndarray) -> IndexState:
        """A state with some of its items (bool by row)."""
        return IndexState(
            _postings.without(state.postings, kept),
            _filters.keep_rows(state.filters, kept),
            None if state.available is None else state.available[kept],
        )

    def _refreshed(self, state: IndexState) -> IndexState:
        return replace(state, postings=_postings.refreshed(state.postings, self.n_jobs))

    # ------------------------------------------------------------------ fitted attributes

    @property
    def item_ids_(self) -> np.ndarray:
        """Ids of the items, by row."""
        return self._attribute("item_ids_").postings.items.ids

    @property
    def fields_(self) -> dict[str, float]:
        """Fields and their weights."""
        how = self._attribute("fields_").postings.how
        return dict(zip(how.fields, how.weights, strict=True))

    @property
    def vocabulary_(self) -> np.ndarray:
        """Words that some item holds."""
        return self._attribute("vocabulary_").postings.vocabulary.ids


@cache
def _default_tokenizer() -> Tokenizer:
    return Tokenizer()


def _are_names(value: Any) -> bool:
    several = isinstance(value, (list, tuple))
    return several and all(isinstance(name, str) and name for name in value)
