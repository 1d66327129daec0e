"""The command: what it prints and writes, what it says of bad input, and its exit codes."""

import gzip
import io
import json
import os
import re
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ecomrec
from ecomrec._registry import ESTIMATORS
from ecomrec.base import load
from ecomrec.cli import app, main
from ecomrec.cli.columns import read_numbers, read_times, same_ids
from ecomrec.cli.errors import InputError
from ecomrec.cli.events import parse_event_weights
from ecomrec.cli.models import find_model, make_model, model_names
from ecomrec.cli.output import whole_file
from ecomrec.cli.progress import Progress
from ecomrec.datasets import make_shop
from ecomrec.privacy import DPPopularity

WEIGHTS = "view=1,cart=2,purchase=5,return=-5"


@pytest.fixture(scope="module")
def shop():
    return make_shop(n_users=120, n_items=40, n_events=2500, random_state=0)


@pytest.fixture
def folder(tmp_path, monkeypatch, shop):
    """An empty folder to work in, with a shop's events."""
    monkeypatch.chdir(tmp_path)
    shop.events.to_csv("events.csv", index=False)
    return tmp_path


@pytest.fixture
def run(capsys):
    """Run the command in this process: exit code, stdout, stderr."""

    def run(*argv):
        code = main([str(part) for part in argv])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(run):
    """Run a command that must be refused; return what it says."""

    def refused(*argv):
        code, out, err = run(*argv)
        assert (code, out) == (2, ""), err
        assert "Traceback" not in err
        return err

    return refused


def write(text, name="events.csv"):
    Path(name).write_text(text, encoding="utf-8")
    return name


def table(text):
    return pd.read_csv(io.StringIO(text), dtype=str)


# ---------------------------------------------------------------------- the command


@pytest.mark.parametrize("argv", [["--help"], ["demo", "--help"], ["evaluate", "-h"]], ids=str)
def test_help_is_no_error(run, argv):
    code, out, _ = run(*argv)
    assert code == 0
    assert out.startswith("usage: ecomrec")


def test_version_is_the_librarys(run):
    assert run("--version") == (0, f"ecomrec {ecomrec.__version__}\n", "")


def test_no_command_shows_the_help_and_fails(run):
    code, out, err = run()
    assert (code, out) == (2, "")
    assert "exit codes:" in err


def test_docs_page_names_every_option_and_exit_code(run):
    page = (Path(__file__).parents[1] / "docs" / "cli.rst").read_text(encoding="utf-8")
    for command in ("demo", "evaluate", "tune", "recommend", "warmup"):
        options = set(re.findall(r"--[a-z][a-z-]+", run(command, "--help")[1]))
        assert not {option for option in options if option not in page}
    for code in (app.OK, app.UNEXPECTED, app.BAD_INPUT, app.INTERRUPTED):
        assert re.search(rf"^{code} ", page, re.MULTILINE)


def test_unknown_command_is_named(refused):
    assert "invalid choice: 'fit'" in refused("fit")


def test_installed_command_answers_in_a_process_of_its_own(folder):
    done = subprocess.run(
        [sys.executable, "-m", "ecomrec", "recommend", "events.csv", "--user", "1", "-k", "2"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(io.StringIO(done.stdout))) == 2
    assert "fitting item-knn" in done.stderr


def test_command_line_is_parsed_without_pandas_and_numba():
    code = "import sys; from ecomrec.cli import main; main(['--version']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pandas", "numba", "sklearn", "rich"} & set(done.stdout.split())


def test_quiet_leaves_only_the_answer(folder, run):
    code, out, err = run("recommend", "events.csv", "-q", "--user", "1")
    assert (code, err) == (0, "")
    assert out.startswith("user_id,rank,item_id,score\n")


