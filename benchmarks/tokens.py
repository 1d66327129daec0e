"""What the terms of Chinese titles are worth: ``python -m benchmarks tokens``.

Names of brands, products and models are marked in `taobao-titles-zh`. Terms are compared with
them, and titles are ranked by BM25 over the terms. Choices were made on train and dev titles.
"""

import json
import re
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.logs import DATA
from benchmarks.measure import conditions
from benchmarks.runner import RESULTS
from ecomrec.content import Tokenizer
from ecomrec.content._counts import count_terms
from ecomrec.data.ids import IdMap

Terms = Callable[[str], list[str]]
PACKAGES = ["ecomrec", "jieba", "numpy", "pandas", "scikit-learn"]
NAMES = ("HPPX", "HCCX", "XH")  # brand, product, model


def folded(text: str) -> str:
    """What every entrant is given: plain width, no case."""
    return unicodedata.normalize("NFKC", text).casefold()


def entrants() -> dict[str, Terms]:
    """The default, jieba alone on the whole title, jieba for Chinese runs only, and bigrams."""
    import jieba

    def jieba_alone(text: str) -> list[str]:
        return [term for term in jieba.lcut(text) if re.search(r"\w", term)]

    return {
        "Tokenizer()": Tokenizer().prepared(),
        "jieba": jieba_alone,
        'Tokenizer(segmenter="jieba")': Tokenizer(segmenter="jieba").prepared(),
        "bigrams, Tokenizer(segmenter=None)": Tokenizer(segmenter=None).prepared(),
    }


def read() -> pd.DataFrame:
    """Distinct titles, folded, each with its marked names."""
    titles = pd.read_parquet(DATA / "taobao-titles-zh" / "titles.parquet")
    marks = [
        [folded(text) for kind, _, text in (m.partition(":") for m in listed.split("|"))
         if kind in NAMES and text]
        for listed in titles["entities"].fillna("")
    ]  # fmt: skip
    return titles.assign(title=titles["title"].map(folded), marks=marks)


def spans(titles: pd.DataFrame, terms_of: Terms) -> dict[str, float]:
    """Recall: marks that are a term of their title. Precision: distinct terms that are marks.

    Once with the distinct terms of each title, and once with those of all titles together.
    """
    found = n_marks = right = n_terms = 0
    all_terms: set[str] = set()
    all_marks: set[str] = set()
    for title, marks in zip(titles["title"], titles["marks"], strict=True):
        terms = set(terms_of(title))
        found += sum(mark in terms for mark in marks)
        n_marks += len(marks)
        right += len(terms.intersection(marks))
        n_terms += len(terms)
        all_terms |= terms
        all_marks.update(marks)
    return {
        "recall": found / n_marks,
        "precision": right / n_terms,
        "precision_all": len(all_terms & all_marks) / len(all_terms),
        "terms": n_terms / len(titles),
    }


class Ranking:
    """BM25 over all titles, asked for a name, or for titles that share a name with one of them."""

    def __init__(self, titles: pd.DataFrame, split: str) -> None:
        titles = titles.drop_duplicates("title")
        self.titles = titles["title"].tolist()
        with_mark: dict[str, set[int]] = defaultdict(set)
        for row, marks in enumerate(titles["marks"]):
            for mark in marks:
                with_mark[mark].add(row)
        asked = np.flatnonzero(titles["split"] == split)
        marks = titles["marks"].tolist()
        self.names = [
            (mark, with_mark[mark], -1)
            for mark in sorted({m for row in asked for m in marks[row]})
        ]
        alike = [(row, set().union(*(with_mark[m] for m in marks[row])) - {row}) for row in asked]
        self.alike = [(self.titles[row], same, row) for row, same in alike if same]

    def __call__(self, terms_of: Terms) -> dict[str, list[tuple[float, float]]]:
        """Return (reciprocal rank, NDCG@10) of each query of both kinds."""
        vocabulary, *counts = count_terms(
            self.titles, terms_of, IdMap(np.empty(0, dtype=object), "str"), grow=True
        )
        postings = _bm25(*counts, len(vocabulary))
        return {
            kind: [
                _judged(postings, vocabulary.rows([*Counter(terms_of(query))]), relevant, itself)
                for query, relevant, itself in queries
            ]
            for kind, queries in (("names", self.names), ("titles", self.alike))
        }


