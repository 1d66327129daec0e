"""Texts and columns of the items table as vectors: encoders of all kinds, and one of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import NotFittedError
from sklearn.utils.extmath import randomized_svd
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from ecomrec._optional import require
from ecomrec._validation import Rule
from ecomrec.content._counts import count_terms
from ecomrec.content._profiles import unit_rows
from ecomrec.content.tokens import Tokenizer
from ecomrec.data.catalog import Catalog
from ecomrec.data.ids import IdMap
from ecomrec.exceptions import DataError

#: What stands for an encoder that no file can hold.
GIVEN = "given"
LSA = "lsa"
# Wider sparse answers of an encoder do not become dense vectors.
_WIDEST = 8192
# Singular values below this share of the largest are rounding errors.
_RANK_TOLERANCE = 1e-5


def encoders() -> Rule:
    """Accept whatever makes vectors of texts."""
    return Rule(
        "None, 'lsa', the name or folder of a sentence-transformers model, a callable that takes "
        "a list of texts, or an object with transform or encode",
        lambda v: v is None or _is_encoder(v),
        (3, "", ["lsa"]),
    )


def _is_encoder(value: Any) -> bool:
    if isinstance(value, str):
        return value != ""
    made = callable(value) or hasattr(value, "transform") or hasattr(value, "encode")
    return made and not isinstance(value, type)


def is_unfitted(encoder: Any) -> bool:
    """Whether an encoder is a scikit-learn transformer that has still to learn from texts."""
    if not (hasattr(encoder, "fit") and hasattr(encoder, "transform")):
        return False
    try:
        check_is_fitted(encoder)
    except NotFittedError:
        return True
    return False


def encoded(encoder: Any, texts: Sequence[str]) -> np.ndarray:
    """Vectors of some texts, each encoded once: float32 of shape (n, n_factors).

    Raises
    ------
    DataError
        The encoder is not there, or what it returns are no vectors.
    """
    if isinstance(encoder, str) and encoder == GIVEN:
        raise DataError(
            "EmbeddingRecommender: there are new texts, and the encoder is not part of the saved "
            "file. Give it again first: model.set_params(encoder=...)."
        )
    distinct = sorted(set(texts))
    place = {text: row for row, text in enumerate(distinct)}
    answer: Any = _call_of(encoder)(distinct)
    if hasattr(answer, "toarray"):
        if answer.shape[1] > _WIDEST:
            raise DataError(
                f"the encoder returns sparse vectors of {answer.shape[1]} columns, more than fit "
                f"as dense ones ({_WIDEST}). Let it make fewer (n_features=1024, say), or put "
                "TruncatedSVD behind it in a pipeline."
            )
        answer = answer.toarray()
    vectors = _as_vectors(answer, f"the encoder's answer to {len(distinct)} texts")
    if len(vectors) != len(distinct):
        raise DataError(f"the encoder returned {len(vectors)} vectors for {len(distinct)} texts.")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise DataError(
            f"the encoder returned NaN or infinity for {len(bad)} texts, such as "
            f"{distinct[bad[0]][:80]!r}."
        )
    return vectors[[place[text] for text in texts]]


def _as_vectors(answer: Any, what: str) -> np.ndarray:
    try:
        vectors = np.asarray(answer, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} must be an array of numbers; {error}.") from None
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise DataError(f"{what} must have shape (n, n_factors); got {vectors.shape}.")
    return vectors


def _call_of(encoder: Any) -> Callable[[list[str]], Any]:
    if isinstance(encoder, str):
        encoder = _sentence_transformer(encoder)
    if hasattr(encoder, "transform"):
        transform: Callable[[list[str]], Any] = encoder.transform
        return transform
    if hasattr(encoder, "encode"):
        return lambda texts: encoder.encode(texts, show_progress_bar=False)
    call: Callable[[list[str]], Any] = encoder
    return call


@lru_cache(maxsize=1)
def _sentence_transformer(name: str) -> Any:
    """Load a model from a local folder, or by its name; kept for the next batch."""
    return require("sentence_transformers", "text").SentenceTransformer(name)


class Lsa(NamedTuple):
    """Latent semantic analysis: words, their rarity, and directions among them.

    Attributes
    ----------
    vocabulary : IdMap of str
    rarity : ndarray of shape (n_words,), float32
    directions : ndarray of shape (n_words, n_factors), float32
    """

    vocabulary: IdMap
    rarity: np.ndarray
    directions: np.ndarray


def learn_lsa(
    texts: Sequence[str],
    weights: Sequence[float],
    tokenizer: Callable[[str], list[str]] | None,
    n_factors: int,
    rng: np.random.Generator,
) -> Lsa:
    """Decompose the TF-IDF matrix of texts, whose lines are fields with a weight each."""
    if not texts:
        nothing = np.zeros(0, dtype=np.float32)
        return Lsa(IdMap(np.empty(0, object), "str"), nothing, nothing.reshape(0, 1))
    vocabulary, counts = _counts(texts, weights, tokenizer, IdMap(np.empty(0, object), "str"))
    n_texts = np.count_nonzero(np.diff(counts.indptr))
    document_counts = np.bincount(counts.indices, minlength=counts.shape[1])
    rarity = (1 + np.log((1 + n_texts) / (1 + document_counts))).astype(np.float32)
    seed = int(rng.integers(2**31))
    if counts.nnz == 0:
        return Lsa(vocabulary, rarity, np.zeros((counts.shape[1], 1), dtype=np.float32))
    matrix = _weighed(counts, rarity)
    with threadpool_limits(1, user_api="blas"):
        _, values, right = randomized_svd(
            matrix, min(n_factors, *matrix.shape), n_iter=4, random_state=seed, transpose=False
        )
    kept = values > _RANK_TOLERANCE * values.max()
    return Lsa(vocabulary, rarity, np.ascontiguousarray(right[kept].T, dtype=np.float32))


def lsa_vectors(
    lsa: Lsa,
    texts: Sequence[str],
    weights: Sequence[float],
    tokenizer: Callable[[str], list[str]] | None,
) -> np.ndarray:
    """Vectors of texts; zeros for those without a known word."""
    if len(lsa.vocabulary) == 0:
        return np.zeros((len(texts), lsa.directions.shape[1]), dtype=np.float32)
    _, counts = _counts(texts, weights, tokenizer, lsa.vocabulary, grow=False)
    vectors: np.ndarray = _weighed(counts, lsa.rarity) @ lsa.directions
    return vectors


def _counts(
    texts: Sequence[str],
    weights: Sequence[float],
    tokenizer: Callable[[str], list[str]] | None,
    vocabulary: IdMap,
    *,
    grow: bool = True,
) -> tuple[IdMap, sp.csr_array]:
    """How often each word is in each text, as ``1 + log`` by field, times its weight."""
    lines = [text.split("\n") for text in texts]
    cut = Tokenizer() if tokenizer is None else tokenizer
    parts = []
    for field, weight in enumerate(weights):
        column = [line[field] if field < len(line) else "" for line in lines]
        vocabulary, indptr, terms, counts = count_terms(column, cut, vocabulary, grow=grow)
        parts.append((indptr, terms, weight * (1 + np.log(counts))))
    shape = len(texts), len(vocabulary)
    found: Any = sp.csr_array(shape, dtype=np.float32)
    for indptr, terms, values in parts:
        found = found + sp.csr_array((values.astype(np.float32), terms, indptr), shape=shape)
    if not grow:
        return vocabulary, found
    # Fields are read one after the other: words in the order of the alphabet again.
    order = np.argsort(vocabulary.ids, kind="stable")
    return IdMap(vocabulary.ids[order], "str"), found[:, order].tocsr()


def _weighed(counts: sp.csr_array, rarity: np.ndarray) -> sp.csr_array:
    """Rows of length 1."""
    matrix = sp.csr_array(counts.multiply(rarity[None, :]), dtype=np.float32)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    lengths = np.sqrt(np.bincount(rows, matrix.data.astype(np.float64) ** 2, matrix.shape[0]))
    matrix.data = (matrix.data / lengths[rows]).astype(np.float32)
    return matrix


def joined_texts(catalog: Catalog, fields: Mapping[str, float]) -> list[str]:
    """The fields of each item as the lines of one text; empty if there is nothing in any."""
    columns = [catalog.texts(field) for field in fields]
    texts = []
    for cells in zip(*columns, strict=True):
        lines = [" ".join(cell.split()) if cell else "" for cell in cells]
        texts.append("\n".join(lines) if any(lines) else "")
    return texts


def as_written(text: str) -> str:
    """What an encoder reads: the fields that say something, a line each."""
    return "\n".join(line for line in text.split("\n") if line)


def read_vectors(catalog: Catalog, column: str) -> np.ndarray:
    """Vectors of a column, as rows of length 1; zeros where there is none.

    Raises
    ------
    DataError
        A cell is no list of finite numbers, or two differ in length; the message names its item.
    """
    cells = catalog.column(column)
    found: dict[int, np.ndarray] = {}
    width = 0
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        item = catalog.ids[row]
        try:
            vector = np.asarray(cell, dtype=np.float64)
        except (TypeError, ValueError):
            vector = np.empty((0, 0))
        if vector.ndim != 1 or len(vector) == 0 or not np.isfinite(vector).all():
            raise DataError(
                f"{column} of item {item!r} must be a list or array of finite numbers, or None; "
                f"got {str(cell)[:80]}."
            )
        if width and len(vector) != width:
            raise DataError(
                f"{column} of item {item!r} has {len(vector)} numbers, others have {width}."
            )
        width = len(vector)
        found[row] = vector
    vectors = np.zeros((len(cells), width))
    for row, vector in found.items():
        vectors[row] = vector
    return unit_rows(vectors)
