"""What is stored of items that are described by vectors: texts, modalities, and their fusion."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ecomrec._validation import Rule
from ecomrec.content._encoders import (
    Lsa,
    as_written,
    encoded,
    joined_texts,
    lsa_vectors,
    read_vectors,
)
from ecomrec.content._fields import field_weights, fields_of_batch
from ecomrec.content._profiles import ProfileFactors, unit_rows
from ecomrec.data.catalog import Catalog
from ecomrec.data.histories import Profiles, stored_profiles
from ecomrec.data.ids import IdMap
from ecomrec.data.interactions import Interactions
from ecomrec.exceptions import DataError
from ecomrec.kernels import assemble
from ecomrec.state import ArrayRule

_MODEL = "EmbeddingRecommender"


@dataclass(frozen=True, eq=False)
class EmbeddingFactors(ProfileFactors):
    """What `EmbeddingRecommender` learns, beside the factors.

    Attributes
    ----------
    fields : dict of str to float
        Text columns that are read, and their weights; none if no text is read.
    modalities : dict of str to int
        Columns of vectors, "" for the text, and how many numbers each has.
    texts : ndarray, uint8, and text_ends : ndarray of shape (n_items + 1,), int64
        Texts of the items, a line for each field, as UTF-8.
    parts : ndarray of shape (n_items, n), float32, or None
        Vectors of the modalities side by side, each of length 1 or 0; None for a single one, whose
        vectors are the factors.
    vocabulary : IdMap of str, or None
    rarity, directions : ndarray
        The words of the encoder that was learned here, and what makes vectors of them.
    transformer : object
        scikit-learn's, fitted here; in no file.
    """

    fields: dict[str, float]
    modalities: dict[str, int]
    texts: np.ndarray
    text_ends: np.ndarray
    parts: np.ndarray | None
    vocabulary: IdMap | None = None
    rarity: np.ndarray | None = None
    directions: np.ndarray | None = None
    transformer: Any = None

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        n_words = 0 if self.vocabulary is None else len(self.vocabulary)
        return super().array_rules(shop) | {
            "texts": ArrayRule((-1,)),
            "text_ends": ArrayRule((shop.n_items + 1,), 0, len(self.texts) + 1),
            "parts": ArrayRule((shop.n_items, -1)),
            "rarity": ArrayRule((n_words,)),
            "directions": ArrayRule((n_words, -1)),
        }

    def text(self, row: int) -> str:
        """The text of one item."""
        blob = self.texts[self.text_ends[row] : self.text_ends[row + 1]].tobytes()
        return blob.decode("utf-8", "surrogatepass")

    def blocks(self) -> dict[str, np.ndarray]:
        """Vectors of each modality."""
        whole = np.asarray(self.item_factors) if self.parts is None else self.parts
        ends = np.cumsum([0, *self.modalities.values()])
        return {
            name: whole[:, first:last]
            for name, first, last in zip(self.modalities, ends[:-1], ends[1:], strict=True)
        }


class Sources(NamedTuple):
    """What is known of the items before anything is learned from it."""

    fields: dict[str, float]
    texts: list[str]
    blocks: dict[str, np.ndarray]


def _are_columns(value: Any) -> bool:
    if isinstance(value, str):
        return value != ""
    if isinstance(value, Mapping):
        return field_weights().accepts(value)
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return all(isinstance(name, str) and name for name in value)


def columns_of(vectors: str | Sequence[str] | Mapping[str, float] | None) -> dict[str, float]:
    """Columns of vectors and their weights."""
    if vectors is None:
        return {}
    if isinstance(vectors, Mapping):
        return {name: float(weight) for name, weight in vectors.items()}
    return dict.fromkeys([vectors] if isinstance(vectors, str) else vectors, 1.0)


def sources_of(known: EmbeddingFactors, rows: np.ndarray) -> Sources:
    """What some items were learned from."""
    texts = [known.text(row) for row in rows] if known.fields else []
    blocks = {name: block[rows] for name, block in known.blocks().items()}
    if any(texts) and (known.vocabulary is not None or known.transformer is not None):
        # Made by what was learned here: texts are encoded again.
        del blocks[""]
    return Sources(known.fields, texts, blocks)


def grown(known: EmbeddingFactors, n_items: int) -> EmbeddingFactors:
    """What is known with rows for more items; another object in any case."""
    more = n_items - len(known.item_factors)
    if more == 0:
        return replace(known)
    return replace(
        known,
        item_factors=np.pad(known.item_factors, ((0, more), (0, 0))),
        with_evidence=np.pad(known.with_evidence, (0, more)),
        history_scales=np.pad(known.history_scales, (0, more)),
        text_ends=np.pad(known.text_ends, (0, more), mode="edge"),
        parts=None if known.parts is None else np.pad(known.parts, ((0, more), (0, 0))),
    )


def with_items(
    known: EmbeddingFactors,
    catalog: Catalog,
    rows: np.ndarray,
    weights: Mapping[str, float],
    encoder: Any,
    tokenizer: Callable[[str], list[str]] | None,
) -> tuple[EmbeddingFactors, np.ndarray]:
    """What is known with what a table says of some items, and whose vectors changed."""
    blocks = known.blocks()
    fresh: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if known.fields and fields_of_batch(_MODEL, known.fields, catalog):
        texts = joined_texts(catalog, known.fields)
        other = [place for place, row in enumerate(rows) if texts[place] != known.text(row)]
        new = [texts[place] for place in other]
        fresh[""] = rows[other], _text_vectors(known, new, encoder, tokenizer)
        known = _with_text(known, dict(zip(rows[other].tolist(), new, strict=True)))
    for column in blocks:
        if column and column in catalog.columns:
            found, width = read_vectors(catalog, column), known.modalities[column]
            if found.shape[1] not in (0, width):
                raise DataError(
                    f"{column} holds vectors of {found.shape[1]} numbers in this batch, and "
                    f"of {width} in the fitted model."
                )
            if found.shape[1] == 0:
                found = np.zeros((len(rows), width), dtype=np.float32)
            fresh[column] = rows, found
    changed = np.unique(np.concatenate([rows[:0], *(where for where, _ in fresh.values())]))
    if not len(changed):
        return known, changed
    updated = {name: block[changed] for name, block in blocks.items()}
    for name, (where, found) in fresh.items():
        updated[name][np.searchsorted(changed, where)] = found
    units, parts = fused(updated, weights, len(changed))
    factors, scales = known.item_factors.copy(), known.history_scales.copy()
    factors[changed], scales[changed] = units, units.any(axis=1)
    whole = known.parts
    if whole is not None and parts is not None:
        whole = whole.copy()
        whole[changed] = parts
    known = replace(
        known,
        item_factors=factors,
        history_scales=scales,
        with_evidence=scales > 0,
        parts=whole,
    )
    return known, changed


def _text_vectors(
    known: EmbeddingFactors,
    texts: list[str],
    encoder: Any,
    tokenizer: Callable[[str], list[str]] | None,
) -> np.ndarray:
    """Vectors of new texts, of length 1; zeros for empty ones."""
    width = known.modalities[""]
    vectors = np.zeros((len(texts), width), dtype=np.float32)
    filled = [place for place, text in enumerate(texts) if text]
    some = [texts[place] for place in filled]
    if not some:
        return vectors
    if known.vocabulary is not None and known.rarity is not None:
        assert known.directions is not None  # the three come together
        lsa = Lsa(known.vocabulary, known.rarity, known.directions)
        found = lsa_vectors(lsa, some, list(known.fields.values()), tokenizer)
    else:
        made = encoder if known.transformer is None else known.transformer
        found = encoded(made, [as_written(text) for text in some])
    if found.shape[1] != width:
        raise DataError(
            f"the encoder returned vectors of {found.shape[1]} numbers; those of the fitted "
            f"model have {width}. Give the same encoder, or fit again."
        )
    vectors[filled] = unit_rows(found)
    return vectors


def _with_text(known: EmbeddingFactors, new: dict[int, str]) -> EmbeddingFactors:
    """What is known with other texts for some rows."""
    if not new:
        return known
    blob, ends = known.texts.tobytes(), known.text_ends.tolist()
    texts = [blob[first:last] for first, last in itertools.pairwise(ends)]
    for row, text in new.items():
        texts[row] = text.encode("utf-8", "surrogatepass")
    return replace(
        known,
        texts=np.frombuffer(b"".join(texts), dtype=np.uint8),
        text_ends=assemble.offsets(np.array([len(text) for text in texts], dtype=np.int64)),
    )


def profiles_by_id(shop: Interactions) -> Profiles:
    """Stored histories in the order of the ids of users and items."""
    profiles = stored_profiles(shop, np.argsort(shop.user_ids, kind="stable"))
    rank = assemble.inverse(np.argsort(shop.item_ids, kind="stable"))
    rows = np.repeat(np.arange(shop.n_users), np.diff(profiles.indptr))
    order = np.lexsort((rank[profiles.items], rows))
    return Profiles(profiles.indptr, profiles.items[order], profiles.weights[order])


def vector_columns() -> Rule:
    """Accept names of columns, with weights or without."""
    return Rule(
        "None, a column name, a list of them, or a dict of column names to positive numbers",
        lambda v: v is None or _are_columns(v),
        (3, "", [], {}, {"photo": 0}, [3]),
    )


def fused(
    blocks: Mapping[str, np.ndarray], weights: Mapping[str, float], n_items: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Vectors of length 1 from those of all modalities, and these side by side if several."""
    if not blocks:
        return np.zeros((n_items, 1), dtype=np.float32), None
    if len(blocks) == 1:
        return np.ascontiguousarray(next(iter(blocks.values()))), None
    scaled = [np.float32(np.sqrt(weights[name])) * block for name, block in blocks.items()]
    return unit_rows(np.hstack(scaled)), np.hstack(list(blocks.values()))
