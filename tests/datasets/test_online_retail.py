import dataclasses
import runpy
import time
from importlib import resources
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ecomrec.datasets import Shop, load_online_retail

FOLDER = resources.files("ecomrec.datasets").joinpath("data")


@pytest.fixture(scope="module")
def shop():
    return load_online_retail()


@pytest.fixture(scope="module")
def script(pytestconfig):
    path = pytestconfig.rootpath / "scripts" / "make_online_retail.py"
    return SimpleNamespace(**runpy.run_path(str(path)))


@pytest.fixture(scope="module")
def transactions(shared_data):
    return pd.read_parquet(shared_data / "online-retail" / "transactions.parquet")


# What is in the package


def test_the_file_is_small_and_holds_no_pickles():
    with FOLDER.joinpath("online_retail.npz").open("rb") as file:
        assert len(file.read()) <= 2_500_000
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            assert all(stored[name].dtype.kind == "u" for name in stored.files)


def test_credit_licence_and_changes_are_given(shop):
    note = FOLDER.joinpath("online_retail_LICENSE.md").read_text(encoding="utf-8")
    assert note == shop.DESCR
    text = " ".join(note.split())
    for words in (
        "Chen, D., Sain, S. L. and Guo, K. (2012)",
        "https://doi.org/10.24432/C5BW33",
        "https://creativecommons.org/licenses/by/4.0/",
        "Changes made",
    ):
        assert words in text


@pytest.mark.slow
def test_loading_takes_less_than_half_a_second():
    def seconds():
        start = time.process_time()
        load_online_retail()
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) < 0.5


def test_every_call_gives_tables_of_its_own(shop):
    mine = load_online_retail()
    mine.events.loc[:, "quantity"] = 0
    assert load_online_retail().events["quantity"].min() == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        mine.events = shop.events


# What the tables say


def test_tables_and_columns_are_as_documented(shop):
    assert isinstance(shop, Shop)
    kinds = {name: dtype.kind for name, dtype in shop.events.dtypes.items()}
    assert {name: kind for name, kind in kinds.items() if kind in "ifM"} == {
        "user_id": "i",
        "timestamp": "M",
        "quantity": "i",
        "price": "f",
        "order_id": "i",
    }
    assert set(kinds) - {"item_id", "event"} == {
        "user_id",
        "timestamp",
        "quantity",
        "price",
        "order_id",
    }
    assert set(shop.events["event"]) == {"purchase", "return"}
    assert shop.items.columns.tolist() == ["item_id", "description", "price"]
    assert shop.users.columns.tolist() == ["user_id", "country"]
    assert all(isinstance(item, str) for item in shop.events["item_id"].head())


def test_no_value_is_missing_and_no_amount_is_zero(shop):
    for table in (shop.events, shop.items, shop.users):
        assert not table.isna().any(axis=None)
    assert shop.events["quantity"].min() >= 1
    assert shop.events["price"].min() >= 0.01
    assert shop.items["price"].min() >= 0.01


def test_items_and_users_are_those_of_the_events_once_each(shop):
    for name, table in (("item_id", shop.items), ("user_id", shop.users)):
        assert table[name].is_unique
        assert set(table[name]) == set(shop.events[name])


def test_only_real_products_are_left(shop):
    assert shop.items["item_id"].str.fullmatch(r"\d{5}[A-Z]{0,2}").all()
    descriptions = shop.items["description"].str.upper()
    for word in (
        "POSTAGE",
        "VOUCHER",
        "SAMPLE",
        "BANK CHARGES",
        "NEXT DAY",
        "PACKING CHARGE",
        "MANUAL",
        "HIGH RES",
    ):
        assert descriptions[descriptions.str.contains(word)].tolist() == []


def test_descriptions_are_tidy(shop):
    assert (shop.items["description"].str.split().str.join(" ") == shop.items["description"]).all()
    assert (
        shop.items.set_index("item_id").loc["85123A", "description"]
        == "WHITE HANGING HEART T-LIGHT HOLDER"
    )


def test_events_are_in_order_of_time_and_one_per_order_and_item(shop):
    events = shop.events
    assert events["timestamp"].is_monotonic_increasing
    assert not events.duplicated(["order_id", "item_id"]).any()
    per_order = events.groupby("order_id")[["user_id", "timestamp", "event"]].nunique()
    assert per_order.max().max() == 1
    assert str(events["timestamp"].iloc[0]) == "2010-12-01 08:26:00"
    assert str(events["timestamp"].iloc[-1]) == "2011-12-09 12:50:00"


def test_43_percent_of_the_pairs_of_the_last_month_were_bought_before(shop):
    bought = shop.events[shop.events["event"] == "purchase"]
    last_month = bought["timestamp"] >= "2011-11-09"
    before = bought[~last_month]
    pairs = bought[last_month & bought["user_id"].isin(before["user_id"])]
    pairs = pairs[["user_id", "item_id"]].drop_duplicates()
    repeated = pairs.merge(before[["user_id", "item_id"]].drop_duplicates())
    assert len(repeated) / len(pairs) == pytest.approx(0.43, abs=0.005)


