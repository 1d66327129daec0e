"""Search: speed on 200,000 products, quality on two product sets, and beside bm25s and TF-IDF.

``python -m benchmarks.search [speed] [matching] [personal]`` writes ``results/search-*.json``.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.measure import conditions, hold_to_threads

hold_to_threads()

import numpy as np  # noqa: E402  # after the threads are set
import pandas as pd  # noqa: E402
from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: E402

from benchmarks.logs import DATA  # noqa: E402
from benchmarks.runner import RESULTS  # noqa: E402
from ecomrec.base import BaseRecommender, Recommendations  # noqa: E402
from ecomrec.cf import ItemKNN  # noqa: E402
from ecomrec.content import PersonalSearch, SearchIndex  # noqa: E402
from ecomrec.datasets import load_online_retail  # noqa: E402

PACKAGES = ["bm25s", "ecomrec", "numba", "numpy", "scikit-learn", "scipy"]
FIELDS = ["title", "category", "brand", "modelno", "price"]
Table = pd.DataFrame


# ---------------------------------------------------------------------- speed


def made_titles(n: int = 200_000, n_words: int = 40, seed: int = 0) -> list[str]:
    """Texts of 40 words out of 200,000, the r-th of which is drawn in proportion to 1 / r."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    n_vocabulary = 200_000
    spelled = rng.choice(letters, (n_vocabulary, 10))
    lengths = rng.integers(3, 11, n_vocabulary)
    words = ["".join(row[:length]) for row, length in zip(spelled, lengths, strict=True)]
    chances = np.cumsum(1 / np.arange(1, n_vocabulary + 1))
    drawn = np.searchsorted(chances, rng.random(n * n_words) * chances[-1])
    return [" ".join(map(words.__getitem__, row)) for row in drawn.reshape(n, n_words).tolist()]


def queries_of(titles: list[str], n: int, seed: int = 1) -> list[str]:
    """Two to four words of one title each."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(titles), n)
    return [
        " ".join(rng.choice(titles[row].split(), rng.integers(2, 5), replace=False))
        for row in chosen.tolist()
    ]


def latencies(ask: Callable[[str], Any], queries: Iterable[str]) -> dict[str, float]:
    """Milliseconds of one query at a time: median, 99th percentile, worst."""
    took = []
    for query in queries:
        start = time.perf_counter()
        ask(query)
        took.append(1000 * (time.perf_counter() - start))
    return {
        "p50_ms": float(np.percentile(took, 50)),
        "p99_ms": float(np.percentile(took, 99)),
        "max_ms": max(took),
    }


def seconds(work: Callable[[], Any]) -> tuple[Any, float]:
    """What some work returns, and how long it took."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def speed(n: int = 200_000, n_queries: int = 2000) -> dict[str, Any]:
    """Build, ask, add and remove on one core; bm25s builds and answers the same."""
    import bm25s

    titles = made_titles(n)
    prices = np.random.default_rng(2).uniform(1, 100, n)
    table = Table({"item_id": np.arange(n), "title": titles, "price": prices})
    queries = queries_of(titles, n_queries)
    SearchIndex(n_jobs=1, prefix=True, typos=1).fit(table[:100]).search(queries[:5])
    index, build_s = seconds(lambda: SearchIndex(n_jobs=1).fit(table))
    found = {"build_s": build_s, **latencies(index.search, queries)}
    found["filtered"] = latencies(lambda q: index.search(q, where={"price": (10, 30)}), queries)
    index.set_params(prefix=True)
    index.search("x")
    found["prefix"] = latencies(index.search, [query[:-1] for query in queries[:500]])
    index.set_params(prefix=False, typos=1)
    found["typos"] = latencies(index.search, [f"{query}q" for query in queries[:500]])
    index.set_params(typos=0)
    _, found["batch_s"] = seconds(lambda: index.search(queries))
    more = table[:1000].assign(item_id=np.arange(n, n + 1000))
    _, found["add_first_1000_s"] = seconds(lambda: index.add(more))
    found["add_1000_s"] = float(
        np.median(
            [
                seconds(lambda i=i: index.add(more.assign(item_id=more["item_id"] + 1000 * i)))[1]
                for i in range(1, 6)
            ]
        )
    )
    _, found["remove_1000_s"] = seconds(lambda: index.remove(list(range(1000))))
    _, found["first_after_s"] = seconds(lambda: index.search(queries[0]))

    def theirs() -> Any:
        made = bm25s.BM25()
        made.index(
            bm25s.tokenize(titles, stopwords=None, show_progress=False), show_progress=False
        )
        return made

    other, build_s = seconds(theirs)

    def ask(query: str) -> Any:
        words = bm25s.tokenize([query], stopwords=None, show_progress=False)
        return other.retrieve(words, k=10, show_progress=False, n_threads=0)

    found["bm25s"] = {"build_s": build_s, **latencies(ask, queries)}
    tokens = bm25s.tokenize(queries, stopwords=None, show_progress=False)
    _, found["bm25s"]["batch_s"] = seconds(
        lambda: other.retrieve(tokens, k=10, show_progress=False, n_threads=0)
    )
    return {"n_items": n, "n_queries": n_queries, "found": found} | _conditions()


