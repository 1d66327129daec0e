import datetime

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from sklearn.base import clone

from ecomrec.exceptions import DataError
from ecomrec.privacy import (
    KAnonymizer,
    generalize_numbers,
    generalize_places,
    generalize_regions,
    generalize_timestamps,
    risk_report,
    shift_timestamps,
)
from ecomrec.privacy.exports.anonymize import shared_rows
from ecomrec.privacy.exports.risk import _wilson

KINDS = {
    "pandas": pd.DataFrame,
    "nullable pandas": lambda columns: pd.DataFrame(columns).convert_dtypes(),
    "polars": lambda columns: pl.DataFrame(columns, strict=False),
    "arrow": pa.table,
}
NOON = datetime.datetime(2026, 11, 21, 12, 30, 5)


@pytest.fixture(params=KINDS)
def make(request):
    return KINDS[request.param]


def cells(table, name):
    values = table[name]
    return values.to_pylist() if isinstance(table, pa.Table) else values.to_list()


@st.composite
def logs(draw):
    n = draw(st.integers(0, 30))
    columns = {
        "user_id": st.integers(0, 6),
        "item_id": st.sampled_from("abcd"),
        "age": st.sampled_from([20, 30, None]),
        "price": st.floats(-5, 100, width=32).map(lambda x: x + 0.0) | st.just(np.nan),
        "timestamp": st.datetimes(datetime.datetime(2020, 1, 1), datetime.datetime(2027, 1, 1)),
    }
    found = {
        name: draw(st.lists(values, min_size=n, max_size=n)) for name, values in columns.items()
    }
    table = pd.DataFrame(found).astype({"age": "float64", "price": "float64"})
    return table.astype({"user_id": "int64", "item_id": "str", "timestamp": "datetime64[us]"})


@st.composite
def makers(draw):
    return KAnonymizer(
        draw(st.integers(1, 4)),
        min_events=draw(st.integers(1, 3)),
        quasi_identifiers=draw(st.sampled_from([(), ("age",), ("age", "price")])),
        times=draw(st.sampled_from([None, "hour", "day", "week", "month", "quarter", "year"])),
        numbers=draw(st.sampled_from([None, {"price": [0, 10, 50]}])),
    )


def holds(table, made):
    """Whether the three promises hold."""
    by_item = table.groupby("item_id")["user_id"].nunique()
    ok = (by_item >= made.k).all() and (table["user_id"].value_counts() >= made.min_events).all()
    if made.quasi_identifiers:
        by_class = table.groupby(list(made.quasi_identifiers), dropna=False)["user_id"].nunique()
        ok = ok and (by_class >= made.k).all()
    return bool(ok)


# The promise


@given(logs(), makers())
def test_what_comes_out_keeps_the_promise(table, made):
    out = made.fit_transform(table)
    assert holds(out, made)
    assert list(out.columns) == list(table.columns)
    assert out.index.tolist() == list(range(len(out)))


@given(logs(), makers())
def test_doing_it_again_changes_nothing(table, made):
    once = made.fit_transform(table)
    pd.testing.assert_frame_equal(made.fit_transform(once), once)


