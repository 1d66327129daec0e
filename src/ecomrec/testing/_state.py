"""Checks of pickles and of saved files."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from ecomrec import persistence
from ecomrec._registry import ESTIMATORS
from ecomrec.base import BaseRecommender, load
from ecomrec.exceptions import FileFormatError
from ecomrec.testing._answers import (
    assert_equal_bits,
    assert_refused,
    assert_same_models,
    everything,
    quick_files,
    saved_bytes,
)
from ecomrec.testing._checks import check, for_all
from ecomrec.testing._logs import Log, is_private, logs, shop_log


def _is_ours(model: BaseRecommender) -> bool:
    return ESTIMATORS.get(type(model).__name__) == type(model).__module__.rpartition(".")[0]


def _learn_more(fitted: Any, log: Log) -> None:
    """Take in a batch, and forget a user if that leaves an event; a private model is refitted."""
    if is_private(fitted):
        fitted.fit(log.events.head(3), **log.sides)
        return
    fitted.partial_fit(log.events.head(3))
    gone = log.user_ids[1:2]
    if len(log.without(gone).events):
        fitted.forget(users=gone)


@check(private=True)
def check_pickle_keeps_answers(model: BaseRecommender) -> None:
    """A pickled model answers as before, and goes on learning."""

    def holds(log: Log) -> None:
        fitted = log.fit(model)
        copy = pickle.loads(pickle.dumps(fitted))
        assert_equal_bits(everything(fitted), everything(copy), "a model and its pickle")
        again = pickle.loads(pickle.dumps(copy))
        for one in (fitted, again):
            _learn_more(one, log)
        assert_equal_bits(everything(fitted), everything(again), "later answers")

    for_all(holds, logs(model), share=0.5)
    unfitted = pickle.loads(pickle.dumps(clone(model)))
    assert repr(unfitted) == repr(model)
    assert not hasattr(unfitted, "item_ids_")


@check(private=True)
def check_save_load_keeps_answers(model: BaseRecommender) -> None:
    """A saved model answers as before, read, checked or mapped, and goes on learning."""

    def holds(log: Log) -> None:
        fitted = log.fit(model)
        with quick_files() as path:
            fitted.save(path)
            blob = path.read_bytes()
            learning = log.fit(model)
            _learn_more(learning, log)
            for options in ({"verify": True}, {"mmap": True}):
                read: Any = type(model).load(path, **options)
                assert repr(read.get_params()) == repr(fitted.get_params())
                assert_equal_bits(everything(fitted), everything(read), f"a file with {options}")
                assert saved_bytes(read) == blob, "a second save differs."
                _learn_more(read, log)
                assert_same_models(learning, read, f"a file with {options} and more events")
            assert path.read_bytes() == blob, "a mapped model wrote to its file."

    for_all(holds, logs(model), share=0.25)
    with quick_files() as path:
        unfitted = clone(model)
        unfitted.save(path)
        read = type(model).load(path)
        assert repr(read) == repr(unfitted)
        assert not hasattr(read, "item_ids_")
        for kind in ("str", "int", "bytes", "uuid", "tuple"):
            fitted = shop_log(model, ids=kind).fit(model)
            fitted.save(path)
            read = load(path, verify=True) if _is_ours(model) else type(model).load(path)
            assert type(read) is type(model)
            assert_equal_bits(everything(fitted), everything(read), f"a file with {kind} ids")


@check()
def check_lazy_state_is_saved(model: BaseRecommender) -> None:
    """A model saved right after an update, before anything was asked, loses nothing."""
    log = shop_log(model)
    first, later = log.split(25)
    with quick_files() as path:
        fitted = first.fit(model).partial_fit(later.events, **later.sides)
        fitted.save(path)
        copy = pickle.loads(pickle.dumps(fitted))
        read = type(model).load(path, mmap=True)
        for name, other in {"a pickle": copy, "a file": read}.items():
            assert_equal_bits(everything(fitted), everything(other), f"a model and {name}")
        fitted.forget(items=["i3"]).save(path)
        read = type(model).load(path)
        assert_equal_bits(everything(fitted), everything(read), "a model that forgot and its file")


@check(private=True)
def check_foreign_files_are_refused(model: BaseRecommender) -> None:
    """A file of another class, of another kind or cut short is refused with its name."""
    fitted = shop_log(model).fit(model)
    with quick_files() as path:
        fitted.save(path)
        manifest, arrays = persistence.read(path)

        def read() -> None:
            everything(type(model).load(path, verify=True))

        blob = path.read_bytes()
        persistence.write(path, {**manifest, "class": "os.system"}, arrays)
        for open_file in (type(model).load, load):
            with pytest.raises(FileFormatError, match=r"os\.system"):
                open_file(path)
        persistence.write(path, {**manifest, "params": {"what": 1}}, arrays)
        with pytest.raises(FileFormatError, match=type(model).__name__):
            type(model).load(path)
        for name in list(arrays)[:6]:
            fewer = {key: values for key, values in arrays.items() if key != name}
            persistence.write(path, manifest, fewer)
            assert_refused(read, FileFormatError, "", f"a file without {name}")
        for size in np.linspace(0, len(blob) - 1, 12).astype(int):
            path.write_bytes(blob[:size])
            assert_refused(read, FileFormatError, "", f"a file cut to {size} of {len(blob)} bytes")
        path.write_bytes(b"PK" + blob)
        assert_refused(read, FileFormatError, "", "a file with two bytes before it")
        path.write_bytes(blob)
        for place in np.linspace(len(blob) // 2, len(blob) - 1, 9).astype(int):
            damaged = bytearray(blob)
            damaged[place] ^= 0x41
            path.write_bytes(damaged)
            assert_refused(read, FileFormatError, "", f"a file damaged at byte {place}")