def test_unexpected_error_shows_where_it_was(folder, run, monkeypatch):
    monkeypatch.setattr("ecomrec.base.BaseRecommender.recommend", lambda *_, **__: 1 // 0)
    code, _, err = run("recommend", "events.csv", "-o", "recs.csv")
    assert code == 1
    assert "ZeroDivisionError" in err
    assert "please report" in err
    assert not Path("recs.csv").exists()


def test_out_of_memory_is_said_so(folder, run, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr("ecomrec.base.BaseRecommender.fit", fail)
    code, _, err = run("recommend", "events.csv")
    assert code == 1
    assert "ran out of memory" in err


def test_interruption_leaves_the_old_file(folder, run, monkeypatch):
    write("old", "recs.csv")

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ecomrec.base.BaseRecommender.recommend", interrupt)
    code, _, err = run("recommend", "events.csv", "-o", "recs.csv")
    assert code == 130
    assert "interrupted" in err
    assert Path("recs.csv").read_text() == "old"
    assert sorted(path.name for path in folder.iterdir()) == ["events.csv", "recs.csv"]


def test_reader_who_stops_reading_is_no_error(folder):
    done = subprocess.run(
        f"{sys.executable} -m ecomrec recommend events.csv -q -k 39 --repeats | head -n 1",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("user_id,rank,item_id,score\n", "")


def test_broken_pipe_ends_quietly(folder, run, monkeypatch):
    def stop(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr("ecomrec.cli.output.TableWriter.write", stop)
    monkeypatch.setattr(app, "_drop_output", lambda: None)
    assert run("recommend", "events.csv", "-q") == (0, "", "")


def test_warnings_are_sentences(folder, run, monkeypatch, recwarn):
    monkeypatch.setattr(Progress, "note", lambda *_: warnings.warn("so be it", stacklevel=1))
    warnings.simplefilter("always")
    code, _, err = run("recommend", "events.csv", "--user", "1")
    assert code == 0
    assert set(err.splitlines()) == {"warning: so be it"}


# ---------------------------------------------------------------------- models


def test_names_come_from_the_classes():
    assert {"popular", "item-knn", "user-knn"} <= set(model_names())
    private = [name for name, home in ESTIMATORS.items() if home == "ecomrec.privacy"]
    assert len(model_names()) == len(ESTIMATORS) - len(private)
    assert not {*model_names().values()} & {*private}


@pytest.mark.parametrize(
    ("typed", "known"),
    [("popular", "popular"), ("popularity", "popular"), ("Popularity", "popular"),
     ("TfidfRecommender", "tfidf"), ("ItemKNN", "item-knn"), ("item_knn", "item-knn"), ("user-knn", "user-knn")],
)  # fmt: skip
def test_models_are_found_however_they_are_written(typed, known):
    name, estimator = find_model(typed)
    assert name == known
    assert estimator.__name__ == model_names()[known]


def test_unknown_model_lists_those_there_are(folder, refused):
    said = refused("recommend", "events.csv", "--model", "magic")
    assert "no model 'magic'" in said
    assert f"Models: {', '.join(model_names())}." in said


def test_parameters_are_numbers_words_and_switches():
    model = make_model(
        "item-knn", ["n_neighbors=7", "similarity=jaccard", "mutual=true", "n_jobs=None"]
    )
    assert (model.n_neighbors, model.similarity) == (7, "jaccard")
    assert (model.mutual, model.n_jobs) == (True, None)


def test_unknown_parameter_lists_those_there_are(folder, refused):
    said = refused("recommend", "events.csv", "--param", "neighbours=3")
    assert "no parameter 'neighbours'" in said
    assert "n_neighbors" in said


def test_parameter_without_a_value_is_refused(folder, refused):
    assert "must look like n_neighbors=50" in refused(
        "recommend", "events.csv", "--param", "shrink"
    )


def test_parameter_out_of_range_is_refused_before_anything_is_read(refused):
    said = refused("recommend", "not-there.csv", "--param", "n_neighbors=0")
    assert "n_neighbors must be None or an integer of at least 1; got 0" in said


# ---------------------------------------------------------------------- events


@pytest.mark.parametrize("name", ["events.tsv", "events.csv.gz", "events.parquet"])
def test_every_format_gives_the_same_answer(folder, run, shop, name):
    if name.endswith("parquet"):
        shop.events.to_parquet(name)
    else:
        shop.events.to_csv(name, index=False, sep="\t" if "tsv" in name else ",")
    _, expected, _ = run("recommend", "events.csv", "--event-weights", WEIGHTS)
    code, found, _ = run("recommend", name, "--event-weights", WEIGHTS)
    assert code == 0
    assert found == expected


def test_answers_are_those_of_the_library(folder, run, shop):
    events = ecomrec.EventWeights({"view": 1, "cart": 2, "purchase": 5, "return": -5})
    model = make_model("user-knn").fit(events.fit_transform(shop.events))
    expected = model.recommend(model.user_ids_, k=3).to_frame()
    run("recommend", "events.csv", "--model", "user-knn", "--event-weights", WEIGHTS, "-k", 3,
        "-o", "recs.parquet")  # fmt: skip
    pd.testing.assert_frame_equal(pd.read_parquet("recs.parquet"), expected)


def test_semicolons_spaces_and_a_byte_order_mark_are_understood(folder, run):
    write("\ufeffuser_id; item_id\n1; 5\n2; 5\n2; 6\n")
    code, out, _ = run("recommend", "events.csv", "--user", "1", "-k", 1)
    assert code == 0
    assert out.splitlines()[1].startswith("1,1,6,")


def test_columns_are_mapped_by_name(folder, run, shop):
    names = {"user_id": "Customer", "item_id": "SKU", "event": "What", "timestamp": "When"}
    shop.events.rename(columns=names).assign(user_id=0).to_csv("other.csv", index=False)
    options = ["--event-weights", WEIGHTS, "--half-life", "30D"]
    _, expected, _ = run("recommend", "events.csv", *options)
    code, found, _ = run(
        "recommend", "other.csv", *options, "--user-col", "Customer", "--item-col", "SKU",
        "--event-col", "What", "--time-col", "When",
    )  # fmt: skip
    assert code == 0
    assert found == expected


def test_wrong_column_lists_those_found(folder, refused):
    said = refused("recommend", "events.csv", "--user-col", "customer")
    assert "events.csv has no column 'customer'" in said
    assert "Columns found: 'user_id', 'item_id', 'event', 'timestamp'" in said
    assert "--user-col NAME" in said


def test_missing_column_suggests_a_near_one(folder, refused):
    write("User_ID,item_id\n1,2\n")
    assert "Did you mean 'User_ID'?" in refused("recommend", "events.csv")


def test_column_cannot_be_two_things(folder, refused):
    said = refused("recommend", "events.csv", "--user-col", "item_id")
    assert "'item_id' cannot be two things: user_id, item_id" in said


def test_column_that_is_there_twice_is_refused(folder, refused):
    write("user_id,item_id,item_id\n1,2,3\n")
    assert "more than one column 'item_id'" in refused("recommend", "events.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "events.csv is empty"), ("\n\n", "events.csv is empty"),
     ("user_id,item_id\n", "events.csv has column names but no rows")],
    ids=["nothing", "blank lines", "header only"],
)  # fmt: skip
def test_empty_file_is_said_so(folder, refused, text, said):
    assert said in refused("evaluate", write(text)) + refused("recommend", write(text))


def test_empty_parquet_file_is_said_so(folder, refused):
    assert "events.parquet is empty" in refused("recommend", write("", "events.parquet"))


def test_missing_file_is_named(refused):
    assert "there is no file not-there.csv" in refused("evaluate", "not-there.csv")


def test_folder_is_no_file(folder, refused):
    Path("shop.csv").mkdir()
    assert "shop.csv is a folder" in refused("evaluate", "shop.csv")


def test_unknown_extension_lists_those_known(folder, refused):
    said = refused("recommend", "events.xlsx")
    assert "cannot tell the format of 'events.xlsx'" in said
    assert ".csv, .tsv" in said
    assert ".parquet" in said


@pytest.mark.parametrize(
    "argv",
    [["recommend", "e.parquet"], ["recommend", "events.csv", "-o", "r.parquet"]],
    ids=["in", "out"],
)
def test_parquet_without_pyarrow_says_what_to_install(folder, refused, monkeypatch, shop, argv):
    shop.events.to_parquet("e.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "pyarrow.parquet", raising=False)
    said = refused(*argv)
    assert "pip install 'ecomrec[parquet]'" in said


def test_damaged_parquet_file_is_said_so(folder, refused):
    said = refused("recommend", write("not parquet at all", "events.parquet"))
    assert "events.parquet cannot be read as Parquet" in said


def test_text_that_is_not_utf8_is_said_so(folder, refused):
    Path("events.csv").write_bytes("user_id,item_id\n1,Köln\n".encode("latin-1"))
    assert "events.csv is not UTF-8 text" in refused("recommend", "events.csv")


@pytest.mark.parametrize("rows", ["1,2\n1,2,3\n", "1,2,3\n1,2\n"], ids=["later", "first"])
def test_row_with_too_many_values_is_refused(folder, refused, rows):
    said = refused("recommend", write(f"user_id,item_id\n{rows}"))
    assert "is not a table with 2 columns" in said
    assert "must be quoted" in said


def test_bad_date_is_named_with_its_row(folder, refused):
    write("user_id,item_id,timestamp\n1,2,2026-01-05\n1,3,2026-13-45\n2,3,31.12.2026\n")
    said = refused("evaluate", "events.csv")
    assert "row 2 of events.csv, column 'timestamp': '2026-13-45' is not a time (2 rows" in said
    assert "--time-format" in said


def test_row_without_a_user_is_counted_and_dropped_on_request(folder, run, refused):
    write("user_id,item_id\n1,2\n,2\n2,2\n2,3\n")
    said = refused("recommend", "events.csv")
    assert "1 without 'user_id' (the first is row 2)" in said
    assert "--drop-missing" in said
    code, _, err = run("recommend", "events.csv", "--drop-missing")
    assert code == 0
    assert "dropped 1 rows with gaps of 4" in err


def test_no_row_without_a_gap_is_refused(folder, refused):
    write("user_id,item_id\n,2\n3,\n")
    assert "has no row without a gap" in refused("recommend", "events.csv", "--drop-missing")


def test_bad_weight_is_named_with_its_row(folder, refused):
    write('user_id,item_id,weight\n1,2,1.5\n1,3,"2,5"\n')
    said = refused("recommend", "events.csv")
    assert "row 2 of events.csv, column 'weight': '2,5' is not a number" in said


def test_weights_and_ratings_reach_the_model(folder, run):
    # The pot weighs more, the cup was rated higher.
    write("user_id,item_id,w,r\n1,tea,1,3\n2,tea,1,3\n2,pot,9,1\n3,tea,1,3\n3,cup,1,5\n")
    ask = ["recommend", "events.csv", "--user", "1", "-k", 2]
    _, out, _ = run(*ask, "--weight-col", "w", "--model", "popular", "--param", "count=weights")
    assert [line.split(",")[2] for line in out.splitlines()[1:]] == ["pot", "cup"]
    _, out, _ = run(*ask, "--rating-col", "r", "--param", "target=rating")
    assert [line.split(",")[2] for line in out.splitlines()[1:]] == ["cup", "pot"]


def test_returned_items_are_no_evidence(folder, run):
    write("user_id,item_id,event\n1,a,buy\n2,a,buy\n2,b,buy\n2,b,send back\n2,c,buy\n")
    code, out, _ = run(
        "recommend", "events.csv", "--user", "1", "-k", 2, "--event-weights", "buy=1,send back=-1"
    )
    assert code == 0
    scores = table(out).set_index("item_id")["score"].astype(float)
    assert scores["c"] > 0
    assert scores["b"] == 0


def test_event_without_a_weight_is_named(folder, run, refused):
    said = refused("recommend", "events.csv", "--event-weights", "view=1,purchase=5")
    assert "'cart', 'return'" in said
    assert "--drop-other-events" in said
    code, _, err = run(
        "recommend", "events.csv", "--event-weights", "view=1,purchase=5", "--drop-other-events"
    )
    assert code == 0
    assert "dropped" in err


def test_no_event_with_a_weight_is_refused(folder, refused):
    said = refused("recommend", "events.csv", "--event-weights", "buy=1", "--drop-other-events")
    assert "no row of events.csv has an event" in said


@pytest.mark.parametrize("text", ["view", "view=", "=1", "view=1,", "view=much"])
def test_event_weights_are_names_and_numbers(text):
    with pytest.raises(InputError, match="must look like view=1,purchase=5,return=-5"):
        parse_event_weights(text)


def test_event_column_needs_weights(folder, refused):
    assert "--event-col needs --event-weights" in refused(
        "recommend", "events.csv", "--event-col", "event"
    )


def test_weights_come_from_one_place(folder, run, refused):
    argv = ["recommend", "events.csv", "--event-weights", WEIGHTS]
    assert "not both" in refused(*argv, "--weight-col", "w")
    pd.read_csv("events.csv").assign(weight=1).to_csv("events.csv", index=False)
    assert "column 'weight' is not read" in run(*argv)[2]


def test_unused_event_column_is_pointed_out(folder, run):
    assert "every event counts 1" in run("recommend", "events.csv", "--user", "1")[2]


def test_old_events_fade(folder, run):
    rows = "1,a,2026-01-01\n2,a,2026-01-01\n2,b,2025-01-01\n3,a,2026-01-01\n3,c,2026-01-01\n"
    write(f"user_id,item_id,timestamp\n{rows}")
    ask = ["recommend", "events.csv", "--user", "1", "--param", "shrink=1"]
    scores = [
        table(run(*ask, *more)[1]).set_index("item_id")["score"].astype(float)
        for more in ([], ["--half-life", "30D"])
    ]
    assert scores[0]["b"] == scores[0]["c"]
    assert scores[1]["b"] < 0.01 * scores[1]["c"]


@pytest.mark.parametrize("half_life", ["soon", "-3D", "30"])
def test_half_life_must_be_a_duration(folder, refused, half_life):
    assert "--half-life must be a duration with a unit" in refused(
        "recommend", "events.csv", f"--half-life={half_life}"
    )


def test_half_life_needs_times_and_weights(folder, refused):
    write("user_id,item_id\n1,2\n")
    assert "no column 'timestamp'" in refused("recommend", "events.csv", "--half-life", "30D")
    write("user_id,item_id,timestamp,rating\n1,2,2026-01-01,4\n")
    said = refused("recommend", "events.csv", "--half-life", "30D")
    assert "makes weights fade, but these events have ratings" in said


def test_wrong_clock_does_not_fade_everything_else(folder, refused):
    write("user_id,item_id,timestamp\n1,2,2026-01-01\n1,3,2206-01-01\n")
    said = refused("recommend", "events.csv", "--half-life", "30D")
    assert "row 2" in said
    assert "lies in the future" in said


# ---------------------------------------------------------------------- ids


@pytest.mark.parametrize(
    "ids", [["007", "8"], ["7", "+8"], ["7", "A8"], ["7", "8.0"], ["NA", "null"]], ids=str
)
def test_ids_that_are_not_all_canonical_integers_stay_text(ids):
    (column,) = same_ids([(pd.Series(ids), True)])
    assert column.tolist() == ids


def test_leading_zeros_survive(folder, run):
    write("user_id,item_id\n007,0001\n8,0001\n8,0002\n")
    _, out, _ = run("recommend", "events.csv", "--user", "007", "-k", 1)
    assert out.splitlines()[1].startswith("007,1,0002,")


@given(st.lists(st.integers(-(10**17), 10**17), min_size=1))
def test_canonical_integers_become_integers(numbers):
    (column,) = same_ids([(pd.Series([str(number) for number in numbers]), True)])
    assert column.dtype == np.int64
    assert column.tolist() == numbers


def test_text_of_a_typed_file_stays_text():
    typed, typeless = same_ids([(pd.Series(["1", "2"]), False), (pd.Series(["2", "3"]), True)])
    assert (typed.tolist(), typeless.tolist()) == (["1", "2"], ["2", "3"])


def test_ids_of_two_files_get_one_type():
    left, right = same_ids([(pd.Series(["1", "2"]), True), (pd.Series(["1", "B2"]), True)])
    assert (left.tolist(), right.tolist()) == (["1", "2"], ["1", "B2"])
    left, right = same_ids([(pd.Series([1, 2]), False), (pd.Series(["2", "3"]), True)])
    assert (left.tolist(), right.tolist()) == ([1, 2], [2, 3])


def test_ids_of_other_types_are_left_alone():
    ids = pd.Series([b"a", b"b"])
    assert same_ids([(ids, False)])[0] is ids


# ---------------------------------------------------------------------- times and numbers


@pytest.mark.parametrize(
    ("text", "written"),
    [("2026-11-21 09:30:00", None), ("2026-11-21T10:30:00+01:00", None), ("1795253400", None),
     ("1795253400000", "ms"), ("1795253400000000000", "ns"), ("21/11/2026 09:30", "%d/%m/%Y %H:%M")],
)  # fmt: skip
def test_times_are_read_as_they_are_written(text, written):
    (time,) = read_times(pd.Series([text]), "here", written)
    assert time == pd.Timestamp("2026-11-21 09:30")


def test_fractions_of_a_second_are_not_off_by_nanoseconds():
    times = read_times(pd.Series([1396723394.148]), "here", None)
    assert times.tolist() == [pd.Timestamp("2014-04-05 18:43:14.148")]


def test_days_without_dashes_are_days():
    times = read_times(pd.Series(["20261121", "20260229"[:-2] + "28"]), "here", None)
    assert times.tolist() == [pd.Timestamp("2026-11-21"), pd.Timestamp("2026-02-28")]


def test_gaps_among_times_and_numbers_stay_gaps():
    assert read_times(pd.Series(["2026-01-01", "null", None]), "here", None).isna().sum() == 2
    assert read_numbers(pd.Series(["1", "NA", None]), "here").isna().sum() == 2


def test_milliseconds_are_recognised():
    with pytest.raises(InputError, match=r"row 1 of here: '1795253400000' .*--time-format ms"):
        read_times(pd.Series(["1795253400000"]), "here", None)
    with pytest.raises(InputError, match="Another unit may be meant"):
        read_times(pd.Series(["1795253400000000000"]), "here", "ms")


def test_time_format_is_kept_to():
    with pytest.raises(
        InputError, match=r"row 2 of here: '2026-11-21' is not a time\. It must be"
    ):
        read_times(pd.Series(["21/11/2026", "2026-11-21"]), "here", "%d/%m/%Y")
    with pytest.raises(InputError, match=r"'2026-11-21' is not a number.*--time-format ms needs"):
        read_times(pd.Series(["2026-11-21"]), "here", "ms")


def test_impossible_time_format_is_refused():
    with pytest.raises(InputError, match="--time-format '%Q' cannot be used"):
        read_times(pd.Series(["2026"]), "here", "%Q")


# ---------------------------------------------------------------------- items


def test_items_that_are_not_available_are_never_shown(folder, run):
    write(
        "item_id,available\n" + "".join(f"{i},{'no' if i % 2 else 'yes'}\n" for i in range(40)),
        "items.csv",
    )
    code, out, _ = run("recommend", "events.csv", "--items", "items.csv")
    assert code == 0
    assert not (table(out)["item_id"].astype(int) % 2).any()


def test_items_without_events_can_be_recommended(folder, run):
    write("user_id,sku\n1,5\n2,6\n")
    write("sku\n5\n6\nnew\n", "items.csv")
    _, out, _ = run(
        "recommend", "events.csv", "--items", "items.csv", "--item-col", "sku", "--user", "1"
    )
    assert table(out)["item_id"].tolist() == ["6", "new"]


def test_unclear_availability_is_named(folder, refused):
    write("item_id,available\n1,yes\n2,perhaps\n", "items.csv")
    said = refused("recommend", "events.csv", "--items", "items.csv")
    assert "row 2 of items.csv, column 'available': 'perhaps' is neither true nor false" in said


def test_item_without_an_id_is_named(folder, refused):
    write("item_id,name\n1,mug\n,cup\n", "items.csv")
    said = refused("recommend", "events.csv", "--items", "items.csv")
    assert "1 rows without 'item_id'; the first is row 2" in said


def test_item_that_is_listed_twice_is_named(folder, refused):
    write("item_id\n1\n1\n", "items.csv")
    assert "more than one row for item_id" in refused(
        "recommend", "events.csv", "--items", "items.csv"
    )


# ---------------------------------------------------------------------- evaluate


def test_evaluate_prints_intervals_and_verdicts(folder, run):
    code, out, err = run("evaluate", "events.csv", "--event-weights", WEIGHTS)
    assert code == 0
    assert out.startswith("new items: ")
    for words in (
        "ndcg@10",
        "recall@10",
        "hit_rate@10",
        "item-knn",
        "better +",
        "share of items shown",
    ):
        assert words in out
    assert max(map(len, out.splitlines())) <= 80
    assert "repeats allowed" not in out
    assert "learning from" in err


def test_evaluate_writes_what_compare_finds(folder, run, shop):
    code, out, _ = run(
        "evaluate", "events.csv", "--models", "user-knn,popular", "-k", 5, "--metrics", "mrr",
        "--test-size", "30D", "--repeats", "--json", "out.json",
    )  # fmt: skip
    assert code == 0
    assert "repeats allowed" in out
    record = json.loads(Path("out.json").read_text())
    train, test = ecomrec.evaluation.train_test_split(
        shop.events, ecomrec.evaluation.TemporalSplit(1, test_size="30D")
    )
    assert (record["n_train"], record["n_test"]) == (len(train), len(test))
    assert (record["k"], record["baseline"], record["metrics"]) == (5, "user-knn", ["mrr"])
    models = {name: make_model(name) for name in ("user-knn", "popular")}
    expected = ecomrec.evaluation.compare(
        models, train, test, k=5, metrics="mrr", exclude_seen=(True, False)
    ).to_frame()
    assert [row["model"] for row in record["results"]] == expected.index.tolist()
    assert [row["mrr"] for row in record["results"]] == pytest.approx(expected["mrr"].tolist())
    assert [row["mrr_verdict"] for row in record["results"]] == expected["mrr_verdict"].tolist()


def test_half_life_counts_from_the_newest_training_event(folder, run, shop):
    argv = [
        "evaluate",
        "events.csv",
        "--event-weights",
        WEIGHTS,
        "--half-life",
        "20D",
        "--models",
        "item-knn",
    ]
    assert run(*argv, "--json", "out.json")[0] == 0
    train, test = ecomrec.evaluation.train_test_split(shop.events)
    weights = ecomrec.EventWeights(parse_event_weights(WEIGHTS), half_life="20D").fit(train)
    expected = ecomrec.evaluation.compare(
        {"item-knn": make_model("item-knn")}, weights.transform(train), weights.transform(test)
    ).to_frame()
    (found,) = json.loads(Path("out.json").read_text())["results"]
    assert found["ndcg"] == pytest.approx(expected["ndcg"].item(), rel=1e-6)


@pytest.mark.parametrize("size", ["7", "0", "1.0", "-0.2", "soon", "-3D"])
def test_test_size_is_a_share_or_a_duration(folder, refused, size):
    said = refused("evaluate", "events.csv", f"--test-size={size}")
    assert "--test-size must be a share of the rows between 0 and 1, or a duration" in said


def test_test_window_must_fit_into_the_events(folder, refused):
    said = refused("evaluate", "events.csv", "--test-size", "9999D")
    assert "--test-size 9999D leaves nothing to learn from" in said
    assert "2,500 events from 2024-" in said


def test_evaluate_needs_times(folder, refused):
    write("user_id,item_id\n1,2\n")
    assert "no column 'timestamp'" in refused("evaluate", "events.csv")


def test_nothing_left_to_test_speaks_of_options(folder, refused):
    write("user_id,item_id,timestamp\n1,2,2026-01-01\n1,3,2026-01-02\n1,2,2026-01-03\n")
    said = refused("evaluate", "events.csv", "--test-size", "0.3")
    assert "try a larger --test-size" in said
    assert "exclude_seen" not in said


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--metrics", "clicks", "metrics must be among"), ("--metrics", ",", "--metrics must name at least one"),
     ("--models", "item-knn,ItemKNN", "names 'item-knn' twice"), ("-k", "0", "k must be a positive integer"),
     ("--json", "no/where.json", "there is no folder no"), ("--json", ".", "is a folder")],
)  # fmt: skip
def test_options_are_checked_before_anything_is_read(refused, option, value, said):
    assert said in refused("evaluate", "not-there.csv", option, value)


# ---------------------------------------------------------------------- tune


def test_tune_finds_what_the_library_finds(folder, run, shop):
    code, out, err = run(
        "tune", "events.csv", "--model", "user-knn", "--param", "n_neighbors=25", "--trials", 4,
        "--metric", "recall", "-k", 5, "--seed", 3, "--test-size", "0.3", "-o", "trials.csv",
        "--save", "shop.ecomrec",
    )  # fmt: skip
    assert code == 0
    model = make_model("user-knn", ["n_neighbors=25"])
    expected = ecomrec.evaluation.tune(
        model,
        events=shop.events,
        metric="recall",
        k=5,
        n_trials=4,
        random_state=3,
        cv=ecomrec.evaluation.TemporalSplit(1, test_size=0.3),
    )
    assert f"  {expected.best_score_:.4f}  with the best" in out
    assert all(f"--param {name}={value}" in out for name, value in expected.best_params_.items())
    assert "trial 4 of up to 4: " in err
    found = pd.read_csv("trials.csv")
    assert found["score"].tolist() == pytest.approx(expected.trials["score"].tolist(), rel=1e-5)
    users = expected.best_estimator_.user_ids_[:3]
    answer = load("shop.ecomrec").recommend(users).items.tolist()
    assert answer == expected.best_estimator_.recommend(users).items.tolist()


def test_tuned_parameters_go_into_the_next_command(folder, run):
    ask = ["events.csv", "--param", "power=2", "--half-life", "20D", "--event-weights", WEIGHTS]
    code, out, _ = run("tune", *ask, "--trials", 2, "-q")
    assert code == 0
    options = out.splitlines()[-1].split()
    assert options[:4] == ["--model", "item-knn", "--param", "power=2"]
    assert run("recommend", "events.csv", *options, "-k", 1)[0] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--trials", "0"], "--trials must be a positive integer; got 0"), (["--metric", "clicks"], "metrics must be among"),
     (["--model", "magic"], "there is no model 'magic'"), (["--param", "knob=1"], "has no parameter 'knob'"),
     (["--test-size", "2"], "--test-size must be a share"), (["-o", "trials.json"], "cannot tell the format"),
     (["--save", "no/shop.ecomrec"], "there is no folder no")],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)  # fmt: skip