@given(logs(), makers(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(table, made, random):
    order = list(table.index)
    random.shuffle(order)
    table["row"] = table.index
    wanted = made.fit_transform(table)
    found = made.fit_transform(table.loc[order])
    pd.testing.assert_frame_equal(found.sort_values("row", ignore_index=True), wanted)


@given(logs(), makers())
def test_no_larger_part_of_the_table_keeps_it(table, made):
    # Users and groups dropped in any order, one at a time, come to the same rows.
    coarse = table.assign(**{
        name: KAnonymizer(1, times=made.times, numbers=made.numbers).fit_transform(table)[name]
        for name in ("price", "timestamp")
    })  # fmt: skip
    left = coarse
    while not holds(left, made):
        groups = [["item_id"], *([list(made.quasi_identifiers)] if made.quasi_identifiers else [])]
        counts = left.groupby("user_id")["user_id"].transform("size")
        bad = left[counts < made.min_events]
        for group in groups:
            n_users = left.groupby(group, dropna=False)["user_id"].transform("nunique")
            bad = bad if len(bad) else left[n_users < made.k]
        left = left.drop(index=bad.index[-1])
    kept = made.fit_transform(table.assign(row=table.index))
    assert kept["row"].tolist() == left.index.tolist()


def test_dropping_goes_on_until_nothing_changes():
    # Each round takes the last pair, which the pair before it needed.
    n = 40
    users = np.repeat(np.arange(n), 2)
    items = np.repeat(np.arange(n + 1), 2)[1:-1].astype(np.int64)
    keep = shared_rows(users, [items], 2, 2)
    assert not keep.any()
    assert shared_rows(users, [items], 1, 2).all()
    assert shared_rows(users[:0], [items[:0]], 5, 5).tolist() == []


def test_tables_keep_their_kind(make):
    table = make(
        {
            "user_id": ["ann", "bob", "bob", "cleo"],
            "item_id": ["tea", "tea", "rare", "tea"],
            "timestamp": [NOON] * 4,
            "price": [3.5, 12.0, 9.0, None],
            "lat": [47.3769, 47.41, 0.0, -0.01],
            "city": ["Zurich", "Bern", "Bern", "Paris"],
        }
    )
    made = KAnonymizer(
        3,
        times="week",
        numbers={"price": [0, 10]},
        places={"lat": 1},
        regions={"city": {"Zurich": "ZH", "Bern": "BE"}},
    )
    out = made.fit_transform(table)
    assert type(out) is type(table)
    assert cells(out, "user_id") == ["ann", "bob", "cleo"]
    assert [str(t)[:10] for t in cells(out, "timestamp")] == ["2026-11-16"] * 3
    assert cells(out, "price")[:2] == [0, 10]
    assert pd.isna(cells(out, "price")[2])
    assert cells(out, "lat") == [47.4, 47.4, 0.0]
    assert cells(out, "city")[:2] == ["ZH", "BE"]
    assert pd.isna(cells(out, "city")[2])
    again = made.fit_transform(out)
    for name in ("user_id", "timestamp", "lat"):
        assert cells(again, name) == cells(out, name)


# Cells that can be told apart


def nanoseconds(kind):
    return pl.DataFrame({"q": pl.Series(np.arange(5)).cast(kind)})


def as_pandas(cells, **parameters):
    return pd.DataFrame({"q": pd.Series(cells, **parameters)})


GAPS = [float("nan"), None, None, None, 1.5]
APART = {
    "polars datetimes": (nanoseconds(pl.Datetime("ns")), 5),
    "polars datetimes with a zone": (nanoseconds(pl.Datetime("ns", "Europe/Zurich")), 5),
    "polars times": (nanoseconds(pl.Time), 5),
    "polars durations": (nanoseconds(pl.Duration("ns")), 5),
    "polars dates": (nanoseconds(pl.Date), 5),
    "polars 128 bits": (nanoseconds(pl.Int128), 5),
    "polars categories": (pl.DataFrame({"q": pl.Series(list("abcab"), dtype=pl.Categorical)}), 3),
    "polars integers and null": (pl.DataFrame({"q": [2**53, 2**53 + 1, None, None, 0]}), 4),
    "polars NaN and null": (pl.DataFrame({"q": GAPS}, strict=False), 3),
    "arrow times": (pa.table({"q": pa.array(range(5), pa.time64("ns"))}), 5),
    "arrow seconds": (pa.table({"q": pa.array([0, 0, 1, 2, 2], pa.time32("s"))}), 3),
    "arrow datetimes": (pa.table({"q": pa.array(range(5), pa.timestamp("ns"))}), 5),
    "arrow durations": (pa.table({"q": pa.array(range(5), pa.duration("ns"))}), 5),
    "arrow NaN and null": (pa.table({"q": GAPS}), 3),
    "arrow dictionaries": (pa.table({"q": pa.array(list("abcab")).dictionary_encode()}), 3),
    "arrow chunks": (pa.table({"q": pa.chunked_array([["a", "b"], ["b", "c", None]])}), 4),
    "pandas datetimes": (as_pandas(np.arange(5), dtype="datetime64[ns]"), 5),
    "pandas zeros": (as_pandas([0.0, -0.0, 0.0, -0.0, 1.0]), 3),
    "pandas NaN": (as_pandas([np.nan, -np.nan, None, 1.0, 1.0]), 2),
    "pandas objects": (as_pandas([1, True, 1.0, 1, np.int64(1)], dtype=object), 4),
    "pandas gaps": (as_pandas([np.nan, None, pd.NA, pd.NaT, float("nan")], dtype=object), 4),
    "pandas texts": (as_pandas(["a", None, "a", "a\0", "b"], dtype=object), 4),
}


@pytest.mark.parametrize("name", APART)
def test_what_differs_in_the_table_is_no_class(name):
    cells_of, n_classes = APART[name]
    n = 5
    columns = {"user_id": range(n), "item_id": ["tea"] * n}
    if isinstance(cells_of, pa.Table):
        table = pa.table({**columns, "q": cells_of["q"]})
    else:
        table = type(cells_of)({**columns, "q": cells_of["q"]})
    report = risk_report(table, quasi_identifiers=["q"], points=[])
    assert len(report.classes) == n_classes
    out = KAnonymizer(n, quasi_identifiers=["q"]).fit_transform(table)
    assert len(out) == 0
    one = KAnonymizer(1, quasi_identifiers=["q"]).fit_transform(table)
    assert len(one) == n


def test_cells_that_cannot_be_compared_are_refused(make):
    table = make({"user_id": [1, 2], "item_id": ["a", "a"], "q": [[1], [2]]})
    with pytest.raises(DataError, match="q holds lists or other cells that cannot be compared"):
        KAnonymizer(1, quasi_identifiers=["q"]).fit_transform(table)


# What is dropped leaves nothing behind

PEOPLE = pd.DataFrame({
    "user_id": ["ann", "bob", "cleo", "dan"],
    "item_id": ["tea", "tea", "tea", "secret test"],
    "zip": ["8001", "8001", "8001", "9999"],
    "city": ["Zurich", "Zurich", "Zurich", "Hidden"],
})  # fmt: skip
NAMES = pl.Enum(
    [*PEOPLE["user_id"], *PEOPLE["zip"].unique(), "tea", "secret test", "Zurich", "Hidden"]
)


@pytest.mark.parametrize(
    "table",
    [
        PEOPLE.astype("category"),
        PEOPLE.astype(pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))),
        pl.from_dict(PEOPLE.to_dict("list")).cast(pl.Categorical),
        pl.from_dict(PEOPLE.to_dict("list")).cast(NAMES),
        pa.Table.from_pandas(PEOPLE.astype("category")),
    ],
    ids=["pandas", "pandas with Arrow", "polars categories", "polars enum", "arrow"],
)
def test_dropped_users_items_and_regions_are_no_categories(table, tmp_path):
    made = KAnonymizer(3, quasi_identifiers=["zip"], regions={"city": {"Zurich": "ZH"}})
    out = made.fit_transform(table)
    assert cells(out, "user_id") == ["ann", "bob", "cleo"]
    assert cells(out, "item_id") == ["tea"] * 3
    assert cells(out, "city") == ["ZH"] * 3
    path = tmp_path / "export"
    if isinstance(out, pa.Table):
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, out.schema) as writer:
            writer.write_table(out)
    elif isinstance(out, pl.DataFrame):
        out.write_ipc(path)
    else:
        out.to_pickle(path)
    held = path.read_bytes() + repr(getattr(out, "schema", "")).encode()
    for gone in (b"dan", b"secret test", b"9999", b"Hidden", b"Zurich"):
        assert gone not in held


