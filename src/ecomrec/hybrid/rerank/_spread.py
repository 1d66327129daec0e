"""How alike items are, for the rerankers that spread a list out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp

from ecomrec._validation import Rule, choice, jobs, real
from ecomrec.data.catalog import Catalog
from ecomrec.data.ids import IdMap, check_ids, id_list
from ecomrec.data.tables import ITEM
from ecomrec.exceptions import DataError
from ecomrec.hybrid.rerank._reranker import Known, Lists, Reranker
from ecomrec.hybrid.rerank._shelf import GROUP, TEXT, Rows, empty_shelf, unit_rows

# Columns that are read unless told otherwise: texts by their words, the others as they are.
_TEXTS = {"title": 1.0, "name": 1.0, "description": 1.0}
_GROUPS = {"category": 1.0, "brand": 1.0, "tags": 1.0}
FACTORS = "factors"


class Spread(Reranker):
    """Base of `MMR` and `DPP`: similarity is the cosine of what is known of two items."""

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "trade_off": real(0, 1),
        "similarity": choice("items", "events", FACTORS, none=True),
        "fields": Rule(
            "None or a dict of column names to positive numbers, such as {'title': 2, 'brand': 1}",
            lambda v: v is None or _are_weights(v),
            ("title", {}, {"title": 0}, {3: 1.0}, ["title"]),
        ),
        "n_jobs": jobs(),
    }

    def __init__(
        self,
        trade_off: float = 0.7,
        *,
        similarity: str | None = None,
        fields: Mapping[str, float] | None = None,
        n_jobs: int | None = -1,
    ) -> None:
        self.trade_off = trade_off
        self.similarity = similarity
        self.fields = fields
        self.n_jobs = n_jobs

    def _check_params(self) -> None:
        super()._check_params()
        if self.fields is not None and self.similarity not in (None, "items"):
            raise ValueError(
                f"{type(self).__name__}: fields are columns of the items table, and "
                f"similarity={self.similarity!r} does not read it. Leave one of them out."
            )

    def fit(self, X: Any = None, y: Any = None, *, items: Any = None, vectors: Any = None) -> Self:
        """Read what makes items alike.

        Parameters
        ----------
        X : table, Interactions, or users x items matrix, optional
            Events: items are alike if the same users touched them.
        y : array-like of shape (n_rows,), optional
            Strength of each row of a table.
        items : table or Catalog, optional
            One row an item: `item_id`, texts and attributes.
        vectors : tuple of (item ids, array or sparse matrix of shape (n_items, n_features))
            Such as ``(als.item_ids_, als.item_factors_)``; nothing else is read then.

        Returns
        -------
        self
        """
        known = self._learned(X, y, items, vectors)
        if self._source(known) is None:
            raise DataError(
                f"{type(self).__name__} needs to know what makes items alike: "
                f"{self._needs()}. Got nothing that it can read."
            )
        self._known = known
        return self

    def _learned(self, X: Any, y: Any, items: Any, vectors: Any = None) -> Known:
        if vectors is None:
            return super()._learned(X, y, items)
        self._check_params()
        if X is not None or items is not None:
            raise ValueError(
                f"{type(self).__name__}: give vectors, or events and items; vectors alone say "
                "what is alike."
            )
        if not isinstance(vectors, (tuple, list)) or len(vectors) != 2:
            raise TypeError(
                "vectors must be (item ids, array of shape (n_items, n_features)); got "
                f"{type(vectors).__name__}."
            )
        ids = np.empty(len(id_list(vectors[0], "the ids of vectors")), dtype=object)
        ids[:] = list(vectors[0])
        matrix = _checked_vectors(vectors[1], len(ids))
        known = IdMap(*check_ids(ids, ITEM))
        if len(set(ids.tolist())) < len(ids):
            raise DataError("vectors name an item twice. Keep one row of each.")
        return Known(known, empty_shelf([], len(known)), vectors=matrix)

    def _columns(self, catalog: Catalog | None) -> list[tuple[str, str]]:
        if self.similarity not in (None, "items"):
            return []
        if catalog is None:
            if self.similarity == "items":
                raise DataError(
                    f"{type(self).__name__} reads the items table: give items, a table with "
                    "item_id and texts or attributes."
                )
            return []
        given = self.fields
        names = list(_TEXTS) + list(_GROUPS) if given is None else list(given)
        missing = [name for name in names if name not in catalog.columns]
        if given is not None and missing:
            raise DataError(
                f"{type(self).__name__}: fields names the columns {missing}, which the items "
                f"table lacks; it has {catalog.columns}."
            )
        found = []
        for name in names:
            kind = catalog.kind_of(name) if name in catalog.columns else "number"
            if name in _GROUPS or kind in ("words", "flag"):
                usable = kind not in ("other", "number") or name == "category"
                if usable and name in catalog.columns:
                    found.append((GROUP, name))
            elif kind in ("text", "nothing"):
                found.append((TEXT, name))
            elif given is not None:
                raise DataError(
                    f"{type(self).__name__}: the column {name!r} holds {kind}s, and likeness is "
                    "made of words and labels. Cut numbers into bands, as strings."
                )
        if not found and self.similarity == "items":
            raise DataError(
                f"{type(self).__name__} found none of the columns {names} in the items table, "
                f"which has {catalog.columns}. Say what to read, such as "
                "fields={'product_name': 1}."
            )
        return found

    def _needs(self) -> str:
        return {
            "items": "fit(items=catalog)",
            "events": "fit(events)",
            FACTORS: "fit(vectors=(als.item_ids_, als.item_factors_))",
        }.get(
            str(self.similarity),
            "fit(items=catalog), fit(events), or fit(vectors=(ids, array))",
        )

    def _source(self, known: Known) -> str | None:
        """Where vectors come from; None if there is nothing."""
        if known.vectors is not None:
            return FACTORS if self.similarity in (None, FACTORS) else None
        if self.similarity in (None, "items") and known.shelf.columns:
            return "items"
        if self.similarity in (None, "events") and known.shop is not None:
            return "events"
        return None

    def _check_known(self, known: Known) -> None:
        if self._source(known) is None:
            raise self._not_fitted(self._needs())

    def _alike(self, known: Known, lists: Lists) -> tuple[Rows, np.ndarray, int]:
        """Vectors of length 1 of the candidates, the row of each, and the number of columns."""
        rows, places = lists.distinct()
        if not len(rows):
            return Rows(np.zeros(2, dtype=np.int64), *_nothing()), places, 1
        source = self._source(known)
        if source == "items":
            vectors = known.shelf.vectors(rows, self._weights(known))
            return vectors, places, max(len(known.shelf.words), 1)
        inside = rows < len(known.items)
        if source == "events":
            assert known.shop is not None
            store = known.shop.by_item
            indptr, (columns, values) = store.take(rows[inside])
            found = Rows(indptr, columns, np.maximum(values, 0.0))
            width = max(known.shop.n_users, 1)
        else:
            assert known.vectors is not None
            matrix: Any = known.vectors[rows[inside]]
            width = max(matrix.shape[1], 1)
            if hasattr(matrix, "indptr"):
                found = Rows(matrix.indptr, matrix.indices, matrix.data)
            else:
                n = len(matrix)
                columns = np.tile(np.arange(matrix.shape[1], dtype=np.int32), n)
                found = Rows(np.arange(n + 1) * matrix.shape[1], columns, matrix.ravel())
        # Items of the request that are not known come last among the sorted rows.
        indptr = np.concatenate((found.indptr, np.full(int((~inside).sum()), found.indptr[-1])))
        return unit_rows(Rows(indptr.astype(np.int64), *found[1:])), places, width

    def _weights(self, known: Known) -> dict[tuple[str, str], float]:
        weights = {**_TEXTS, **_GROUPS} if self.fields is None else self.fields
        return {
            (kind, name): float(weights[name])
            for kind, name in map(tuple, known.shelf.columns)
            if name in weights and kind in (TEXT, GROUP)
        }


def _are_weights(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(name, str) and name for name in value)
        and all(real(0).accepts(weight) and weight > 0 for weight in value.values())
    )


def _nothing() -> tuple[np.ndarray, np.ndarray]:
    return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)


def _checked_vectors(matrix: Any, n: int) -> Any:
    is_sparse = bool(sp.issparse(matrix))  # keeps mypy from narrowing what it cannot type
    found: Any
    try:
        make: Any = sp.csr_array if is_sparse else np.asarray
        found = make(matrix, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"vectors must hold numbers; {error}.") from None
    if found.ndim != 2 or found.shape[0] != n:
        raise DataError(
            f"vectors must have a row for each of the {n} ids; got an array of shape "
            f"{found.shape}."
        )
    if not np.isfinite(found.data if is_sparse else found).all():
        raise DataError("vectors hold NaN or infinity. Fill or drop them.")
    return found
