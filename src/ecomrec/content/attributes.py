"""What items are: categories, brands, prices, tags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ecomrec._validation import Rule, choice, integer, jobs, real
from ecomrec.content._features import Features, Texts, combined, nothing, with_texts
from ecomrec.content._fields import chosen_fields, field_weights
from ecomrec.content._sparse import FeatureModel
from ecomrec.data.catalog import Catalog, labels_of, numbers_of
from ecomrec.data.ids import IdMap
from ecomrec.data.interactions import Interactions
from ecomrec.data.timestamps import HalfLife, duration
from ecomrec.state import ArrayRule

_DEFAULTS = {"category": 2.0, "brand": 2.0, "tags": 2.0, "price": 1.0}
# Between a column and its value, and between a column and the number of a band.
_VALUE, _BAND = "\x1f", "\x1e"
_IS_BAND = re.compile(f"[^{_VALUE}{_BAND}]*{_BAND}")


@dataclass(frozen=True, eq=False)
class Attributes(Features):
    """What an `AttributeRecommender` learns.

    Attributes
    ----------
    number_fields : list of str
        Columns of numbers.
    numbers : ndarray of shape (n_items, n_number_fields), float64
        As they were read; NaN where there is none.
    edges : ndarray of shape (n_number_fields, n_bands - 1), float64
        Where a band ends and the next begins; infinity behind the last. No columns before a fit.
    """

    number_fields: list[str]
    numbers: np.ndarray
    edges: np.ndarray

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        n = len(self.number_fields)
        return super().array_rules(shop) | {
            "numbers": ArrayRule((shop.n_items, n)),
            "edges": ArrayRule((n, -1)),
        }


class AttributeRecommender(FeatureModel):
    r"""Recommends what has the categories, brands, prices and tags of what the visitor touched.

    Each column f of weight :math:`c_f` gives an item a vector :math:`v_{if}` of length 1: its
    category or brand, its tags in equal parts, or its price band and, by `softness`, the bands
    beside it. An item is the vector :math:`x_i \propto (\sqrt{c_f} \, \mathrm{idf} \circ
    v_{if})_f` of length 1, a visitor the weighted mean :math:`p_u \propto \sum_i w_{ui} x_i`, and
    the score of item j is the cosine :math:`p_u \cdot x_j / |p_u|`: from 0, nothing in common, to
    1. Scores of different visitors compare.

    Parameters
    ----------
    fields : dict of str to float, optional
        Columns of the items table and their weights. None: those there are of `category`, `brand`
        and `tags` (2) and `price` (1). Columns of numbers, `category` and `brand` aside, are cut
        into bands; lists, and texts divided by ``|``, ``;`` or ``,`` in the column `tags`, are
        several attributes; everything else is one.
    weighting : {"idf", "none"}
        "idf": attributes that d of N items have count :math:`1 + \ln \frac{1 + N}{1 + d}` times.
    n_bands : int
        Bands of a column of numbers; each holds about as many items as the others.
    softness : float
        How much of an item is in the bands beside its own; 0 for bands with hard edges.
    half_life : str, timedelta or None
        "30D": events count half as much for every 30 days before the newest one.
    n_jobs : int or None
        Threads, as in joblib. Answers do not depend on it.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    fields_ : dict of str to float
        Columns of the items table that are read, and their weights.
    attributes_ : list of str
        Names of the attributes, by column of `item_vectors_`.
    bands_ : dict of str to ndarray
        Where the bands of each column of numbers end.
    item_vectors_ : scipy.sparse.csr_array of shape (n_items, n_attributes)
        Rows of length 1; empty for items without attributes.
    n_features_ : int
        Number of attributes.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True: `forget` equals a fit without what was forgotten, attributes included.

    See Also
    --------
    TfidfRecommender : The words of titles and descriptions.

    Notes
    -----
    `fit` needs ``items=``, a table or `Catalog`. A missing cell is no attribute; items without any
    have no evidence. `partial_fit` costs the batch: new items can be recommended at once, and a
    row of a known item replaces its attributes. Bands and idf stay as they were until `refresh` or
    `forget` (attributes never seen get theirs on arrival). Profiles and items in one space of
    attributes are those of [1]_.

    References
    ----------
    .. [1] Pazzani, Billsus: Content-based recommendation systems. The Adaptive Web, 2007.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.content import AttributeRecommender
    >>> items = pd.DataFrame(
    ...     {
    ...         "item_id": [1, 2, 3, 4],
    ...         "brand": ["Acme", "Acme", "Leaf", "Leaf"],
    ...         "tags": ["red|mug", "mug", "tea", "tea|red"],
    ...     }
    ... )
    >>> events = pd.DataFrame({"user_id": ["ann", "bob"], "item_id": [1, 3]})
    >>> model = AttributeRecommender().fit(events, items=items)
    >>> model.recommend(["ann"], k=2)
    Recommendations: 1 rows, 2 places
      'ann': 2 0.854, 4 0.25
    >>> model.explain("ann", 2)
                       part       kind       reason  contribution
    0  AttributeRecommender  attribute  brand: Acme      0.500000
    1  AttributeRecommender  attribute    tags: mug      0.353553
    """

    _learned_types: ClassVar[tuple[type, ...]] = (Attributes,)
    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "fields": field_weights(),
        "weighting": choice("idf", "none"),
        "n_bands": integer(2),
        "softness": real(0, 1),
        "half_life": duration(),
        "n_jobs": jobs(),
    }
    tuning_space: ClassVar[Mapping[str, Any]] = {
        "weighting": ["idf", "none"],
        "n_bands": [5, 10, 20],
        "softness": [0.0, 0.5],
    }
    _kind = "attribute"

    def __init__(
        self,
        fields: Mapping[str, float] | None = None,
        *,
        weighting: str = "idf",
        n_bands: int = 10,
        softness: float = 0.5,
        half_life: HalfLife = None,
        n_jobs: int | None = -1,
    ) -> None:
        self.fields = fields
        self.weighting = weighting
        self.n_bands = n_bands
        self.softness = softness
        self.half_life = half_life
        self.n_jobs = n_jobs

    def _nothing(self, catalog: Catalog | None) -> Attributes:
        fields: Mapping[str, float] = {}
        of_numbers: list[str] = []
        if catalog is not None:
            kinds = ("text", "words", "number", "flag")
            fields = chosen_fields(type(self).__name__, self.fields, catalog, _DEFAULTS, kinds)
            of_numbers = [
                name
                for name in fields
                if catalog.kind_of(name) == "number" and name not in ("category", "brand")
            ]
        n = len(of_numbers)
        return Attributes(**nothing(fields), number_fields=of_numbers, numbers=np.empty((0, n)),
                          edges=np.empty((n, 0)))  # fmt: skip

    def _grown(self, known: Attributes, n_items: int) -> Any:
        gap = np.full((n_items - len(known.numbers), known.numbers.shape[1]), np.nan)
        known = super()._grown(known, n_items)
        return replace(known, numbers=np.concatenate((known.numbers, gap)))

    def _kept(self, known: Attributes, items: np.ndarray) -> Any:
        return replace(super()._kept(known, items), numbers=known.numbers[items])

    def _read(
        self, known: Attributes, catalog: Catalog, items: np.ndarray
    ) -> tuple[Attributes, Texts]:
        vocabulary = known.vocabulary
        parts = []
        for field, weight in known.fields.items():
            if field not in known.number_fields:
                vocabulary, part = _words(vocabulary, catalog, field, weight)
                parts.append(part)
        given = np.empty((len(items), len(known.number_fields)))
        for place, field in enumerate(known.number_fields):
            given[:, place] = numbers_of(catalog, field)
        all_numbers = known.numbers.copy()
        all_numbers[items] = given
        if known.edges.shape[1]:
            vocabulary, bands = self._bands(known, vocabulary, given)
            parts += bands
        known = replace(known, vocabulary=vocabulary, numbers=all_numbers)
        return known, combined(items, parts)

    def _learned(self, known: Features) -> Attributes:
        """Cut columns of numbers into bands anew, then weigh everything."""
        assert isinstance(known, Attributes)
        indptr, (features, strengths, *_) = known.rows.to_csr()
        is_word = np.array([not _IS_BAND.match(name) for name in known.vocabulary.ids], dtype=bool)
        places = np.repeat(np.arange(known.rows.n_rows), np.diff(indptr))
        kept = is_word[features]
        edges = _edges(known.numbers, self.n_bands)
        known = replace(known, edges=edges)
        vocabulary, bands = self._bands(known, known.vocabulary, known.numbers)
        everything = np.arange(known.rows.n_rows)
        texts = combined(everything, [(places[kept], features[kept], strengths[kept]), *bands])
        learned: Attributes = super()._learned(
            with_texts(replace(known, vocabulary=vocabulary), texts)
        )  # type: ignore[assignment]
        return learned

    def _bands(
        self, known: Attributes, vocabulary: IdMap, given: np.ndarray
    ) -> tuple[IdMap, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
        """Bands of some items' numbers: (place, feature, strength) of each entry."""
        parts = []
        for column, field in enumerate(known.number_fields):
            edges = known.edges[column]
            edges = edges[np.isfinite(edges)]
            vocabulary, features = _numbered(
                vocabulary, [f"{field}{_BAND}{band:06d}" for band in range(len(edges) + 1)]
            )
            places = np.flatnonzero(~np.isnan(given[:, column]))
            band = np.searchsorted(edges, given[places, column], side="right")
            beside = (band > 0).astype(float) + (band < len(edges))
            own = np.sqrt(known.fields[field] / (1 + beside * self.softness**2))
            for step, share in ((-1, self.softness), (0, 1.0), (1, self.softness)):
                inside = (band + step >= 0) & (band + step <= len(edges)) & (share > 0)
                parts.append(
                    (places[inside], features[(band + step)[inside]], own[inside] * share)
                )
        return vocabulary, parts

    def _rarities(self, counts: np.ndarray, n_items: int) -> np.ndarray:
        if self.weighting == "none":
            return np.ones(len(counts))
        rarities: np.ndarray = 1 + np.log((1 + n_items) / (1 + counts))
        return rarities

    def _reasons(self, known: Features, features: np.ndarray) -> list[Any]:
        assert isinstance(known, Attributes)
        return [_reason(known, name) for name in known.vocabulary.take(features)]

    @property
    def attributes_(self) -> list[str]:
        """Names of the attributes, by column of `item_vectors_`."""
        known = self._attribute("attributes_").learned
        return self._reasons(known, np.arange(len(known.vocabulary)))

    @property
    def bands_(self) -> dict[str, np.ndarray]:
        """Where the bands of each column of numbers end."""
        known = self._attribute("bands_").learned
        return {
            field: edges[np.isfinite(edges)]
            for field, edges in zip(known.number_fields, known.edges, strict=True)
        }