def test_index_and_metadata_are_dropped():
    table = PEOPLE.set_index(pd.Index(["ann@shop.com"] * 4, name="mail"))
    table.attrs["made by"] = "ann"
    out = KAnonymizer(3).fit_transform(table)
    assert out.index.tolist() == [0, 1, 2]
    assert out.index.name is None
    assert out.attrs == {}
    assert table.attrs == {"made by": "ann"}
    arrow = pa.Table.from_pandas(PEOPLE).replace_schema_metadata({"made by": "ann"})
    assert KAnonymizer(3).fit_transform(arrow).schema.metadata is None


def test_quasi_identifiers_count_users_and_not_rows(make):
    table = make({"user_id": [1, 1, 1, 2, 3], "item_id": ["a"] * 5, "age": [20, 20, 20, 30, 30]})
    out = KAnonymizer(2, quasi_identifiers=["age"]).fit_transform(table)
    assert cells(out, "user_id") == [2, 3]


def test_secret_shifts_keep_order_and_pauses_within_a_user():
    table = pd.DataFrame({
        "user_id": [1, 2, 1, 2],
        "item_id": ["a"] * 4,
        "timestamp": pd.to_datetime(["2026-01-01", "2026-01-01", "2026-01-03", "2026-02-01"]),
    })  # fmt: skip
    made = KAnonymizer(1, times=None, time_shift="30D")
    out, other = made.fit_transform(table), made.fit_transform(table)
    moved = out["timestamp"] - table["timestamp"]
    assert moved.groupby(table["user_id"]).nunique().tolist() == [1, 1]
    assert (moved.abs() <= pd.Timedelta("30D")).all()
    assert moved[0] != moved[1]
    assert (other["timestamp"] != out["timestamp"]).any()