def test_options_of_a_search_are_checked_before_anything_is_read(refused, options, said):
    assert said in refused("tune", "not-there.csv", *options)


def test_search_without_optuna_says_what_to_install(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert "pip install 'ecomrec[tune]'" in refused("tune", "not-there.csv")


def test_search_that_fails_throughout_is_said_so(folder, refused):
    write("user_id,item_id,timestamp\n1,2,2026-01-01\n1,3,2026-01-02\n1,2,2026-01-03\n")
    said = refused("tune", "events.csv", "--test-size", "0.3")
    assert "trials failed, the first with DataError: no user has a test item left" in said


# ---------------------------------------------------------------------- recommend


def test_parquet_output_holds_the_ids_as_they_came(folder, run, shop):
    code, out, err = run("recommend", "events.csv", "-k", 4, "-o", "recs.parquet")
    assert (code, out) == (0, "")
    recs = pd.read_parquet("recs.parquet")
    assert recs.columns.tolist() == ["user_id", "rank", "item_id", "score"]
    assert recs["user_id"].unique().tolist() == sorted(shop.events["user_id"].unique())
    assert f"wrote {len(recs):,} recommendations" in err


@pytest.mark.parametrize("name", ["recs.csv", "recs.tsv", "recs.csv.gz", "recs.parquet"])
def test_batches_make_one_table(folder, run, monkeypatch, name):
    run("recommend", "events.csv", "-o", f"whole-{name}")
    monkeypatch.setattr("ecomrec.cli.recommend._BATCH", 7)
    assert run("recommend", "events.csv", "-o", name)[0] == 0
    if name.endswith("parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(name), pd.read_parquet(f"whole-{name}"))
        return
    opened = gzip.open if name.endswith("gz") else open
    with opened(name, "rt") as found, opened(f"whole-{name}", "rt") as whole:
        assert found.read() == whole.read()


def test_repeats_are_allowed_on_request(folder, run):
    write("user_id,item_id\n1,5\n2,5\n2,6\n")
    ask = ["recommend", "events.csv", "--user", "2"]
    assert table(run(*ask)[1]).empty
    assert set(table(run(*ask, "--repeats")[1])["item_id"]) == {"5", "6"}


def test_users_come_from_a_table_or_a_list(folder, run):
    write("Who\n3\n1\n3\n", "users.csv")
    write("3\n\n1\n", "users.txt")
    _, expected, _ = run("recommend", "events.csv", "--user", "3", "1", "-k", 2)
    assert table(expected)["user_id"].tolist() == ["3", "3", "1", "1"]
    pd.read_csv("events.csv").rename(columns={"user_id": "Who"}).to_csv("events.csv", index=False)
    for name in ("users.csv", "users.txt"):
        code, out, _ = run(
            "recommend", "events.csv", "--users", name, "--user-col", "Who", "-k", 2
        )
        assert (code, out) == (0, expected)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("users.csv", "id\n1\n", "no column 'user_id'"), ("users.txt", "\n", "users.txt names no user"),
     ("users.xls", "1", "cannot tell the format")],
)  # fmt: skip
def test_users_file_that_cannot_be_used_is_named(folder, refused, name, text, said):
    assert said in refused("recommend", "events.csv", "--users", write(text, name))