def _words(
    vocabulary: IdMap, catalog: Catalog, field: str, weight: float
) -> tuple[IdMap, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Attributes of one column: (place, feature, strength) of each entry."""
    names: list[str] = []
    counts = np.zeros(catalog.n_items, dtype=np.int64)
    for place, labels in enumerate(labels_of(catalog, field)):
        names += [f"{field}{_VALUE}{label}" for label in labels]
        counts[place] = len(labels)
    vocabulary, features = _numbered(vocabulary, names)
    places = np.repeat(np.arange(len(counts)), counts)
    return vocabulary, (places, features, np.sqrt(weight / counts[places]))


def _numbered(vocabulary: IdMap, names: list[str]) -> tuple[IdMap, np.ndarray]:
    """Numbers of some names (int32); those that are new come behind, sorted."""
    rows = vocabulary.rows(names)
    if (rows < 0).any():
        new = sorted({name for name, row in zip(names, rows, strict=True) if row < 0})
        vocabulary = vocabulary.extend(np.array(new, dtype=object))
        rows = vocabulary.rows(names)
    return vocabulary, rows.astype(np.int32)


def _edges(values: np.ndarray, n_bands: int) -> np.ndarray:
    """Quantiles of each column, each once, and infinity behind them."""
    edges = np.full((values.shape[1], n_bands - 1), np.inf)
    for column, numbers_ in enumerate(values.T):
        known = numbers_[np.isfinite(numbers_)]
        if len(known):
            cuts = np.unique(np.quantile(known, np.arange(1, n_bands) / n_bands))
            cuts = cuts[cuts > known.min()]
            edges[column, : len(cuts)] = cuts
    return edges


def _reason(known: Attributes, name: str) -> str:
    """An attribute in words, such as "brand: Acme" and "price: 5 to 10"."""
    if not _IS_BAND.match(name):
        return name.replace(_VALUE, ": ", 1)
    field, _, number = name.partition(_BAND)
    edges = known.edges[known.number_fields.index(field)]
    edges = edges[np.isfinite(edges)]
    band = int(number)
    if not len(edges):
        return f"{field}: any"
    if band == 0:
        return f"{field}: below {edges[0]:g}"
    if band >= len(edges):
        return f"{field}: {edges[-1]:g} or more"
    return f"{field}: {edges[band - 1]:g} to {edges[band]:g}"
