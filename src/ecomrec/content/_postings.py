"""Which items hold which words, and what each word counts for: the inverted index of a search."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ecomrec._lazy import computed_once
from ecomrec.content._counts import count_terms
from ecomrec.data.ids import IdMap
from ecomrec.data.rows import RowStore
from ecomrec.exceptions import DataError
from ecomrec.kernels import assemble, search

Analyzer = Callable[[str], list[str]]
_NO_TIMES = np.empty(0, dtype=np.int64)
_RUNS = re.compile(r"\d+|[^\W\d_]+")
_WORDS = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+([.,]\d+)*")


class Recipe(NamedTuple):
    """Fields by name, with their weight and length normalisation each, and the saturation k1."""

    fields: tuple[str, ...]
    weights: tuple[float, ...]
    b: tuple[float, ...]
    k1: float


@dataclass(frozen=True, eq=False)
class Postings:
    """Words of items, both ways round.

    Attributes
    ----------
    items : IdMap
    vocabulary : IdMap
        Words as they come from the tokenizer.
    recipe : tuple
        A `Recipe` in plain tuples, as a file holds it.
    counts : RowStore
        Items as rows: ``term * n_fields + field`` and how often; all that `refreshed` needs.
    sizes : ndarray of shape (n_items, n_fields), float32
        Words in each field.
    averages : ndarray of shape (n_fields,), float64
        Mean size of a field where there is one, as of the last fit or refresh.
    found : RowStore
        Words as rows: items, and what the word counts for in each.
    """

    items: IdMap
    vocabulary: IdMap
    recipe: tuple[Any, ...]
    counts: RowStore
    sizes: np.ndarray
    averages: np.ndarray
    found: RowStore

    def row_shapes(self, shop: Any = None) -> dict[str, tuple[int, int]]:
        """Rows and columns of each store."""
        n_items, n_terms = len(self.items), len(self.vocabulary)
        n_fields = len(self.recipe[0])
        return {"counts": (n_items, n_terms * n_fields), "found": (n_terms, n_items)}

    @property
    def how(self) -> Recipe:
        """The recipe by name."""
        return Recipe(*self.recipe)

    @computed_once
    def spelling(self) -> tuple[np.ndarray, np.ndarray]:
        """Letters of all words end to end (int32), and where each starts (int64)."""
        return _spelled(self.vocabulary.ids.tolist())

    def rarity(self, n_items_with: np.ndarray) -> np.ndarray:
        """Weight of words by the number of items that hold them: positive, float64."""
        n = len(self.items)
        return np.log1p((n - n_items_with + 0.5) / (n_items_with + 0.5))


def build(items: IdMap, texts: Sequence[Iterable[Any]], recipe: Recipe, analyzer: Analyzer,
          n_jobs: int | None = 1) -> Postings:  # fmt: skip
    """Index the texts of some items, a sequence for each field."""
    n_fields = len(recipe.fields)
    nothing = IdMap(np.empty(0, dtype=object), "str")
    vocabulary, indptr, keys, counts = _counted(texts, len(items), nothing, analyzer, n_jobs)
    store = RowStore.from_csr(indptr, (keys, counts))
    sizes = _sizes(indptr, keys, counts, n_fields)
    empty = RowStore.from_csr(
        np.zeros(len(vocabulary) + 1, dtype=np.int64), (keys[:0], counts[:0])
    )
    vocabulary.rows(())  # the way from a word to its row is made now, not in the first search
    known = Postings(items, vocabulary, tuple(recipe), store, sizes, np.ones(n_fields), empty)
    return refreshed(known, n_jobs)


def refreshed(known: Postings, n_jobs: int | None = 1) -> Postings:
    """Return the index with the average sizes of now: what a fit on all its items makes."""
    averages = _averages(known.sizes)
    how = known.how
    indptr, terms, values = search.weigh(
        known.counts.arrays, known.sizes, how.weights, how.b, averages, how.k1, n_jobs
    )
    starts, lengths = indptr[:-1], np.diff(indptr).astype(np.int32)
    at, rows, strengths = assemble.transpose(starts, lengths, terms, values, len(known.vocabulary))
    found = RowStore.from_csr(at, (rows, strengths)).with_room()
    return replace(known, averages=averages, found=found)


def added(
    known: Postings,
    items: IdMap,
    rows: np.ndarray,
    texts: Mapping[str, Sequence[Any]],
    analyzer: Analyzer,
) -> Postings:
    """Return the index with texts of some item rows, new ones or known ones that have changed.

    Parameters
    ----------
    items : IdMap
        Those of `known`, with new ones behind.
    rows : ndarray of int
        Whose texts these are, each row once.
    texts : dict of field to sequence
        Fields that are not in it stay as they are.
    analyzer : callable
    """
    how, n_before = known.how, len(known.items)
    n_fields = len(how.fields)
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    given = [texts.get(field) for field in how.fields]
    asked = [[None] * len(rows) if one is None else [one[i] for i in order] for one in given]
    vocabulary, indptr, keys, counts = _counted(asked, len(rows), known.vocabulary, analyzer, 1)
    old = rows < n_before
    if old.any():
        stay = np.array([one is None for one in given])
        indptr, keys, counts = _with_old(
            known, rows, indptr, keys, counts, stay, len(vocabulary) * n_fields
        )
    n_items, n_terms = len(items), len(vocabulary)
    sizes = np.zeros((n_items, n_fields), dtype=np.float32)
    sizes[:n_before] = known.sizes
    sizes[rows] = _sizes(indptr, keys, counts, n_fields)
    store = known.counts.replace(rows, indptr, (keys, counts), n_items)
    part = RowStore.from_csr(indptr, (keys, counts)).arrays
    # A field that no item had so far has no average to stand by.
    averages = np.where(known.sizes.any(axis=0), known.averages, _averages(sizes))
    at, terms, values = search.weigh(part, sizes[rows], how.weights, how.b, averages, how.k1)
    found = known.found
    if old.any() and known.counts.lengths[rows[old]].any():
        stay_rows = np.arange(n_before, dtype=np.int32)
        stay_rows[rows[old]] = -1
        found = _csr(*search.renumber(found.arrays, stay_rows)).with_room()
    touched, codes = np.unique(terms, return_inverse=True)
    term_at, by_term = assemble.group_by_row(codes, len(touched))
    holders = np.repeat(rows, np.diff(at))[by_term].astype(np.int32)
    found = found.append(touched, term_at, (holders, values[by_term]), n_terms)
    made = Postings(items, vocabulary, known.recipe, store, sizes, averages, found)
    if "spelling" in vars(known):
        made.__dict__["spelling"] = _longer_spelling(known, vocabulary)
    return made if not old.any() else _without_unused_words(made)


def without(known: Postings, kept: np.ndarray) -> Postings:
    """Return the index of some of its items (bool by row), with no trace of the others."""
    numbers = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
    indptr, (keys, counts) = known.counts.take(np.flatnonzero(kept))
    made = replace(
        known,
        items=known.items.keep(kept),
        counts=RowStore.from_csr(indptr, (keys, counts)),
        sizes=known.sizes[kept],
        found=_csr(*search.renumber(known.found.arrays, numbers)).with_room(),
    )
    return _without_unused_words(made)


def _without_unused_words(known: Postings) -> Postings:
    used = known.found.lengths > 0
    if used.all():
        return known
    numbers = np.where(used, np.cumsum(used) - 1, -1).astype(np.int32)
    n_fields = len(known.recipe[0])
    indptr, columns = known.found.to_csr()
    at = assemble.offsets(np.diff(indptr)[used])
    return replace(
        known,
        vocabulary=known.vocabulary.keep(used),
        counts=_csr(*search.renumber(known.counts.arrays, numbers, n_fields)),
        found=RowStore.from_csr(at, columns).with_room(),
    )


def variants(term: str) -> list[str]:
    """A term, and the parts of a model code or of joined words that it may be written as.

    >>> variants("wd-40"), variants("iphone15"), variants("3.5"), variants("bag")
    (['wd-40', 'wd40', 'wd', '40'], ['iphone15', 'iphone', '15'], ['3.5'], ['bag'])
    """
    if term.isalpha() or _NUMBER.fullmatch(term):
        return [term]
    words = _WORDS.findall(term)
    found = [term]
    if len(words) > 1:
        found += ["".join(words), *words]
    for word in words:
        runs = [] if word.isalpha() else _RUNS.findall(word)
        if len(runs) > 1:
            found += [run for run in runs if len(run) > 1]
    return list(dict.fromkeys(found))


def with_variants(tokenizer: Analyzer) -> Analyzer:
    """A tokenizer that gives the variants of each term beside it."""
    known: dict[str, list[str]] = {}

    def analyze(text: str) -> list[str]:
        terms: list[str] = []
        for term in tokenizer(text):
            if term.isalpha():
                terms.append(term)
                continue
            parts = known.get(term)
            if parts is None:
                parts = variants(term)
                if len(known) < 100_000:
                    known[term] = parts
            terms += parts
        return terms

    return analyze


def _counted(
    texts: Sequence[Iterable[Any]],
    n: int,
    vocabulary: IdMap,
    analyzer: Analyzer,
    n_jobs: int | None,
) -> tuple[IdMap, np.ndarray, np.ndarray, np.ndarray]:
    """Vocabulary, and keys and counts by item, of texts given field by field."""
    n_fields = len(texts)
    cells = [text for field in texts for text in field]
    vocabulary, indptr, terms, counts = count_terms(cells, analyzer, vocabulary, grow=True)
    if len(vocabulary) * n_fields >= 2**31:
        raise DataError(
            f"{len(vocabulary)} different words in {n_fields} fields are more than an index "
            "holds. Leave fields out."
        )
    rows = np.repeat(np.arange(len(cells)), np.diff(indptr))
    fields, items = rows // max(n, 1), rows % max(n, 1)
    at, order = assemble.group_by_row(items, n)
    keys = (terms.astype(np.int64) * n_fields + fields)[order].astype(np.int32)
    lengths, data = assemble.merge_weights(
        at, keys, counts[order].astype(np.float64), _NO_TIMES, n_jobs
    )
    at = assemble.compact(at, lengths, [keys, data])
    return vocabulary, at, keys[: at[-1]], data[: at[-1]]


def _with_old(
    known: Postings,
    rows: np.ndarray,
    indptr: np.ndarray,
    keys: np.ndarray,
    counts: np.ndarray,
    stay: np.ndarray,
    width: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add what the known ones of some rows hold in the fields that stay as they are."""
    places = np.flatnonzero(rows < len(known.items))
    at, (old_keys, old_counts) = known.counts.take(rows[places])
    owners = np.repeat(places, np.diff(at))
    keep = stay[old_keys % len(stay)]
    owners = np.concatenate((owners[keep], np.repeat(np.arange(len(rows)), np.diff(indptr))))
    keys = np.concatenate((old_keys[keep], keys))
    counts = np.concatenate((old_counts[keep], counts))
    order = np.argsort(owners.astype(np.int64) * width + keys)
    at = assemble.offsets(np.bincount(owners, minlength=len(rows)))
    return at, keys[order].astype(np.int32), counts[order].astype(np.float32)