def test_y_is_refused_because_rows_go():
    table = pd.DataFrame({"user_id": [1], "item_id": [1]})
    with pytest.raises(DataError, match="y would no longer match"):
        KAnonymizer(1).fit_transform(table, [1])


def test_it_warns_of_itself_in_its_first_lines():
    text = KAnonymizer.__doc__
    assert "does not make people anonymous, and it is not differential privacy" in " ".join(
        text[:400].split()
    )


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        *(({"k": bad}, ValueError, "KAnonymizer: k must be") for bad in (0, 1.5, "3")),
        ({"min_events": 0}, ValueError, "min_events must be an integer of at least 1"),
        ({"quasi_identifiers": "age"}, ValueError, "quasi_identifiers must be a list"),
        ({"times": "fortnight"}, ValueError, "times must be None or one of 'hour', 'day'"),
        ({"time_shift": 3}, ValueError, "time_shift must be None or a positive duration"),
        ({"numbers": ["price"]}, ValueError, "numbers must be None or a dict"),
        ({"numbers": {"price": [2, 1]}}, ValueError, "edges must rise"),
        ({"numbers": {"price": []}}, ValueError, "edges must be a list of finite numbers"),
        ({"places": {"price": 1.5}}, ValueError, "decimals must be an integer; got 1.5"),
        ({"regions": {"price": {}}}, ValueError, "regions must be a mapping"),
        ({"regions": {"price": {1: 2}}}, ValueError, "regions must be texts"),
        (
            {"regions": {"price": {"a": "b", "b": "c"}}},
            ValueError,
            "1 regions lie in other regions",
        ),
        ({"numbers": {"user_id": [0]}}, ValueError, "must name each column once"),
        (
            {"numbers": {"price": [0]}, "places": {"price": 1}},
            ValueError,
            "must name each column once",
        ),
        ({"quasi_identifiers": ["age"]}, DataError, r"lacks the columns \['age'\]"),
        ({"time_shift": "3D"}, DataError, r"lacks the columns \['timestamp'\]"),
    ],
)
def test_bad_parameters_are_named(parameters, error, message):
    table = pd.DataFrame({"user_id": [1], "item_id": [1], "price": [1.0]})
    with pytest.raises(error, match=message):
        clone(KAnonymizer(**parameters)).fit_transform(table)


# Coarser cells