# ---------------------------------------------------------------------- matching


def walmart_amazon() -> tuple[Table, Table, list[set[Any]], np.ndarray]:
    """Left records with a match, right records, their matches, and which are train pairs."""
    folder = DATA / "match-walmart-amazon"
    left, right, pairs = (
        pd.read_parquet(folder / f"{name}.parquet") for name in ("left", "right", "pairs")
    )
    for records in (left, right):
        records[FIELDS] = records[FIELDS].fillna("").astype(str)
    matches = pairs[pairs["label"] == 1].groupby("left_id")
    good = matches["right_id"].agg(set)
    train = matches["split"].agg(lambda splits: "train" in set(splits))
    return left.set_index("left_id").loc[good.index], right, good.tolist(), train.to_numpy()


def texts_of(records: Table, fields: Iterable[str]) -> list[str]:
    """Fields of records end to end."""
    joined: list[str] = records[list(fields)].agg(" ".join, axis=1).tolist()
    return joined


def first_ranks(scores: np.ndarray, right: Table, good: list[set[Any]]) -> np.ndarray:
    """Rank of the best match of each row of scores; ties count against it by order."""
    order = np.argsort(-scores, axis=1, kind="stable")
    ids = right["right_id"].to_numpy()[order]
    hits = np.array([np.isin(row, list(wanted)) for row, wanted in zip(ids, good, strict=True)])
    return 1 + hits.argmax(axis=1)


def quality(ranks: np.ndarray) -> dict[str, float]:
    """MRR and recall at 1 and 10."""
    return {
        "mrr": float(np.mean(1 / ranks)),
        "recall_1": float(np.mean(ranks <= 1)),
        "recall_10": float(np.mean(ranks <= 10)),
    }