def test_missing_list_of_users_is_named(folder, refused):
    assert "there is no file users.txt" in refused(
        "recommend", "events.csv", "--users", "users.txt"
    )


def test_unknown_users_are_named_or_left_out(folder, run, refused):
    ask = ["recommend", "events.csv", "-k", "1", "--user", "1", "007", "x"]
    said = refused(*ask)
    assert "2 of 3 users are unknown: '007', 'x'" in said
    assert "--skip-unknown" in said
    code, out, err = run(*ask, "--skip-unknown")
    assert code == 0
    assert table(out)["user_id"].tolist() == ["1"]
    assert "left out 2 unknown users" in err
    assert "none of the users is known" in refused(
        "recommend", "events.csv", "--user", "x", "--skip-unknown"
    )


def test_saved_model_answers_as_the_one_that_was_fitted(folder, run):
    _, expected, _ = run("recommend", "events.csv", "--save", "shop.ecomrec")
    assert load("shop.ecomrec").n_neighbors is None
    code, out, _ = run("recommend", "--load", "shop.ecomrec")
    assert (code, out) == (0, expected)


@pytest.mark.parametrize(
    "more",
    [
        ["events.csv"],
        ["--model", "popular"],
        ["--param", "shrink=1"],
        ["--save", "b"],
        ["--items", "i.csv"],
    ],
    ids=lambda more: more[0],
)
def test_loaded_model_leaves_no_choice(refused, more):
    assert f"drop {more[0] if more[0].startswith('-') else 'EVENTS'}" in refused(
        "recommend", "--load", "shop.ecomrec", *more
    )


