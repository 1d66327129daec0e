"""Files that somebody changed: what they say is checked before a model uses it."""

import contextlib
import faulthandler
import json
import os
import signal
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from tests.test_contract import VARIANTS

import ecomrec
from ecomrec import persistence
from ecomrec._registry import ESTIMATORS
from ecomrec.base import restored
from ecomrec.cf import BPR, ItemKNN, UserKNN
from ecomrec.exceptions import FileFormatError
from ecomrec.privacy import DPPopularity, PrivacyLedger
from ecomrec.state import pack_parameter, unpack_parameter
from ecomrec.testing._logs import seeded, shop_log

SHOP = (np.random.default_rng(0).random((40, 12)) < 0.3).astype(float)

# ------------------------------------------------------------------ components


def test_a_file_makes_no_ledger(tmp_path):
    manifest, arrays = DPPopularity(epsilon=1.0)._packed()
    ledger = {"path": str(tmp_path / "made"), "epsilon": 9.0, "delta": 1e-6}
    manifest["params"]["ledger"] = {"component": ["PrivacyLedger", ledger]}
    persistence.write(tmp_path / "model", manifest, arrays)
    with pytest.raises(FileFormatError, match="PrivacyLedger with delta, epsilon, path"):
        ecomrec.load(tmp_path / "model")
    assert [found.name for found in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("params", [{}, {"path": None}, {"path": ["x"]}, {"path": 3}])
def test_a_ledger_in_a_file_is_a_path(params):
    with pytest.raises(FileFormatError, match="only the path of a ledger"):
        unpack_parameter({"component": ["PrivacyLedger", params]})


def test_a_model_finds_its_ledger_again_and_makes_none(tmp_path):
    PrivacyLedger(tmp_path / "l", 1.0, 1e-6)
    DPPopularity(epsilon=1.0, ledger=PrivacyLedger(tmp_path / "l")).save(tmp_path / "model")
    assert ecomrec.load(tmp_path / "model").ledger.epsilon == 1.0
    (tmp_path / "l").unlink()
    assert ecomrec.load(tmp_path / "model").ledger.path == str(tmp_path / "l")
    assert [found.name for found in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("component", "named"),
    [
        (CountVectorizer(input="filename"), "CountVectorizer with input"),
        (TfidfVectorizer(input="file"), "TfidfVectorizer with input"),
        (make_pipeline(Ridge(), memory="cache"), "Pipeline with memory"),
    ],
)
def test_components_that_read_files_are_neither_saved_nor_loaded(component, named):
    with pytest.raises(TypeError, match=f"Cannot save this model: a {named}"):
        pack_parameter(component)
    option = named.split()[-1]
    packed = {"component": [named.split()[0], {option: getattr(component, option)}]}
    with pytest.raises(FileFormatError, match=named):
        unpack_parameter(packed)


@pytest.mark.parametrize(
    "params",
    [
        {"forcedsplits_filename": "splits.json"},
        {"objective": "binary forcedsplits_filename=splits.json"},
        {"metric": ["ndcg", "map data=/etc/passwd"]},
        {"max_bin=3 forcedsplits_filename=splits.json x": 1},
        {"valid": ["a", "b"]},
    ],
)
def test_lightgbm_gets_no_path_from_a_file(params):
    lightgbm = pytest.importorskip("lightgbm")
    with pytest.raises(FileFormatError, match="LGBMRanker with"):
        unpack_parameter({"component": ["LGBMRanker", params]})
    with pytest.raises(TypeError, match="Cannot save this model: a LGBMRanker with"):
        pack_parameter(lightgbm.LGBMRanker(**params))


def test_numbers_and_words_for_lightgbm_come_back():
    lightgbm = pytest.importorskip("lightgbm")
    given = {"verbosity": -1, "metric": ["ndcg@5", "map"], "objective": "rank_xendcg"}
    back = unpack_parameter(pack_parameter(lightgbm.LGBMRanker(**given)))
    assert given.items() <= back.get_params().items()


# ------------------------------------------------------------------ learned arrays

MODELS = [
    pytest.param(VARIANTS[name][0], id=name) for name in sorted(ESTIMATORS.keys() - {"DPTwoTower"})
] + [
    pytest.param(kind(target="rating"), id=f"{kind.__name__}-rating")
    for kind in (ItemKNN, UserKNN)
]


def through_bytes(manifest, arrays):
    """Load what a file of a manifest and arrays would hold, with a seal that is right."""
    parts = persistence.encoded(manifest, arrays)
    raw = np.frombuffer(b"".join(bytes(part) for part in parts), dtype=np.uint8).copy()
    return restored("the file", *persistence.decoded(raw, verify=True))


def used(model, log):
    """Ask a model all there is to ask, and let it learn; errors are answers."""
    users, items = log.user_ids[:6], log.item_ids[:6]
    for ask in (
        lambda: model.recommend(users, k=5),
        lambda: model.recommend(history=[items[:3]], k=5),
        lambda: model.similar_items(items, k=3),
        lambda: model.similar_users(users, k=3),
        lambda: model.predict([(u, i) for u in users for i in items]),
        lambda: model.explain(users[0], items[-1]),
        lambda: model.partial_fit(log.events.head(10)),
        lambda: model.refresh(),
        lambda: model.recommend(users, k=5),
        lambda: model.forget(users=users[:1]),
        lambda: model.recommend(users[1:], k=5),
    ):
        with contextlib.suppress(Exception):
            ask()


def signal_of(model, log):
    """Use a model in a child process; the number of the signal that ends it, or 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of BLAS: none runs now
        child = os.fork()
    if child == 0:
        try:
            faulthandler.disable()
            signal.alarm(60)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                used(model, log)
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def changed(array):
    """An array cut to its first row or to nothing, and with a first number that cannot be."""
    for n in (0, 1):
        if array.ndim and len(array) > n:
            yield f"cut to {n}", array[:n].copy()
    if array.dtype.kind in "iu" and array.size:
        limits = np.iinfo(array.dtype)
        for value in (min(limits.max, 2**30), max(limits.min, -7)):
            other = array.copy()
            other.flat[0] = value
            yield f"first {value}", other


def one_of(model):
    """A model of a kind, fitted, as a manifest and arrays, and the log it was fitted on."""
    model = seeded(clone(model))
    log = shop_log(model, n_users=40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seeded noise is no secret here
        return *log.fit(model)._packed(), log


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("model", MODELS)
def test_arrays_that_do_not_fit_are_refused_or_do_no_harm(model):
    manifest, arrays, log = one_of(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        used(through_bytes(manifest, arrays), log)  # kernels are compiled here
    deaths, n_refused = [], 0
    for which, array in arrays.items():
        for how, other in changed(np.asarray(array)):
            try:
                loaded = through_bytes(manifest, {**arrays, which: other})
            except FileFormatError:
                n_refused += 1
                continue
            if number := signal_of(loaded, log):
                deaths.append(f"{which}, {how}: {signal.Signals(number).name}")
    assert not deaths
    assert n_refused


def test_one_changed_bit_in_a_row_number_is_refused_by_name(tmp_path):
    path = tmp_path / "model"
    BPR(8, random_state=0, max_iter=2).fit(SHOP).save(path)
    raw = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    raw[start + header["learned.rivals"]["data_offsets"][0] + 3] ^= 0x20
    path.write_bytes(raw)
    with pytest.raises(FileFormatError, match="the array rivals does not fit"):
        ecomrec.load(path)


def test_a_model_of_pairs_has_rivals():
    manifest, arrays = BPR(8, random_state=0, max_iter=2).fit(SHOP)._packed()
    with pytest.raises(FileFormatError, match="the array rivals does not fit"):
        through_bytes(manifest, {**arrays, "learned.rivals": arrays["learned.rivals"][:0]})


@pytest.mark.parametrize("name", ["norms", "stale", "idf"])
def test_arrays_have_the_type_that_kernels_take(name):
    manifest, arrays = ItemKNN().fit(SHOP)._packed()
    other = arrays[f"learned.{name}"].astype(np.float32)
    with pytest.raises(FileFormatError, match=f"the array {name} does not fit"):
        through_bytes(manifest, {**arrays, f"learned.{name}": other})


@pytest.mark.parametrize("model", [ItemKNN(), UserKNN(target="rating")])
def test_ranks_are_those_of_a_permutation(model):
    manifest, arrays = model.fit(SHOP)._packed()
    name = "learned.rank" if "learned.rank" in arrays else "learned.by_rank"
    for change in ([0, 0], [-1, 1], [1, 1 << 20]):
        ranks = arrays[name].copy()
        ranks[:2] = change
        with pytest.raises(FileFormatError, match=r"the array \w*rank does not fit"):
            through_bytes(manifest, {**arrays, name: ranks})


def test_similarities_of_users_are_not_those_of_items():
    manifest, arrays = UserKNN().fit(SHOP)._packed()
    params = ItemKNN()._packed()[0]["params"]
    with pytest.raises(FileFormatError, match="the similarities are not those of its ids"):
        through_bytes(manifest | {"class": "ItemKNN", "params": params}, arrays)


@pytest.mark.parametrize("dtype", [np.uint64, np.float64])
def test_rows_begin_at_integers_that_may_fall(dtype):
    manifest, arrays = ItemKNN().fit(SHOP)._packed()
    starts = arrays["shop.indptr"].astype(dtype)
    with pytest.raises(FileFormatError, match="the rows of shop do not fit"):
        through_bytes(manifest, {**arrays, "shop.indptr": starts})


@pytest.mark.parametrize("name", ["available", "listed_items", "listed_users"])
def test_flags_are_one_for_each_id(name):
    manifest, arrays = ItemKNN().fit(SHOP)._packed()
    for flags in (np.ones(3, dtype=bool), np.ones(12, dtype=np.int8)):
        with pytest.raises(FileFormatError, match=f"the array {name} does not fit the ids"):
            through_bytes(manifest, {**arrays, name: flags})


@pytest.mark.parametrize("model", [m for m in MODELS if not str(m.id).startswith("DP")])
def test_models_that_learned_more_are_saved_and_loaded(model):
    manifest, arrays, log = one_of(model)
    loaded = through_bytes(manifest, arrays)
    table = log.events.head(12).copy()
    table["user_id"] = [f"new {n}" if n % 3 else user for n, user in enumerate(table["user_id"])]
    table["item_id"] = [f"new {n}" if n % 2 else item for n, item in enumerate(table["item_id"])]
    for learn in (
        lambda model: model.partial_fit(table),
        lambda model: model.forget(users=log.user_ids[:2], items=log.item_ids[:1]),
        lambda model: model.refresh(),
    ):
        loaded = through_bytes(*learn(loaded)._packed())
        assert loaded.recommend(log.user_ids[3:6], k=3).items.shape == (3, 3)