def matching() -> dict[str, Any]:
    """Everybody's parameters are chosen on left records of train pairs, by MRR."""
    import bm25s

    left, right, good, train = walmart_amazon()
    some = (
        FIELDS,
        ["title", "category", "brand", "modelno"],
        ["title", "brand", "modelno"],
        ["title", "modelno"],
        ["title"],
    )

    def tfidf(fields: list[str], sublinear: bool, ngrams: tuple[int, int]) -> np.ndarray:
        made = TfidfVectorizer(sublinear_tf=sublinear, ngram_range=ngrams)
        known = made.fit_transform(texts_of(right, fields))
        return (made.transform(texts_of(left, fields)) @ known.T).toarray()

    def theirs(fields: list[str], method: str, k1: float, b: float) -> np.ndarray:
        made = bm25s.BM25(method=method, k1=k1, b=b)
        plain = {"return_ids": False, "show_progress": False}
        made.index(bm25s.tokenize(texts_of(right, fields), **plain), show_progress=False)
        asked = bm25s.tokenize(texts_of(left, fields), **plain)
        return np.stack([made.get_scores(query) for query in asked])

    records = right.rename(columns={"right_id": "item_id"})

    def ours(weights: tuple[float, ...], k1: float, b: float) -> np.ndarray:
        fields = dict(zip(FIELDS, weights, strict=True))
        index = SearchIndex({f: w for f, w in fields.items() if w}, k1=k1, b=b).fit(records)
        found = index.search(texts_of(left, FIELDS), 200)
        block = np.zeros((len(left), len(right)), dtype=np.float32)
        places = np.searchsorted(index.item_ids_, found.items)
        rows, at = np.nonzero(found.items >= 0)
        block[rows, places[rows, at]] = found.scores[rows, at]
        return block[:, np.searchsorted(index.item_ids_, right["right_id"])]

    grids: dict[str, tuple[Callable[..., np.ndarray], list[tuple[Any, ...]]]] = {
        "scikit-learn TF-IDF cosine": (
            tfidf,
            list(product(some, (False, True), ((1, 1), (1, 2)))),
        ),
        "bm25s": (
            theirs,
            list(product(some[:3], ("lucene", "bm25+"), (0.5, 1.2, 2.0), (0.3, 0.75))),
        ),
        "SearchIndex": (
            ours,
            list(
                product(
                    (
                        (1.0, 1.0, 1.0, 1.0, 1.0),
                        (1.0, 0.3, 0.5, 2.0, 0.2),
                        (1.0, 0.1, 0.5, 2.0, 0.1),
                        (1.0, 0.3, 0.5, 4.0, 0.2),
                        (1.0, 0.0, 0.5, 1.0, 0.0),
                    ),
                    (0.5, 1.2, 2.0),
                    (0.25, 0.5, 0.75),
                )
            ),
        ),
    }
    found = {}
    for name, (score, grid) in grids.items():
        best: tuple[float, Any, Any] = (-1.0, None, None)
        first = None
        for given in grid:
            ranks = first_ranks(score(*given), right, good)
            first = quality(ranks) if first is None else first
            mrr = float(np.mean(1 / ranks[train]))
            if mrr > best[0]:
                best = (mrr, given, quality(ranks))
        found[name] = {
            "chosen": [*best[1]],
            "train_mrr": best[0],
            **best[2],
            "defaults": first,
        }
    return {"n": len(left), "n_train": int(train.sum()), "found": found} | _conditions()


# ---------------------------------------------------------------------- people


def words_of(text: str) -> list[str]:
    """Distinct words of three letters or more."""
    spaced = "".join(c if c.isalnum() else " " for c in text.lower())
    return [word for word in dict.fromkeys(spaced.split()) if len(word) > 2]


def searches(bought: Table, items: Table, n: int, seed: int, at_least: int = 20) -> Table:
    """Return purchases with two words of what was bought that `at_least` other items also hold."""
    rng = np.random.default_rng(seed)
    words = dict(zip(items["item_id"], map(words_of, items["description"]), strict=True))
    holders: dict[str, set[Any]] = {}
    for item, own in words.items():
        for word in own:
            holders.setdefault(word, set()).add(item)
    pairs = bought.drop_duplicates(["user_id", "item_id"])
    rows = []
    for at in rng.permutation(len(pairs)).tolist():
        user, item = pairs["user_id"].iloc[at], pairs["item_id"].iloc[at]
        own = words.get(item, [])
        if len(own) < 2:
            continue
        two = rng.choice(own, 2, replace=False)
        if len(holders[two[0]] & holders[two[1]]) > at_least:
            rows.append((user, " ".join(two), item))
        if len(rows) == n:
            break
    return Table(rows, columns=["user_id", "query", "item_id"])


def reciprocal_ranks(model: PersonalSearch, asked: Table, exclude_seen: bool) -> np.ndarray:
    """1 / rank of what was bought, 0 where it is no hit."""
    recs = model.recommend(
        asked["user_id"].tolist(),
        model.n_candidates,
        query=asked["query"].tolist(),
        exclude_seen=exclude_seen,
        unknown="skip",
    )
    return reciprocal(recs, asked)


def recommended_ranks(model: PersonalSearch, asked: Table, exclude_seen: bool) -> np.ndarray:
    """1 / rank of what was bought among the hits, by the recommender alone."""
    hits = model.index_.search(asked["query"].tolist(), model.n_candidates).items
    recs = model.recommender_.recommend(
        asked["user_id"].tolist(),
        model.n_candidates,
        candidates=[[item for item in row if item is not None] for row in hits.tolist()],
        exclude_seen=exclude_seen,
        unknown="skip",
    )
    return reciprocal(recs, asked)