def test_something_must_be_learned_from(refused):
    assert "name the file of EVENTS, or a model with --load" in refused("recommend")


def test_file_that_is_no_model_is_said_so(folder, refused):
    assert "there is no file shop.ecomrec" in refused("recommend", "--load", "shop.ecomrec")
    said = refused("recommend", "--load", "events.csv")
    assert "Cannot read 'events.csv'" in said


def test_model_that_was_never_fitted_is_said_so(folder, refused):
    make_model("popular").save("empty.ecomrec")
    assert "never fitted" in refused("recommend", "--load", "empty.ecomrec")
    DPPopularity().fit([[1, 0], [1, 1]]).save("private.ecomrec")
    assert "is private and knows no users" in refused("recommend", "--load", "private.ecomrec")


@pytest.mark.parametrize(
    ("options", "said"),
    [(["-k", "0"], "-k must be a positive integer; got 0"), (["-o", "recs.json"], "cannot tell the format"),
     (["-o", "no/recs.csv"], "there is no folder no"), (["-o", "recs.parquet.gz"], "cannot tell the format"),
     (["--save", "no/shop.ecomrec"], "there is no folder no")],
)  # fmt: skip
def test_targets_are_checked_before_anything_is_read(refused, options, said):
    assert said in refused("recommend", "not-there.csv", *options)


