"""What a query asks for, in words of an index, and what each word adds to an item's score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ecomrec.content import _postings
from ecomrec.content._postings import Analyzer, Postings
from ecomrec.exceptions import DataError
from ecomrec.kernels import assemble, neighbors, ranking, search

# What a completed or a corrected word counts for beside the word itself, and how many are tried.
_COMPLETED, _CORRECTED = 0.5, 0.7
_MOST_COMPLETIONS, _MOST_CORRECTIONS = 50, 10
_SHORTEST_CORRECTED = 4


class Reader(NamedTuple):
    """How queries are read: words and their variants, completions, corrections."""

    tokenizer: Analyzer
    split_codes: bool
    prefix: bool
    typos: int

    @property
    def analyzer(self) -> Analyzer:
        """From a text to the words that are indexed."""
        return _postings.with_variants(self.tokenizer) if self.split_codes else self.tokenizer


class Meaning(NamedTuple):
    """A query as weighted words of the index, in the order of the query.

    Attributes
    ----------
    terms : ndarray, int32
    weights : ndarray, float32
    words : list of str
        The word of the query that each term stands for.
    """

    terms: np.ndarray
    weights: np.ndarray
    words: list[str]


def meaning(known: Postings, query: str, reader: Reader) -> Meaning:
    """Return what a query asks for."""
    counts: dict[str, int] = {}
    for word in reader.analyzer(query):
        counts[word] = counts.get(word, 0) + 1
    rows = known.vocabulary.rows(counts)
    last = reader.tokenizer(query)[-1] if reader.prefix and counts else None
    terms, weights, words = [], [], []
    for (word, count), row in zip(counts.items(), rows.tolist(), strict=True):
        if word == last:
            longer = search.prefixed(_postings.letters_of(word), *known.spelling)
            found, share = _group(known, longer, _MOST_COMPLETIONS, _COMPLETED, row)
        elif row >= 0:
            found, share = _group(known, ranking.NOTHING, 0, 1.0, row)
        else:
            found, share = ranking.NOTHING, np.empty(0)
        if len(found) == 0 and reader.typos and len(word) >= _SHORTEST_CORRECTED:
            near = search.one_edit(_postings.letters_of(word), *known.spelling)
            found, share = _group(known, near, _MOST_CORRECTIONS, _CORRECTED)
        terms.append(found)
        weights.append(count * share)
        words += [word] * len(found)
    if not terms:
        return Meaning(ranking.NOTHING, np.empty(0, dtype=np.float32), [])
    return Meaning(np.concatenate(terms), np.concatenate(weights).astype(np.float32), words)


def _group(
    known: Postings, terms: np.ndarray, most: int, share: float, itself: int = -1
) -> tuple[np.ndarray, np.ndarray]:
    """A word, if it is known, and what it may stand for: together they are as rare as one word.

    Of the others, those that most items hold, each with a share of the weight.
    """
    best = np.argsort(-known.found.lengths[terms], kind="stable")[:most]
    found, shares = terms[best], np.full(len(best), share)
    if itself >= 0:
        found = np.concatenate((np.array([itself], dtype=np.int32), found))
        shares = np.concatenate(([1.0], shares))
    together = np.minimum(known.found.lengths[found].sum(dtype=np.int64), len(known.items))
    return found, shares * known.rarity(together)


def find(
    known: Postings,
    queries: Sequence[str],
    reader: Reader,
    k: int,
    mask: ranking.Mask,
    n_jobs: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Item rows and scores of the best k hits of each query, -1 and NaN behind the last."""
    asked = [meaning(known, query, reader) for query in queries]
    indptr = assemble.offsets(np.array([len(one.terms) for one in asked], dtype=np.int64))
    terms = np.concatenate([one.terms for one in asked] or [ranking.NOTHING])
    weights = np.concatenate([one.weights for one in asked] or [np.empty(0, np.float32)])
    found: tuple[np.ndarray, np.ndarray] = neighbors.recommend(
        (indptr, terms, weights), known.found.arrays, len(known.items), k, mask, n_jobs
    )
    return found


class Parts(NamedTuple):
    """What made a score: words of the query, terms of the index, fields, contributions."""

    words: list[str]
    terms: list[str]
    fields: list[str]
    contributions: np.ndarray


def parts_of(known: Postings, query: str, reader: Reader, row: int) -> Parts:
    """Return what the words of a query add to the score of one item, by field."""
    how, asked = known.how, meaning(known, query, reader)
    n_fields = max(len(how.fields), 1)
    keys, counts = known.counts.row(row)
    fields = keys % n_fields
    lengths = known.sizes[row, fields] / known.averages[fields]
    b, weights = np.array(how.b)[fields], np.array(how.weights)[fields]
    strengths = weights * counts / (1 - b + b * lengths)
    words, terms, names, parts = [], [], [], []
    for term, weight, word in zip(asked.terms, asked.weights, asked.words, strict=True):
        places = np.flatnonzero(keys // n_fields == term)
        total = strengths[places].sum()
        for place in places[strengths[places] > 0].tolist():
            words.append(word)
            terms.append(known.vocabulary.ids[term])
            names.append(how.fields[fields[place]])
            parts.append(float(weight) * strengths[place] / (how.k1 + total))
    return Parts(words, terms, names, np.array(parts, dtype=np.float64))


def read_queries(queries: Any) -> list[str]:
    """Return one query or several as a list of texts; missing ones are empty."""
    if isinstance(queries, str) or _is_missing(queries):
        queries = [queries]
    if isinstance(queries, (bytes, dict)) or not hasattr(queries, "__iter__"):
        raise DataError(f"a query must be a str, or several a list of str; got {queries!r}.")
    found = []
    for query in queries:
        if _is_missing(query):
            found.append("")
        elif isinstance(query, str):
            found.append(str(query))
        else:
            raise DataError(
                f"a query must be a str; got {query!r} of type {type(query).__name__}."
            )
    return found


def _is_missing(query: Any) -> bool:
    return query is None or (isinstance(query, float) and np.isnan(query))