def reciprocal(recs: Recommendations, asked: Table) -> np.ndarray:
    """1 / rank of what was bought, 0 where it is not there."""
    hit = recs.items == asked["item_id"].to_numpy(dtype=object)[:, None]
    found: np.ndarray = hit.any(axis=1) / (1.0 + hit.argmax(axis=1))
    return found


def interval(differences: np.ndarray, n: int = 10_000, seed: int = 0) -> list[float]:
    """Mean of paired differences, and its 95 % bootstrap interval."""
    rng = np.random.default_rng(seed)
    size = len(differences)
    means = [differences[rng.integers(0, size, size)].mean() for _ in range(n)]
    return [float(differences.mean()), *map(float, np.percentile(means, [2.5, 97.5]))]


def personal(
    recommender: BaseRecommender | None = None, n: int = 4000, seed: int = 0
) -> dict[str, Any]:
    """Tune the weight on the month before the last, measure on the last one.

    A stranger is a buyer whose history is hidden: the same searches, asked by nobody known.
    """
    shop = load_online_retail()
    bought = shop.events[shop.events["event"] == "purchase"]
    end = bought["timestamp"].max()
    last, before = end - pd.Timedelta("30D"), end - pd.Timedelta("60D")
    times = bought["timestamp"]
    recommender = ItemKNN() if recommender is None else recommender
    report: dict[str, Any] = {"recommender": repr(recommender), "n": n, "seed": seed}
    for name, exclude_seen in (("new to the buyer", True), ("all purchases", False)):
        model = PersonalSearch(recommender=recommender)
        for cut, stop in ((before, last), (last, end)):
            past = bought[times < cut]
            later = bought[(times >= cut) & (times <= stop)]
            if exclude_seen:
                known = pd.MultiIndex.from_frame(past[["user_id", "item_id"]].drop_duplicates())
                later = later[~pd.MultiIndex.from_frame(later[["user_id", "item_id"]]).isin(known)]
            asked = searches(later, shop.items, n, seed)
            model.fit(past, items=shop.items)
            is_known = asked["user_id"].isin(past["user_id"]).to_numpy()
            if cut == before:
                table = model.tune_weight(asked[is_known])
                weight = float(table["weight"].iloc[0])
        ranked = {}
        for part, value in (("search", 0.0), ("personal", weight)):
            model.set_params(weight=value)
            ranked[part] = reciprocal_ranks(model, asked, exclude_seen)
        ranked["recommender"] = recommended_ranks(model, asked, exclude_seen)
        buyers = {part: found[is_known] for part, found in ranked.items()}
        means = {part: float(found.mean()) for part, found in buyers.items()}
        best = max(("search", "recommender"), key=means.__getitem__)
        strangers = asked.assign(user_id=-7)
        nobody = {}
        for part, value in (("search", 0.0), ("personal", weight)):
            model.set_params(weight=value)
            nobody[part] = reciprocal_ranks(model, strangers, False)
        report[name] = {
            "n_buyers": int(is_known.sum()),
            "weight": weight,
            "mrr": means,
            "gain": interval(buyers["personal"] - buyers[best]),
            "best_part": best,
            "strangers": {part: float(found.mean()) for part, found in nobody.items()},
            "strangers_gain": interval(nobody["personal"] - nobody["search"]),
            "hits": float(np.mean(ranked["search"] > 0)),
        }
    return report | _conditions()


def _conditions() -> dict[str, Any]:
    return {"conditions": conditions(PACKAGES)}


def write(names: Iterable[str] = ("speed", "matching", "personal")) -> list[Path]:
    """Measure and write the results."""
    work = {"speed": speed, "matching": matching, "personal": personal}
    paths = []
    for name in names:
        path = RESULTS / f"search-{name}.json"
        path.write_text(json.dumps(work[name](), indent=1))
        paths.append(path)
    return paths


if __name__ == "__main__":
    print(*write(sys.argv[1:] or ("speed", "matching", "personal")), sep="\n")