# ---------------------------------------------------------------------- files


def test_failure_leaves_neither_half_a_file_nor_a_draft(tmp_path):
    target = tmp_path / "recs.csv"
    with suppress(RuntimeError), whole_file(target) as draft:
        draft.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_written_file_keeps_its_permissions_and_links(tmp_path):
    target, link = tmp_path / "recs.csv", tmp_path / "latest.csv"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    with whole_file(link) as draft:
        draft.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "recs.csv"
    os.mkfifo(pipe)
    with whole_file(pipe) as draft:
        assert draft == pipe
    assert pipe.is_fifo()


# ---------------------------------------------------------------------- progress


def test_long_loop_says_how_far_it_is(monkeypatch, capsys):
    monkeypatch.setattr("ecomrec.cli.progress._PAUSE", 0.0)
    batches = [[1, 2], [3]]
    assert list(Progress().track(batches, 3, "rows")) == batches
    assert capsys.readouterr().err.splitlines() == ["rows: 2 of 3", "rows: 3 of 3"]


def test_terminal_with_rich_gets_a_bar(monkeypatch, capsys):
    pytest.importorskip("rich")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    progress = Progress()
    with progress.step("reading"):
        assert list(progress.track([[1, 2], [3]], 3, "rows")) == [[1, 2], [3]]
    assert "reading: " in capsys.readouterr().err


