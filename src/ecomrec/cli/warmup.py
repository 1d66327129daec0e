"""``ecomrec warmup``: compile every kernel once, so that no request or container start waits."""

from __future__ import annotations

import argparse
import math
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from ecomrec.cli.models import find_model, model_names
from ecomrec.cli.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

HELP = "compile every kernel once, for images and servers"
DESCRIPTION = """\
Compile every kernel once and keep the result on disk. Run it when an image is
built, as the last step and on the kind of processor that will serve: later
processes load what was compiled, also where the disk is read-only.
Set NUMBA_CACHE_DIR to choose the folder.
"""


_NEW_IDS = ((1, 1), (1, 8), (99, 99))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command: none of its own."""


def run(args: argparse.Namespace, progress: Progress) -> None:
    """Use every model in every way on a few events, and say where the compiled code is."""
    if not kernels():
        sys.stdout.write("nothing to compile: numba is switched off by NUMBA_DISABLE_JIT\n")
        return
    progress.note("compiling kernels, once: about a minute on a small machine")
    for name in model_names():
        with progress.step(f"compiling what {name} uses"):
            use_model(find_model(name)[1])
    with progress.step("compiling what a search uses"):
        use_index()
    with progress.step("compiling what rerankers use"):
        use_rerankers()
    with progress.step("compiling what places use"):
        use_places()
    with progress.step("compiling what learned rankers use"):
        use_rankers()
    with progress.step("compiling what private models use"):
        use_private()
    folders = sorted({path for kernel in kernels() if (path := kernel.stats.cache_path)})
    sys.stdout.write(f"{len(kernels())} kernels are compiled\n")
    for folder in folders:
        sys.stdout.write(f"cache: {folder}\n")
    if not folders:
        sys.stdout.write("cache: none; kernels are compiled again in every process\n")


def kernels() -> list[Any]:
    """Return every kernel of the library, none where numba is switched off."""
    package = import_module("ecomrec.kernels")
    modules = [
        import_module(f"{package.__name__}.{m.name}") for m in iter_modules(package.__path__)
    ]
    found = {id(f): f for m in modules for f in vars(m).values() if hasattr(f, "signatures")}
    return list(found.values())


def is_cached() -> bool:
    """Whether compiled code of an earlier run is there to be loaded."""
    paths = {kernel.stats.cache_path for kernel in kernels()} - {None}
    return any(next(Path(path).glob("*.nbi"), None) for path in paths)


def use_model(estimator: type[Any]) -> None:
    """Call everything that one estimator can do: its defaults on all data, its variants on one."""
    tables = list(_tables())
    items = tables[0][["item_id"]].drop_duplicates().assign(available=True)
    needed = None
    if estimator._reads_items:
        titles = [f"thing {item // 2}" for item in items["item_id"]]
        needed = items = items.assign(title=titles, category="things", price=1.0)
    targets = [{"target": "rating"}] if "target" in estimator._param_rules else []
    for params in ({}, *targets):
        for events in tables:
            _use(estimator(**params), events, needed)
        _use(estimator(**params), tables[0], items)
    for params in _variants(estimator):
        for common in ({}, *targets):
            _use(estimator(**{**common, **params}), tables[0], needed)


def use_index() -> None:
    """Call everything that a search index can do."""
    import pandas as pd

    from ecomrec.base import load
    from ecomrec.content import SearchIndex

    items = pd.DataFrame(
        {"item_id": range(4), "title": "red thing", "brand": ["a", "b", "a", "b"]}
    )
    index = SearchIndex(prefix=True, typos=1).fit(items)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "index.ecomrec")
        index.save(path)
        for one in (index, load(path), load(path, mmap=True)):
            one.search(["red thinh", "red thi"], where={"brand": "a"}, exclude=[1])
            one.search("red", k=2)
            for more in (items.assign(item_id=range(3, 7)), items.assign(title="blue thing")):
                one.add(more).search("blue thinh", k=2)
            one.remove([0]).refresh().search("blue", k=2)


def use_rerankers() -> None:
    """Put a list into every other order there is."""
    import numpy as np
    import pandas as pd

    from ecomrec import hybrid
    from ecomrec.base import Recommendations

    items = pd.DataFrame({"item_id": range(4), "title": "thing", "category": ["a", "b", "a", "b"]})
    recs = Recommendations(np.arange(4)[None], np.arange(4, 0, -1.0)[None], [0])
    hybrid.MMR().fit(items=items).rerank(recs)
    hybrid.DPP().fit(items=items).rerank(recs)
    hybrid.Calibrated().fit(items=items).rerank(recs, history=[[0]])
    hybrid.CategoryCap().fit(items=items).rerank(recs)
    hybrid.ExposureFairness(column="category").fit(items=items).rerank(recs)


def use_places() -> None:
    """Ask what is near."""
    import pandas as pd

    from ecomrec.coldstart import Nearby

    events = pd.DataFrame({"user_id": ["a", "b"], "item_id": [0, 1]})
    spots = {"lat": [52.5, 48.1, 52.4], "lon": [13.4, 11.6, 13.1]}
    items = pd.DataFrame({"item_id": [0, 1, 2], **spots})
    users = pd.DataFrame({"user_id": ["a", "b", "c"], **spots})
    model = Nearby().fit(events, items=items, users=users)
    model.recommend(["a", "c"], k=2)
    model.recommend(["a"], k=2, exclude_seen=False)
    model.predict([("a", 1)])
    model.similar_items([0], k=2)
    model.similar_users(["a"], k=2)
    model.recommend(history=[[0]], k=2)


def use_rankers() -> None:
    """Ask boosted trees."""
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingRegressor

    from ecomrec.persistence.learners import frozen

    rows = np.arange(80.0)[:, None]
    frozen(HistGradientBoostingRegressor(max_iter=1).fit(rows, rows[:, 0])).predict(rows)


def use_private() -> None:
    """Fit and ask private models, and draw every kind of noise."""
    import numpy as np

    from ecomrec import privacy
    from ecomrec._registry import ESTIMATORS
    from ecomrec.base import load

    tables = list(_tables())
    items = tables[0][["item_id"]].drop_duplicates().assign(available=True)
    # Those of the extra opacus run on torch.
    names = [n for n, home in ESTIMATORS.items() if home == "ecomrec.privacy"]
    for name in sorted({*names} - {"DPTwoTower"}):
        estimator = getattr(privacy, name)
        variants: list[dict[str, Any]] = [{"epsilon": math.inf}, *_variants(estimator)]
        if "budget_split" in estimator._param_rules:
            variants.append({"budget_split": (0.1, 0.1, 0.2, 0.6)})
        for params in variants:
            for events in tables:
                model = estimator(**{"epsilon": 100.0, "delta": 0.01, **params})
                with suppress(ValueError):
                    model.fit(events, items=items)
                if not model.__sklearn_is_fitted__():
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder, "model.ecomrec")
                    model.save(path)
                    for one in (model, load(path), load(path, mmap=True)):
                        _ask_by_history(one)
    ones = np.ones(3, dtype=np.int64)
    privacy.DiscreteGaussianMechanism(1.0).release(ones)
    privacy.DiscreteLaplaceMechanism(1.0).release(ones)


def _variants(estimator: type[Any]) -> Iterator[dict[str, Any]]:
    """Yield each switch, and each word that a parameter's rule names, one at a time."""
    for name, rule in estimator._param_rules.items():
        for value in (True, False, *re.findall(r"'([^']+)'", rule.words)):
            if rule.accepts(value):
                yield {name: value}


