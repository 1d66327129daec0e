"""Words of the items: who liked red mugs is shown red mugs."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from ecomrec._validation import Rule, boolean, choice, jobs, real
from ecomrec.content._counts import count_terms
from ecomrec.content._features import Features, Texts, combined, nothing
from ecomrec.content._fields import TEXT_FIELDS, chosen_fields, field_weights
from ecomrec.content._sparse import FeatureModel
from ecomrec.content.tokens import Tokenizer
from ecomrec.data.catalog import Catalog
from ecomrec.data.timestamps import HalfLife, duration


def share_or_count(low: int) -> Rule:
    """Accept an integer number of items, or a float share of them."""
    return Rule(
        f"an integer of at least {low}, or a float from 0.0 to 1.0",
        lambda v: _is_share(v) or _is_count(v, low),
        (low - 1, 1.5, "2", True),
    )


def _is_share(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and bool(0 <= value <= 1)


def _is_count(value: Any, low: int) -> bool:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and int(value) >= low


def _tokenizers() -> Rule:
    return Rule(
        "None or a callable that takes a text and returns its terms, such as "
        "ecomrec.content.Tokenizer()",
        lambda v: v is None or (callable(v) and not isinstance(v, type)),
        ("english", 3, Tokenizer),
    )


def _vectorizers() -> Rule:
    return Rule(
        "None or scikit-learn's CountVectorizer or TfidfVectorizer",
        lambda v: v is None or (hasattr(v, "build_analyzer") and not isinstance(v, type)),
        ("tfidf", 3),
    )


class TfidfRecommender(FeatureModel):
    r"""Recommends what is described in the words of what the visitor touched.

    Term t is in item i with the strength :math:`s_{it} = \sum_f c_f \, (1 + \ln n_{ift})` over the
    fields f of weight :math:`c_f` in which it occurs :math:`n_{ift}` times. Of N items with text,
    :math:`d_t` have t. An item is the vector :math:`x_{it} \propto s_{it} \, \mathrm{idf}_t` of
    length 1 with

    .. math:: \mathrm{idf}_t = 1 + \ln \frac{1 + N}{1 + d_t}

    A visitor is the weighted mean of what they touched, :math:`p_u \propto \sum_i w_{ui} x_i`, and
    the score of item j is the cosine :math:`p_u \cdot x_j / |p_u|`: from 0, no word in common, to
    1, the same words in the same proportions. Scores of different visitors compare.

    Parameters
    ----------
    fields : dict of str to float, optional
        Text columns of the items table and their weights. None: those there are of `title` and
        `name` (5), `category`, `brand`, `manufacturer` and `tags` (2) and `description` (1).
    tokenizer : callable, optional
        Takes a text and returns its terms (None: ``Tokenizer()``).
    vectorizer : CountVectorizer or TfidfVectorizer, optional
        scikit-learn's, instead of `tokenizer`: its analyzer, `min_df` and `max_df` are used, and
        of a `TfidfVectorizer` also `sublinear_tf`, `use_idf` and `smooth_idf`.
    weighting : {"tfidf", "bm25"}
        "bm25": repeated terms saturate and long texts count less,
        :math:`s_{it} = n (k_1 + 1) / (n + k_1 (1 - b + b \, l_i / \bar l))` with
        :math:`n = \sum_f c_f \, n_{ift}`, the length :math:`l_i = \sum_t n` and its mean.
    sublinear_tf : bool
        Count a term that occurs n times ``1 + ln(n)`` times ("tfidf" only).
    k1, b : float
        How slowly repetition saturates, and how much the length of a text matters ("bm25" only).
    min_df, max_df : int or float
        Ignore terms that fewer or more items have; a float is a share of the items with text.
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
    vocabulary_ : ndarray of shape (n_terms,), object
        The terms, by column of `item_vectors_`.
    idf_ : ndarray of shape (n_terms,)
        Their inverse document frequencies; 0 for those that `min_df` or `max_df` leaves out.
    item_vectors_ : scipy.sparse.csr_array of shape (n_items, n_terms)
        Rows of length 1; empty for items without text.
    n_features_ : int
        Number of terms.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True: `forget` equals a fit without what was forgotten, texts included.

    See Also
    --------
    AttributeRecommender : Categories, brands, prices and tags rather than words.

    Notes
    -----
    `fit` needs ``items=``, a table or `Catalog` with text. Items without text have no evidence.
    A fit costs reading the texts; the model takes 20 bytes for each distinct term of each item.
    `partial_fit` costs the batch: new items can be recommended at once, and a row of a known item
    replaces its text. Document frequencies are counted on, but idf and mean lengths stay as they
    were until `refresh` or `forget` (terms never seen get theirs on arrival). An answer adds up
    the items of the visitor's terms; nothing of size items x items is ever made. The weighting is
    that of [1]_ and [2]_, the profile that of [3]_.

    References
    ----------
    .. [1] Salton, Buckley: Term-weighting approaches in automatic text retrieval. Information
       Processing & Management, 1988.
    .. [2] Robertson, Zaragoza: The probabilistic relevance framework: BM25 and beyond. Foundations
       and Trends in Information Retrieval, 2009.
    .. [3] Pazzani, Billsus: Content-based recommendation systems. The Adaptive Web, 2007.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.content import TfidfRecommender
    >>> items = pd.DataFrame(
    ...     {
    ...         "item_id": [1, 2, 3, 4],
    ...         "title": ["red mug", "red tea pot", "blue mug", "garden chair"],
    ...     }
    ... )
    >>> events = pd.DataFrame({"user_id": ["ann", "bob"], "item_id": [1, 4]})
    >>> model = TfidfRecommender().fit(events, items=items)
    >>> model.recommend(["ann"], k=2)
    Recommendations: 1 rows, 2 places
      'ann': 3 0.438, 2 0.344
    >>> model.explain("ann", 3)
                   part  kind reason  contribution
    0  TfidfRecommender  word    mug      0.437791
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "fields": field_weights(),
        "tokenizer": _tokenizers(),
        "vectorizer": _vectorizers(),
        "weighting": choice("tfidf", "bm25"),
        "sublinear_tf": boolean(),
        "k1": real(0),
        "b": real(0, 1),
        "min_df": share_or_count(1),
        "max_df": share_or_count(1),
        "half_life": duration(),
        "n_jobs": jobs(),
    }
    tuning_space: ClassVar[Mapping[str, Any]] = {
        "weighting": ["tfidf", "bm25"],
        "sublinear_tf": [True, False],
        "max_df": [0.05, 0.2, 1.0],
    }
    _kind = "word"

    def __init__(
        self,
        fields: Mapping[str, float] | None = None,
        *,
        tokenizer: Callable[[str], list[str]] | None = None,
        vectorizer: Any = None,
        weighting: str = "tfidf",
        sublinear_tf: bool = True,
        k1: float = 1.2,
        b: float = 0.75,
        min_df: int | float = 1,
        max_df: int | float = 1.0,
        half_life: HalfLife = None,
        n_jobs: int | None = -1,
    ) -> None:
        self.fields = fields
        self.tokenizer = tokenizer
        self.vectorizer = vectorizer
        self.weighting = weighting
        self.sublinear_tf = sublinear_tf
        self.k1 = k1
        self.b = b
        self.min_df = min_df
        self.max_df = max_df
        self.half_life = half_life
        self.n_jobs = n_jobs

    def _check_params(self) -> None:
        super()._check_params()
        if self.vectorizer is not None:
            _check_vectorizer(self.vectorizer)
            if self.tokenizer is not None:
                raise ValueError(
                    "TfidfRecommender: give tokenizer or vectorizer, not both; a vectorizer has "
                    "an analyzer of its own."
                )

    def _setting(self, name: str) -> Any:
        """A parameter of the vectorizer, or of the model if it has none."""
        return getattr(self.vectorizer, name, getattr(self, name, True))

    def _nothing(self, catalog: Catalog | None) -> Features:
        fields: Mapping[str, float] = {}
        if catalog is not None:
            fields = chosen_fields(
                type(self).__name__, self.fields, catalog, TEXT_FIELDS, ("text", "words")
            )
        return Features(**nothing(fields))

    def _read(
        self, known: Features, catalog: Catalog, items: np.ndarray
    ) -> tuple[Features, Texts]:
        analyze: Any = self.tokenizer if self.tokenizer is not None else Tokenizer()
        if self.vectorizer is not None:
            analyze = self.vectorizer.build_analyzer()
        sublinear = self.weighting == "tfidf" and self._setting("sublinear_tf")
        vocabulary = known.vocabulary
        parts = []
        for field, weight in known.fields.items():
            vocabulary, indptr, terms, counts = count_terms(
                catalog.texts(field), analyze, vocabulary, grow=True
            )
            strengths = 1 + np.log(counts) if sublinear else counts
            places = np.repeat(np.arange(len(items)), np.diff(indptr))
            parts.append((places, terms, weight * strengths))
        return replace(known, vocabulary=vocabulary), combined(items, parts)

    def _rarities(self, counts: np.ndarray, n_items: int) -> np.ndarray:
        smooth = float(self._setting("smooth_idf"))
        idf = 1 + np.log((smooth + n_items) / np.maximum(smooth + counts, 1))
        if not self._setting("use_idf"):
            idf = np.ones(len(counts))
        low, high = (
            df if isinstance(df, numbers.Integral) else float(df) * n_items
            for df in (self._setting("min_df"), self._setting("max_df"))
        )
        idf[(counts < low) | (counts > high)] = 0
        return idf

    def _weights(self, known: Features, indptr: np.ndarray, strengths: np.ndarray) -> np.ndarray:
        values = strengths.astype(np.float64)
        if self.weighting == "tfidf":
            return values
        lengths = np.diff(indptr)
        row_of = np.repeat(np.arange(len(lengths)), lengths)
        sums = np.bincount(row_of, weights=values, minlength=len(lengths))
        relative = (sums / max(known.mean_length, 1e-300))[row_of]
        room = self.k1 * (1 - self.b + self.b * relative)
        saturated: np.ndarray = values * (self.k1 + 1) / (values + room)
        return saturated

    @property
    def vocabulary_(self) -> np.ndarray:
        """The terms, by column of `item_vectors_`."""
        known: Features = self._attribute("vocabulary_").learned
        return known.vocabulary.ids.copy()

    @property
    def idf_(self) -> np.ndarray:
        """Inverse document frequencies of the terms."""
        known: Features = self._attribute("idf_").learned
        return known.rarity.copy()


def _check_vectorizer(vectorizer: Any) -> None:
    """Refuse settings of a vectorizer that would silently not be heeded."""
    usual = {"binary": False, "max_features": None, "vocabulary": None, "norm": "l2"}
    for name, value in usual.items():
        given = getattr(vectorizer, name, value)
        if given != value:
            raise ValueError(
                f"TfidfRecommender: vectorizer has {name}={given!r}, which is not supported; "
                f"leave it at {value!r}."
            )