@pytest.mark.parametrize(
    ("to", "wanted"),
    [
        ("hour", "2026-11-21T12:00"),
        ("day", "2026-11-21"),
        ("week", "2026-11-16"),
        ("month", "2026-11-01"),
        ("quarter", "2026-10-01"),
        ("year", "2026-01-01"),
    ],
)
def test_times_go_back_to_the_beginning(to, wanted):
    given_times = pd.Series([NOON, pd.NaT])
    found = generalize_timestamps(given_times, to)
    assert found[0] == np.datetime64(wanted)
    assert np.isnat(found[1])
    seconds = [given_times[0].timestamp()]
    assert generalize_timestamps(seconds, to)[0] == found[0]


@given(st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2250, 1, 1)))
def test_steps_agree_with_pandas(when):
    for to, period in {"day": "D", "week": "W", "month": "M", "quarter": "Q", "year": "Y"}.items():
        wanted = pd.Timestamp(when).to_period(period).start_time
        assert generalize_timestamps([when], to)[0] == wanted.to_datetime64()


@pytest.mark.parametrize("to", ["week", "year"])
def test_times_whose_beginning_no_datetime_holds_are_refused(to):
    with pytest.raises(DataError, match="1 times lie before the year 1678"):
        generalize_timestamps(["1677-10-01", "2026-01-01"], to)
    assert generalize_timestamps(["1678-01-03", None], to)[0] >= np.datetime64("1677-12-31")


def test_bad_steps_are_named():
    with pytest.raises(ValueError, match=r"to must be one of \['hour'"):
        generalize_timestamps([NOON], "D")


def test_moved_times_are_uniform_on_both_sides():
    n = 4000
    moved = shift_timestamps(["2026-01-01"] * n, np.arange(n), "10D")
    days = (moved - np.datetime64("2026-01-01")) / np.timedelta64(1, "D")
    assert np.abs(days).max() <= 10
    # Four standard errors of a uniform distribution's mean, and of the share beyond half.
    assert abs(days.mean()) < 4 * (20 / np.sqrt(12)) / np.sqrt(n)
    assert abs((np.abs(days) > 5).mean() - 0.5) < 4 * 0.5 / np.sqrt(n)


@pytest.mark.parametrize(
    ("times", "users", "most", "message"),
    [
        (["2026-01-01"], ["a", "b"], "1D", "1 times and 2 users do not go together"),
        (["2026-01-01"], ["a"], "soon", "most must be a positive duration"),
        (["2026-01-01"], ["a"], None, "most must be a positive duration"),
        (["2261-01-01"], ["a"], "900D", "outside the years 1678 to 2261"),
        (["1679-01-01"], ["a"], "900D", "outside the years 1678 to 2261"),
    ],
)
def test_shifts_that_cannot_be_are_refused(times, users, most, message):
    with pytest.raises(ValueError, match=message):
        shift_timestamps(times, users, most)


@given(st.lists(st.floats(-1e6, 1e6)), st.lists(st.integers(-99, 99), min_size=1, unique=True))
def test_numbers_fall_to_the_edge_below_them(values, edges):
    edges = sorted(edges)
    found = generalize_numbers(values, edges)
    for value, edge in zip(values, found.tolist(), strict=True):
        assert edge == max((e for e in edges if e <= value), default=edges[0])
    assert generalize_numbers(found, edges).tolist() == found.tolist()


def test_places_are_rounded_and_never_minus_zero():
    found = generalize_places(pd.array([47.3769, -0.01, None], dtype="Float64"), 1)
    assert found[:2].tolist() == [47.4, 0.0]
    assert not np.signbit(found[1])
    assert np.isnan(found[2])
    with pytest.raises(DataError, match="must be numbers"):
        generalize_places(["north"], 1)


def test_regions_are_themselves_and_strangers_nothing():
    found = generalize_regions(["8001", "ZH", "Mars", None], {"8001": "ZH", "ZH": "ZH"})
    assert found.tolist() == ["ZH", "ZH", None, None]


# Risk


def risks(report):
    table = pd.DataFrame(
        report.summary.to_pydict()
        if isinstance(report.summary, pa.Table)
        else {name: report.summary[name].to_list() for name in report.summary.columns}
    )
    return {(row.measure, row.about): row.value for row in table.itertuples()}