def _sizes(indptr: np.ndarray, keys: np.ndarray, counts: np.ndarray, n_fields: int) -> np.ndarray:
    n = len(indptr) - 1
    rows = np.repeat(np.arange(n), np.diff(indptr))
    sums = np.bincount(rows * n_fields + keys % n_fields, counts, minlength=n * n_fields)
    return sums.reshape(n, n_fields).astype(np.float32)


def _averages(sizes: np.ndarray) -> np.ndarray:
    """Mean size of each field over the items that have it; 1 where none has."""
    filled = np.count_nonzero(sizes, axis=0)
    sums: np.ndarray = sizes.sum(axis=0, dtype=np.float64)
    return np.where(filled > 0, sums / np.maximum(filled, 1), 1.0)


def _csr(indptr: np.ndarray, indices: np.ndarray, values: np.ndarray) -> RowStore:
    return RowStore.from_csr(indptr, (indices, values))


def letters_of(words: str) -> np.ndarray:
    """Code points of a text: int32."""
    return np.frombuffer(words.encode("utf-32-le", "surrogatepass"), dtype=np.int32).copy()


def _spelled(words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    return letters_of("".join(words)), assemble.offsets(lengths)


def _longer_spelling(known: Postings, vocabulary: IdMap) -> tuple[np.ndarray, np.ndarray]:
    letters, offsets = known.spelling
    more, at = _spelled(vocabulary.ids[len(known.vocabulary) :].tolist())
    return np.concatenate((letters, more)), np.concatenate((offsets, offsets[-1] + at[1:]))