def _tables() -> Iterator[pd.DataFrame]:
    """Yield the kinds of event tables: all there is, with ratings, with weights, and plain."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    users, items = np.divmod(rng.permutation(12 * 9)[:60], 9)
    plain = pd.DataFrame({"user_id": users, "item_id": items})
    strength = rng.integers(1, 6, len(plain))
    times = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(len(plain)), unit="D")
    yield plain.assign(weight=strength * 1.0, rating=strength, timestamp=times)
    yield plain.assign(rating=strength * 1.0)
    yield plain.assign(weight=strength)
    yield plain


def _use(model: Any, events: pd.DataFrame, items: pd.DataFrame | None = None) -> None:
    """Fit and ask one model for everything, update it, and do so with what a file gives."""
    from ecomrec.base import load

    with suppress(ValueError):
        # Parameters that do not go together, or not with these events, are refused here.
        model.fit(events, items=items)
    if not model.__sklearn_is_fitted__():
        return
    # Nothing new, then a pair that is new, then a user and an item that nobody has seen.
    batches = [events.iloc[:3].assign(user_id=[0, 1, u], item_id=[0, i, 1]) for u, i in _NEW_IDS]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.ecomrec")
        model.save(path)
        for other in (model, load(path), load(path, mmap=True)):
            _ask(other)
            for batch in batches:
                _ask(other.partial_fit(batch))
            _ask(other.forget(users=[2], items=[3]))
            other.refresh()
    if hasattr(model, "build_index"):
        _ask(model.build_index("int8"))
        _ask(model.compress("int8"))


def _ask(model: Any) -> None:
    users, items = model.user_ids_[:2].tolist(), model.item_ids_[:4].tolist()
    model.recommend(users, k=3)
    model.recommend(users[:1], k=3, exclude_seen=False)
    model.recommend(users, k=3, candidates=items, exclude=items[:1])
    model.recommend(users, k=3, candidates=[items, items[:2]], exclude=[items[:1], []])
    model.recommend(history=[items[:2], items[2:]], k=3)
    model.recommend(users, history=[items[:2], items[2:]], k=3)
    model.predict([(users[0], items[0]), (users[1], items[1])])
    model.similar_items(items[:2], k=3)
    model.similar_users(users, k=3)
    with suppress(NotImplementedError):
        model.explain(users[0], items[0])
        model.explain(history=items[:2], item=items[2])


def _ask_by_history(model: Any) -> None:
    items = model.item_ids_[:4].tolist()
    histories = [items[:2], items[2:]]
    model.recommend(history=histories, k=3)
    model.recommend(history=histories[:1], k=3, exclude_seen=False)
    model.recommend(history=histories, k=3, candidates=items, exclude=items[:1])
    model.recommend(history=histories, k=3, candidates=[items, items[:2]])
    model.similar_items(items[:2], k=3)
    with suppress(NotImplementedError):
        model.explain(history=items[:2], item=items[2])