# How it was made


def order_lines(*lines):
    names = ["invoice_no", "item_id", "description", "quantity", "unit_price", "user_id", "minute"]
    table = pd.DataFrame(lines, columns=names)
    return table.assign(
        timestamp=pd.Timestamp("2011-01-01") + pd.to_timedelta(table["minute"], unit="min"),
        user_id=table["user_id"].astype("Int32"),
        country="Malta",
        is_cancellation=table["invoice_no"].str.startswith("C"),
    )


def texts(lines):
    return lines.tobytes().decode().split("\n")


def test_script_leaves_out_strangers_services_and_gifts(script):
    arrays = script.build(
        order_lines(
            ("1", "12345", "MUG", 2, 1.5, 7, 0),
            ("1", "POST", "POSTAGE", 1, 5.0, 7, 0),
            ("1", "23444", "Next Day Carriage", 1, 5.0, 7, 0),
            ("1", "22222", "FREE LAMP", 1, 0.0, 7, 0),
            ("2", "33333", "LAMP", 1, 5.0, None, 1),
            ("C3", "D", "Discount", -1, 5.0, 7, 2),
        )
    )
    assert texts(arrays["item_id"]) == ["12345"]
    assert arrays["order_id"].tolist() == [1]
    assert arrays["event_quantity"].tolist() == [2]


def test_script_turns_cancellations_into_returns(script):
    arrays = script.build(
        order_lines(
            ("1", "12345", "MUG", 5, 1.5, 7, 0),
            ("C2", "12345", "MUG", -3, 1.5, 7, 9),
        )
    )
    assert arrays["order_is_return"].tolist() == [0, 1]
    assert arrays["event_quantity"].tolist() == [5, 3]
    assert np.diff(arrays["order_minute"].astype(int)).tolist() == [9]


def test_script_merges_lines_of_one_order_and_item(script):
    arrays = script.build(
        order_lines(
            ("1", "12345a", " WHITE  MUG ", 1, 2.0, 7, 1),
            ("1", "12345A", "WHITE MUG", 3, 1.0, 7, 0),
            ("2", "12345A", "MUG WHITE", 1, 2.0, 8, 5),
        )
    )
    assert texts(arrays["item_id"]) == ["12345A"]
    assert texts(arrays["item_description"]) == ["WHITE MUG"]
    assert arrays["event_quantity"].tolist() == [4, 1]
    assert arrays["event_pence"].tolist() == [125, 200]
    assert arrays["order_n_events"].tolist() == [1, 1]
    assert arrays["user_id"][arrays["order_user"]].tolist() == [7, 8]


def test_of_equally_frequent_descriptions_the_first_by_name_stays(script):
    arrays = script.build(
        order_lines(("1", "12345", "WHITE MUG", 1, 2.0, 7, 1), ("2", "12345", "MUG", 1, 2.0, 7, 2))
    )
    assert texts(arrays["item_description"]) == ["MUG"]


def test_script_makes_the_shop_that_ships(script, transactions):
    made = script.build(transactions)
    with FOLDER.joinpath("online_retail.npz").open("rb") as file, np.load(file) as stored:
        assert set(stored.files) == set(made)
        for name in stored.files:
            assert stored[name].dtype == made[name].dtype
            np.testing.assert_array_equal(stored[name], made[name], err_msg=name)


def test_script_writes_the_same_bytes_each_time(script, monkeypatch, tmp_path):
    source = tmp_path / "lines.parquet"
    order_lines(("1", "12345", "MUG", 1, 2.0, 7, 1)).to_parquet(source)
    for name in ("first", "second"):
        target = str(tmp_path / f"{name}.npz")
        monkeypatch.setattr("sys.argv", ["make", str(source), "--target", target])
        script.main()
        monkeypatch.setattr(time, "time", lambda: 2e9)
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


def test_loaded_events_are_the_order_lines_of_the_source(shop, transactions):
    product = transactions["item_id"].str.upper().str.fullmatch(r"\d{5}[A-Z]{0,2}")
    product &= ~transactions["item_id"].isin(["23444", "23574", "23702"])
    known = transactions[
        product & transactions["user_id"].notna() & (transactions["unit_price"] > 0)
    ]
    order = known["invoice_no"].str.replace("C", "").astype(int).rename("order_id")
    units = known["quantity"].abs().groupby([order, known["item_id"].str.upper()]).sum()
    loaded = shop.events.set_index(["order_id", "item_id"])["quantity"].sort_index()
    pd.testing.assert_series_equal(loaded, units, check_dtype=False)
    returned = shop.events.loc[shop.events["event"] == "return", "order_id"]
    assert set(returned) == set(order[known["is_cancellation"]])
    users = known.groupby(order)["user_id"].first()
    assert (shop.events.groupby("order_id")["user_id"].first() == users).all()