# ---------------------------------------------------------------------- demo and warmup


def test_demo_compares_both_ways_and_shows_three_customers(run):
    code, out, err = run("demo")
    assert code == 0
    for words in ("new items: 1,4", "repeats allowed: 1,5", "popular", "item-knn", "user-knn"):
        assert words in out
    assert out.count("better +") == 8 * 2 * 3  # all but "popular", both ways, by three metrics
    assert out.count("had bought, newest first:") == 3
    assert out.count("We would show") == 3
    assert out.count("because of ") >= 10
    assert "fitting and comparing" in err
    assert max(map(len, out.splitlines())) <= 100


def test_warmup_says_where_the_cache_is(run, monkeypatch):
    monkeypatch.setattr("ecomrec.cli.warmup.use_model", lambda estimator: None)
    code, out, err = run("warmup")
    assert code == 0
    assert "kernels are compiled" in out
    assert "cache: " in out
    assert "compiling what item-knn uses" in err


def test_warmup_without_numba_has_nothing_to_do(run, monkeypatch):
    monkeypatch.setattr("ecomrec.cli.warmup.kernels", list)
    code, out, err = run("warmup")
    assert (code, err) == (0, "")
    assert out.startswith("nothing to compile")


_USE = """
import tempfile
import numpy as np, pandas as pd
import ecomrec
from ecomrec.cli.models import find_model, model_names
from ecomrec.cli.warmup import kernels
from ecomrec.datasets import make_shop

shop = make_shop(n_users=150, n_items=50, n_events=3000, ids="string")
events = ecomrec.EventWeights(dict(view=1, cart=2, purchase=5, **{"return": -5})).fit_transform(shop.events)
ids = shop.users["user_id"].tolist()
people = shop.users.assign(friends=[[one] for one in ids[1:] + ids[:1]])
things = shop.items.assign(lat=np.linspace(48, 52, len(shop.items)), lon=13.0)
frames = [events, events.drop(columns="timestamp"), events[["user_id", "item_id"]],
          events.assign(rating=events.weight.clip(1)).drop(columns="weight")]
used = 0
for name in model_names():
    estimator = find_model(name)[1]
    for frame in frames:
        switches = [{}]
        if "rating" in frame:
            rating = {"target": "rating", "feedback": "explicit"}
            switches += [{n: v} for n, v in rating.items() if n in estimator._param_rules]
        elif estimator()._values() == "rating":
            continue
        for switch in switches:
            model = estimator(**switch)
            items = things.assign(available=True) if frame is events else things
            model.fit(frame[:2000], items=items, users=people)
            with tempfile.TemporaryDirectory() as folder:
                model.save(folder + "/m.ecomrec")
                mapped = ecomrec.load(folder + "/m.ecomrec", mmap=True)
                for model in (model, mapped):
                    users, items = model.user_ids_, model.item_ids_
                    model.recommend(users)
                    model.partial_fit(frame[2000:])
                    model.recommend(users[:1])
                    model.recommend(users, exclude_seen=False, candidates=items[::2])
                    model.recommend(history=[items[:3], items[4:5]])
                    model.predict(frame[:50])
                    model.explain(users[0], items[0])
                    model.similar_items(items)
                    model.similar_users(users[:9])
                    model.forget(users=users[5:6], items=items[7:8])
                    model.refresh()
                    used += 1
    matrix = estimator().fit(np.eye(20) + np.eye(20, k=3))
    matrix.partial_fit(np.ones((3, 20)))
    matrix.recommend([0, 1])
    matrix.similar_items([4])
for name in ["DPALS", "DPEASE", "DPItemKNN", "DPPopularity", "DPTopK"]:
    private = getattr(ecomrec.privacy, name)().fit(frames[2], items=shop.items)
    private.recommend(history=[private.item_ids_[:3]])
    private.similar_items(private.item_ids_)
    used += 1
print(used, "models", sum(sum(k.stats.cache_hits.values()) for k in kernels()), "hits")
for kernel in kernels():
    for signature, misses in kernel.stats.cache_misses.items():
        print("compiled again:", kernel.__name__, signature)
"""

_WARM = """
from ecomrec.cli import main
from ecomrec.cli.warmup import kernels
main(["warmup", "--quiet"])
print("not compiled:", [kernel.__name__ for kernel in kernels() if not kernel.signatures])
"""


@pytest.mark.slow
def test_after_warmup_a_fresh_process_compiles_nothing(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}

    def python(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = python("-c", _WARM)
    assert f"cache: {tmp_path}" in said
    assert said.endswith("not compiled: []\n")
    used = python("-c", _USE)
    assert "compiled again" not in used, used
    assert not used.startswith("0 models")
    assert " 0 hits" not in used