def test_measures_are_those_computed_by_hand(make):
    table = make(
        {
            "user_id": [1, 1, 2, 3, 4, 5],
            "item_id": ["a"] * 6,
            "region": ["ZH", "ZH", "ZH", "BE", "BE", "GE"],
            "illness": ["flu", "flu", "cold", "flu", "flu", None],
            "income": [1, 1, 2, 3, 3, 2],
        }
    )
    report = risk_report(
        table, quasi_identifiers=["region"], sensitive=["illness", "income"], k=3, known=(1,)
    )
    found = risks(report)
    assert (report.n_users, report.n_rows) == (5, 6)
    assert found["k", "region"] == 1
    assert found["users in classes below 3", "region"] == 1.0
    assert found["users alone in a class", "region"] == 0.2
    assert found["l", "illness given region"] == 1
    assert found["entropy l", "illness given region"] == pytest.approx(1)
    # Illness of users: flu 3, cold 1; ZH is (1/2, 1/2), BE (1, 0).
    assert found["t", "illness given region"] == pytest.approx(0.25)
    # Income of users 1..5: 1, 2, 3, 3, 2. BE holds 3 alone: cumulated (0, 0) against (1/5, 3/5).
    assert found["t", "income given region"] == pytest.approx((0.2 + 0.6) / 2)
    assert cells(report.classes, "n_users") == [1, 2, 2]
    assert cells(report.classes, "n_rows") == [1, 3, 2]
    assert cells(report.classes, "region") == ["GE", "ZH", "BE"]
    assert cells(report.classes, "entropy_l_illness")[1:] == pytest.approx([2, 1])
    assert pd.isna(cells(report.classes, "l_illness")[0])


def test_large_integers_are_different_sensitive_values(make):
    table = make({
        "user_id": [1, 2, 3], "item_id": ["a"] * 3, "region": ["ZH"] * 3,
        "code": [2**53, 2**53 + 1, 2**53 + 2],
    })  # fmt: skip
    report = risk_report(table, quasi_identifiers=["region"], sensitive=["code"], points=[])
    assert cells(report.classes, "l_code") == [3]
    wide = pl.DataFrame({
        "user_id": [1, 2], "region": ["ZH"] * 2, "code": pl.Series([1, None]).cast(pl.Int128)
    })  # fmt: skip
    report = risk_report(wide, quasi_identifiers=["region"], sensitive=["code"], points=[])
    assert cells(report.classes, "l_code") == [1]


def test_shares_of_the_whole_table_count_a_user_once(make):
    # User 1 has the flu in two classes: whole table flu 1/2, cold 1/2; BE is (1, 0).
    table = make({
        "user_id": [1, 1, 2], "region": ["ZH", "BE", "ZH"], "illness": ["flu", "flu", "cold"]
    })  # fmt: skip
    report = risk_report(table, quasi_identifiers=["region"], sensitive=["illness"], points=[])
    assert cells(report.classes, "region") == ["BE", "ZH"]
    assert cells(report.classes, "t_illness") == [0.5, 0.0]


def test_everybody_is_found_by_what_only_they_did_and_nobody_by_what_all_did(make):
    table = make({
        "user_id": [1, 1, 2, 2, 3, 3],
        "item_id": ["a", "x", "a", "y", "a", "z"],
        "timestamp": [NOON] * 6,
    })  # fmt: skip
    found = risks(risk_report(table, known=(1, 2, 3), random_state=0))
    assert found["unicity", "2 known of item_id"] == 1.0
    assert np.isnan(found["unicity", "3 known of item_id"])
    assert found["unicity", "2 known of item_id and timestamp"] == 1.0
    same = make({"user_id": [1, 2, 3] * 2, "item_id": ["a"] * 3 + ["b"] * 3})
    assert set(risks(risk_report(same, known=(1, 2))).values()) == {0.0}


