"""P10: nothing of any user is left in a private model, its files, its words."""

import logging
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import ecomrec
from ecomrec._registry import ESTIMATORS
from ecomrec.datasets import make_shop
from ecomrec.exceptions import DataError
from ecomrec.privacy import DPPopularity, PrivacyLedger, SeededNoise

PLANTED = "mallory-7f3a9"
ODD = "catalogue-stranger-55d1"


def private_models():
    names = sorted(n for n, home in ESTIMATORS.items() if home == "ecomrec.privacy")
    return [getattr(ecomrec.privacy, name)() for name in names if name != "DPTwoTower"]


@pytest.fixture(scope="module")
def log():
    shop = make_shop(60, 30, 900, 3, random_state=1)
    events = shop.events[["user_id", "item_id"]].astype(str).assign(weight=1.0)
    pattern = [str(i) for i in (2, 3, 5, 7, 11)]
    planted = pd.DataFrame(
        {"user_id": PLANTED, "item_id": [*pattern, ODD], "weight": [*([3.1415926] * 5), np.nan]}
    )
    return pd.concat([events, planted], ignore_index=True), shop.items.astype({"item_id": str})


@pytest.mark.parametrize("model", private_models(), ids=repr)
@pytest.mark.parametrize("epsilon", [1.0, float("inf")])
def test_nothing_of_a_user_is_left(model, epsilon, log, tmp_path, caplog, capfd):
    events, items = log
    ledger = PrivacyLedger(tmp_path / "ledger", 100.0, 1e-5)
    model = clone(model).set_params(epsilon=epsilon, ledger=ledger)
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(events, items=items)
    model.save(tmp_path / "model")
    words = [
        repr(model), model._repr_html_(), str(vars(model)), str(model.__getstate__()), caplog.text,
        model.privacy_report_.to_json(), *capfd.readouterr(), repr(model._state),
    ]  # fmt: skip
    files = [path.read_bytes() for path in tmp_path.iterdir()] + [pickle.dumps(model)]
    users = [
        PLANTED,
        ODD,
        *(f"'{user}'" for user in set(events["user_id"]) - set(items["item_id"])),
    ]
    for secret in users:
        assert not any(secret in text for text in words), secret
        assert not any(secret.encode() in data for data in files), secret
    assert not any(np.float32(3.1415926).tobytes() in data for data in files)
    # What is held: the catalogue, arrays that were released, the report.
    state = model._state
    assert set(vars(state)) <= {
        "interactions", "learned", "available", "from_table", "report", "by_popularity",
    }  # fmt: skip
    assert state.interactions.n_users == 0
    assert state.interactions.n_entries == 0
    for name, value in vars(state.learned).items():
        assert (
            isinstance(value, (np.ndarray, float, int, str))
            or value is None
            or hasattr(value, "n_rows")
        ), name
        if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind == "f":
            assert value.shape[0] != len(set(events["user_id"])), name


@pytest.mark.parametrize(
    ("name", "value"), [("user_id", 1.5), ("item_id", 1.5), ("weight", "secret"), ("user_id", -1)]
)
def test_errors_name_no_value(log, name, value):
    events, items = log
    broken = events.assign(**{name: value})
    with pytest.raises(DataError) as error:
        DPPopularity().fit(broken, items=items)
    assert str(value) not in str(error.value)
    assert name in str(error.value)


def test_saving_a_model_with_seeded_noise_warns(log, tmp_path):
    events, items = log
    model = DPPopularity(noise_source=SeededNoise(3)).fit(events, items=items)
    with pytest.warns(UserWarning, match="came from a seed"):
        model.save(tmp_path / "model")
    again = ecomrec.load(tmp_path / "model")
    assert again.privacy_report_ == model.privacy_report_
    assert not again.privacy_report_.secure_noise