def _bm25(indptr: np.ndarray, terms: np.ndarray, counts: np.ndarray, width: int) -> sp.csr_array:
    n = len(indptr) - 1
    lengths = np.add.reduceat(np.append(counts, 0), indptr[:-1]) * (np.diff(indptr) > 0)
    damping = 1.2 * (0.25 + 0.75 * np.repeat(lengths / lengths.mean(), np.diff(indptr)))
    n_with = np.bincount(terms, minlength=width)
    rarity = np.log(1 + (n - n_with + 0.5) / (n_with + 0.5))[terms]
    weights = rarity * counts * 2.2 / (counts + damping)
    return sp.csr_array((weights, terms, indptr), shape=(n, width)).T.tocsr()


def _judged(
    postings: sp.csr_array, terms: np.ndarray, relevant: set[int], itself: int
) -> tuple[float, float]:
    scores = np.zeros(postings.shape[1])
    for term in terms[terms >= 0]:
        part = slice(*postings.indptr[term : term + 2])
        scores[postings.indices[part]] += postings.data[part]
    if itself >= 0:
        scores[itself] = 0
    order = np.argsort(-scores, kind="stable")[:10]
    hits = np.array([scores[row] > 0 and row in relevant for row in order])
    gains = 1 / np.log2(np.arange(2, 12))
    best = gains[: len(relevant)].sum()
    first = np.flatnonzero(hits)
    return (1 / (first[0] + 1) if len(first) else 0.0), float(gains[hits].sum() / best)


def queries(terms_of: Terms, titles: list[str], n: int = 20_000) -> dict[str, float]:
    """Real queries: terms of each, and how many of them occur in any title, or none does."""
    asked = pd.read_parquet(DATA / "ecom-queries-zh" / "queries.parquet")["query"].head(n)
    known = {term for title in titles for term in terms_of(title)}
    cut = [terms_of(folded(query)) for query in asked]
    shares = [sum(term in known for term in terms) / max(len(terms), 1) for terms in cut]
    return {
        "terms": float(np.mean([len(terms) for terms in cut])),
        "known": float(np.mean(shares)),
        "nothing": float(np.mean(np.array(shares) == 0)),
    }


def speed(n: int = 200_000, n_words: int = 40) -> dict[str, float]:
    """Seconds of count_terms for made English titles, and for the Chinese ones over and over."""
    from benchmarks.search import made_titles

    chinese = pd.read_parquet(DATA / "taobao-titles-zh" / "titles.parquet")["title"].tolist()
    many = [f"{chinese[i % len(chinese)]}{i}" for i in range(n)]  # no two alike
    empty = IdMap(np.empty(0, dtype=object), "str")
    found = {}
    for name, texts in (("english", made_titles(n, n_words)), ("chinese", many)):
        start = time.perf_counter()
        count_terms(texts, Tokenizer(), empty, grow=True)
        found[name] = time.perf_counter() - start
    return found


def measure(split: str) -> dict[str, Any]:
    """Every figure of one split."""
    titles = read()
    part = titles[titles["split"] == split]
    ranking = Ranking(titles, split)
    found: dict[str, Any] = {}
    ranked = {}
    for name, terms_of in entrants().items():
        ranked[name] = ranking(terms_of)
        found[name] = spans(part, terms_of) | {"queries": queries(terms_of, ranking.titles)}
        for kind, each in ranked[name].items():
            mrr, ndcg = np.mean(each, axis=0)
            difference = np.array(ranked["Tokenizer()"][kind]) - np.array(each)
            half = 1.96 * difference.std(axis=0) / len(each) ** 0.5
            found[name][kind] = {
                "mrr": mrr, "ndcg": ndcg, "n": len(each),
                "default_ahead": difference.mean(axis=0).tolist(), "half_width": half.tolist(),
            }  # fmt: skip
    return found


def write() -> Path:
    """Measure and write the JSON file."""
    report = {
        "conditions": conditions(PACKAGES),
        "dev": measure("dev"),
        "test": measure("test"),
        "speed": speed(),
    }
    path = RESULTS / "tokens.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path


if __name__ == "__main__":
    print(json.dumps(measure("dev"), indent=1, ensure_ascii=False))