def test_unicity_estimates_the_share_by_enumeration():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"user_id": rng.integers(0, 60, 600), "item_id": rng.integers(0, 40, 600)}
    )
    sets = table.groupby("user_id")["item_id"].agg(set).to_dict()
    shares = []
    for own in sets.values():
        pairs = [{a, b} for a in own for b in own if a < b]
        shares.append(np.mean([sum(p <= other for other in sets.values()) == 1 for p in pairs]))
    drawn = [
        risks(risk_report(table, known=(2,), random_state=seed))["unicity", "2 known of item_id"]
        for seed in range(40)
    ]
    # Every user is drawn once in each of 40 reports: 2,400 draws, four standard errors.
    assert abs(np.mean(drawn) - np.mean(shares)) < 4 * 0.5 / np.sqrt(40 * len(sets))


@pytest.mark.parametrize(
    ("hits", "n", "wanted"), [(0, 10, (0.0, 0.2775)), (5, 10, (0.2366, 0.7634))]
)
def test_intervals_are_wilsons(hits, n, wanted):
    # Published for 95 %: 0 of 10 gives 0 to 0.278, 5 of 10 gives 0.237 to 0.763.
    assert _wilson(hits, n)[1:] == pytest.approx(wanted, abs=1e-4)


def test_k_anonymised_tables_have_that_k():
    rng = np.random.default_rng(1)
    table = pd.DataFrame({
        "user_id": rng.integers(0, 80, 500),
        "item_id": rng.integers(0, 30, 500),
        "age": rng.integers(20, 60, 500),
    })  # fmt: skip
    out = KAnonymizer(4, quasi_identifiers=["age"]).fit_transform(table)
    assert len(out)
    found = risks(risk_report(out, quasi_identifiers=["age"], k=4, known=(1,)))
    assert found["k", "age"] >= 4
    assert found["users in classes below 4", "age"] == 0


def test_report_reads_as_text():
    table = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"], "age": [20, 20, 30]})
    report = risk_report(
        table, quasi_identifiers=["age"], sensitive=["item_id"], known=(1, 3), random_state=0
    )
    assert str(report).splitlines() == [
        "2 users, 3 rows",
        "k = 1: the fewest users with the same age (2 classes)",
        "users in classes below 5 of age: 100.0 %",
        "users alone in a class of age: 100.0 %",
        "l = 1 at least: item_id given age",
        "entropy l = 1 at least: item_id given age",
        "t = 0.333 at most: item_id given age",
        "unique users, given 1 known of item_id: 50.0 % (9.5 to 90.5 %; 2 users)",
        "unique users, given 3 known of item_id: nobody has so many",
    ]


def test_an_empty_table_has_an_empty_report(make):
    table = make(
        {"user_id": np.array([], dtype=np.int64), "item_id": np.array([], dtype=np.int64)}
    )
    report = risk_report(table, quasi_identifiers=["item_id"], known=(1,))
    assert report.n_users == 0
    assert "nobody has so many" in str(report)


def test_bad_arguments_of_the_report_are_named():
    table = pd.DataFrame({"user_id": [1], "item_id": [1]})
    for parameters, message in (
        ({"known": (0,)}, "known must be a positive integer; got 0"),
        ({"n_samples": 0}, "n_samples must be a positive integer; got 0"),
        ({"k": True}, "k must be a positive integer; got True"),
        ({"known": 2}, "known must be a list of positive integers; got 2"),
        (
            {"quasi_identifiers": "item_id"},
            "quasi_identifiers must be a list of column names; got",
        ),
        ({"sensitive": "item_id"}, "sensitive must be a list of column names; got 'item_id'"),
        ({"points": ["item_id"]}, "points must be a list of lists of column names"),
        ({"points": "item_id"}, "points must be a list of lists of column names"),
        ({"sensitive": ["item_id"]}, "sensitive columns are measured in the classes of quasi"),
        (
            {"quasi_identifiers": ["n_users"]},
            r"table of classes has columns \['n_users'\] of its own",
        ),
        (
            {"quasi_identifiers": ["t_item_id"], "sensitive": ["item_id"]},
            r"table of classes has columns \['t_item_id'\] of its own",
        ),
        ({"points": [["place"]]}, r"lacks the columns \['place'\]"),
        (
            {"quasi_identifiers": ["item_id"], "sensitive": ["illness"]},
            r"lacks the columns \['illness'\]",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            risk_report(table, **parameters)
