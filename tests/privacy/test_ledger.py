"""The ledger: charged before noise, never overspent, never quietly loosened."""

import copy
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV

import ecomrec
from ecomrec.exceptions import BudgetExceededError, FileFormatError
from ecomrec.privacy.accounting import _ledger_file
from ecomrec.privacy.accounting.composition import (
    GaussianEvent,
    GumbelTopKEvent,
    PureDPEvent,
    SetUnionEvent,
    epsilon_of,
    mu_from_epsilon,
)
from ecomrec.privacy.accounting.ledger import PrivacyLedger
from ecomrec.privacy.popularity import DPPopularity
from ecomrec.state import pack_parameter, unpack_parameter

EVENT = GaussianEvent(8.0)
MIXED = (EVENT, GumbelTopKEvent(90.0, 20), SetUnionEvent(30.0, 1e-8))


@pytest.fixture(params=["file", "memory"])
def ledger(request, tmp_path):
    return PrivacyLedger(tmp_path / "l" if request.param == "file" else None, 1.0, 1e-6)


@pytest.fixture
def path(tmp_path):
    """Return the path of a ledger with two charges."""
    ledger = PrivacyLedger(tmp_path / "ledger.jsonl", 1.0, 1e-6)
    ledger.charge([EVENT], label="May")
    ledger.charge(MIXED, label="June")
    return tmp_path / "ledger.jsonl"


def start(code, *arguments):
    """Start `code` in a fresh interpreter, with the path of a ledger as sys.argv[1]."""
    head = """
        import os, signal, sys
        from ecomrec.exceptions import BudgetExceededError
        from ecomrec.privacy.accounting import _ledger_file
        from ecomrec.privacy.accounting.composition import GaussianEvent
        from ecomrec.privacy.accounting.ledger import PrivacyLedger
        path = sys.argv[1]
    """
    code = textwrap.dedent(head) + textwrap.dedent(code)
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process, timeout=120):
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err
    return out


# ------------------------------------------------------------------ charging


def test_charges_add_up_to_what_the_accountant_says(ledger):
    assert ledger.spent() == 0.0
    assert ledger.entries == ()
    first = ledger.charge([EVENT], label="May")
    second = ledger.charge(MIXED, label="June")
    assert first == epsilon_of([EVENT], 1e-6)
    assert second == ledger.spent() == epsilon_of([EVENT, *MIXED], 1e-6)
    assert ledger.events == (EVENT, *MIXED)
    assert (ledger.epsilon, ledger.delta, ledger.accountant) == (1.0, 1e-6, "auto")


def test_entries_say_when_and_what_for(ledger):
    before = datetime.now(UTC)
    ledger.charge([EVENT], label="May \u00e9t\u00e9\nline two")
    (entry,) = ledger.entries
    assert before <= entry.time <= datetime.now(UTC)
    assert entry.time.utcoffset().total_seconds() == 0
    assert (entry.label, entry.events) == ("May \u00e9t\u00e9\nline two", (EVENT,))


def test_what_would_exceed_is_refused_and_nothing_is_booked(ledger):
    ledger.charge([EVENT], label="May")
    before = ledger.entries
    content = ledger.path and Path(ledger.path).read_bytes()
    with pytest.raises(
        BudgetExceededError,
        match=r"'June' would spend epsilon 1\.\d+ of the 1 that .* 0\.5039 is spent",
    ):
        ledger.charge([GaussianEvent(4.5)], label="June")
    assert ledger.entries == before
    assert content == (ledger.path and Path(ledger.path).read_bytes())
    ledger.charge([GaussianEvent(20.0)], label="smaller")


def test_a_budget_can_be_spent_to_the_last_bit(ledger):
    left = ledger.remaining()
    assert left == pytest.approx(1.0, rel=1e-8)
    ledger.charge([EVENT], label="May")
    last = GaussianEvent(1 / mu_from_epsilon(ledger.remaining(), 1e-6))
    assert ledger.charge([last], label="June") == pytest.approx(1.0, rel=1e-8)
    assert ledger.remaining() < 1e-3
    with pytest.raises(BudgetExceededError):
        ledger.charge([EVENT], label="July")


def test_a_full_budget_leaves_nothing():
    ledger = PrivacyLedger(None, 1.0, 1e-6)
    ledger.charge([PureDPEvent(1.0)], label="all")
    assert ledger.spent() == pytest.approx(1.0, abs=1e-5)
    assert ledger.remaining() < 1e-3
    with pytest.raises(BudgetExceededError):
        ledger.charge([GaussianEvent(1e4)], label="more")


def test_events_that_use_up_delta_are_refused(ledger):
    with pytest.raises(BudgetExceededError, match="would spend epsilon inf"):
        ledger.charge([SetUnionEvent(100.0, delta=1e-6)], label="vocabulary")


@pytest.mark.parametrize(
    ("events", "label", "error", "words"),
    [
        ([], "x", ValueError, "at least one event; got none"),
        ([None], "x", TypeError, "events must be among"),
        ([EVENT, "GaussianEvent"], "x", TypeError, "events must be among"),
        ([EVENT], None, TypeError, "label must be a string; got None"),
    ],
)
def test_charges_that_are_none_are_refused(ledger, events, label, error, words):
    with pytest.raises(error, match=words):
        ledger.charge(events, label=label)
    assert ledger.entries == ()


def test_a_full_ledger_stays_full_whatever_is_asked_of_it():
    ledger = PrivacyLedger(None, 1.0, 1e-6)
    ledger.charge([GaussianEvent(5.0)], label="a")
    rng = np.random.default_rng(0)
    for _ in range(300):
        size = float(10.0 ** rng.uniform(-323, 1)) or 5e-324
        count = int(10 ** rng.uniform(0, 6))
        kinds = [
            GaussianEvent(size, count),
            GumbelTopKEvent(size, count, count),
            PureDPEvent(min(10 / size, 1e308), count),
            SetUnionEvent(size, 1e-9, count),
        ]
        event = kinds[rng.integers(4)]
        spent = ledger.spent()
        if epsilon_of([event], 1e-6) > 1.0:
            with pytest.raises(BudgetExceededError):
                ledger.charge([event], label="b")
        assert ledger.spent() == spent > 0.8


def test_generators_are_charged_whole(ledger):
    ledger.charge((EVENT for _ in range(2)), label="both")
    assert len(ledger.events) == 2


def test_table_has_what_was_spent_after_each_charge(ledger):
    assert ledger.to_frame().empty
    ledger.charge([EVENT], label="May")
    ledger.charge([EVENT], label="June")
    table = ledger.to_frame()
    assert list(table.columns) == ["time", "label", "events", "epsilon"]
    assert isinstance(table["time"].dtype, pd.DatetimeTZDtype)
    assert table["epsilon"].tolist() == [epsilon_of([EVENT], 1e-6), ledger.spent()]
    assert table["events"][0] == "GaussianEvent(noise_multiplier=8.0, count=1)"


def test_notebooks_show_the_charges(ledger):
    ledger.charge([EVENT], label="<b>May</b>")
    html = ledger._repr_html_()
    assert "epsilon 0.5039 of 1 spent" in html
    assert "&lt;b&gt;May" in html
    assert "<b>May" not in html


def test_another_accountant_counts_and_is_remembered(tmp_path):
    pytest.importorskip("dp_accounting", reason="extra privacy")
    ledger = PrivacyLedger(tmp_path / "l", 1.0, 1e-6, accountant="pld")
    assert ledger.charge([PureDPEvent(0.1)], label="x") == epsilon_of(
        [PureDPEvent(0.1)], 1e-6, accountant="pld"
    )
    assert PrivacyLedger(tmp_path / "l").accountant == "pld"
    assert repr(ledger).endswith("accountant='pld')")


# ------------------------------------------------------------------ the file


def test_a_ledger_outlives_its_object(path):
    again = PrivacyLedger(path)
    assert (again.epsilon, again.delta) == (1.0, 1e-6)
    assert [entry.label for entry in again.entries] == ["May", "June"]
    assert again.events == (EVENT, *MIXED)
    assert repr(again) == f"PrivacyLedger({str(path)!r}, epsilon=1.0, delta=1e-06)"


def test_only_the_owner_can_read_a_new_ledger(path):
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("epsilon", "delta", "accountant", "words"),
    [
        (2.0, 1e-6, None, "has epsilon 1.0; got 2.0"),
        (1.0, 1e-5, None, "has delta 1e-06; got 1e-05"),
        (None, 1e-5, None, "has delta 1e-06; got 1e-05"),
        (2.0, None, None, "has epsilon 1.0; got 2.0"),
        (1.0, 1e-6, "pld", "has accountant 'auto'; got 'pld'"),
    ],
)
def test_another_budget_is_an_error_that_names_both(path, epsilon, delta, accountant, words):
    with pytest.raises(ValueError, match=words):
        PrivacyLedger(path, epsilon, delta, accountant=accountant)
    assert PrivacyLedger(path, 1.0, 1e-6).spent() > 0.5


@pytest.mark.parametrize(
    ("epsilon", "delta", "words"),
    [
        (0.0, 1e-6, "epsilon must be a number that is positive"),
        ("1", 1e-6, "epsilon must be a number"),
        (float("inf"), 1e-6, "epsilon must be finite"),
        (1.0, 0.0, "delta must be above 0"),
        (1.0, 1.0, "delta must be a number from 0 to below 1"),
        (1.0, None, "a new one needs epsilon and delta"),
    ],
)
def test_budgets_out_of_range_make_no_file(tmp_path, epsilon, delta, words):
    with pytest.raises(ValueError, match=words):
        PrivacyLedger(tmp_path / "l", epsilon, delta)
    assert not list(tmp_path.iterdir())


def test_memory_needs_a_budget_and_accountants_a_name():
    with pytest.raises(ValueError, match="a ledger in memory needs a budget"):
        PrivacyLedger(None)
    with pytest.raises(ValueError, match="accountant must be one of"):
        PrivacyLedger(None, 1.0, 1e-6, accountant="moments")


def test_missing_file_is_named_at_the_first_use_and_not_made(tmp_path):
    ledger = PrivacyLedger(tmp_path / "gone")
    for use in (ledger.spent, lambda: ledger.charge([EVENT], label="x"), lambda: ledger.epsilon):
        with pytest.raises(FileNotFoundError, match=r"there is no ledger .* starts one.*gone"):
            use()
    assert not list(tmp_path.iterdir())


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no_folder"):
        PrivacyLedger(tmp_path / "no_folder" / "l", 1.0, 1e-6)


def test_a_folder_is_no_ledger(tmp_path):
    with pytest.raises(IsADirectoryError):
        PrivacyLedger(tmp_path, 1.0, 1e-6)


def test_a_pipe_is_no_ledger_and_keeps_nobody_waiting(tmp_path):
    code = """
        from ecomrec.exceptions import FileFormatError

        for budget in ((1.0, 1e-6), ()):
            try:
                PrivacyLedger(path, *budget).spent()
            except FileFormatError as error:
                print(error)
    """
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = start(code, pipe)
    try:
        assert finished(process, 60) == 2 * f"{pipe} is no file.\n"
    finally:
        process.kill()


def test_a_read_only_ledger_is_closed_but_can_be_read(path):
    path.chmod(0o400)
    ledger = PrivacyLedger(path)
    with pytest.raises(PermissionError, match=r"read-only|denied"):
        ledger.charge([EVENT], label="x")
    assert len(ledger.entries) == 2


def test_a_link_spends_the_budget_of_what_it_points_to(path, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)
    direct, linked = PrivacyLedger(path), PrivacyLedger(link, 1.0, 1e-6)
    linked.charge([EVENT], label="July")
    assert [entry.label for entry in direct.entries] == ["May", "June", "July"]
    assert link.is_symlink()


def test_relative_paths_stay_where_they_were(path, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(path.parent)
    ledger = PrivacyLedger(path.name)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert len(ledger.entries) == 2
    assert pickle.loads(pickle.dumps(ledger)).path == str(path)


# ------------------------------------------------------------------ damage


def test_every_altered_byte_is_found(path):
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(FileFormatError):
            PrivacyLedger(path).spent()
    path.write_bytes(good)
    assert PrivacyLedger(path).spent() > 0.5


def test_removed_moved_doubled_and_foreign_lines_are_found(path):
    header, may, june = path.read_bytes().splitlines(keepends=True)
    for lines in (
        [header, june],
        [may, june],
        [header, june, may],
        [header, may, may, june],
        [header, header, may, june],
        [header, may, b"\n", june],
        [header, b"{}\n", may, june],
        [b"user_id,item_id\n", b"1,2\n"],
        [b"\n"],
    ):
        path.write_bytes(b"".join(lines))
        with pytest.raises(FileFormatError, match=r"line \d|is no privacy ledger"):
            PrivacyLedger(path).charge([EVENT], label="x")
        assert path.read_bytes() == b"".join(lines)


def test_lines_of_another_ledger_are_found(path, tmp_path):
    other = PrivacyLedger(tmp_path / "other", 100.0, 1e-6)
    other.charge([EVENT], label="May")
    lines = (tmp_path / "other").read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + path.read_bytes().split(b"\n", 1)[1])
    with pytest.raises(FileFormatError, match="line 2"):
        PrivacyLedger(path).spent()


def test_a_shortened_or_other_file_is_found_by_who_has_read_it(path):
    ledger = PrivacyLedger(path)
    good = path.read_bytes()
    assert len(ledger.entries) == 2
    path.write_bytes(b"".join(good.splitlines(keepends=True)[:2]))
    with pytest.raises(FileFormatError, match="had 2 charges when it was last read"):
        ledger.charge([EVENT], label="x")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="there is no ledger"):
        ledger.charge([EVENT], label="x")
    PrivacyLedger(path, 50.0, 1e-6)
    with pytest.raises(FileFormatError, match="had 2 charges"):
        ledger.spent()


def test_another_budget_in_place_of_a_new_ledger_is_found(tmp_path):
    ledger = PrivacyLedger(tmp_path / "l", 1.0, 1e-6)
    (tmp_path / "l").unlink()
    PrivacyLedger(tmp_path / "l", 50.0, 1e-6)
    with pytest.raises(FileFormatError, match=r"epsilon=50\.0|any more"):
        ledger.charge([EVENT], label="x")


def test_a_line_that_was_never_finished_is_ignored_and_replaced(path):
    good = path.read_bytes()
    start = good.rindex(b"\n", 0, -1) + 1
    for end in range(start, len(good) - 1, 7):
        path.write_bytes(good[:end])
        ledger = PrivacyLedger(path)
        assert [entry.label for entry in ledger.entries] == ["May"]
        ledger.charge([EVENT], label="again")
        assert [entry.label for entry in PrivacyLedger(path).entries] == ["May", "again"]


def test_a_charge_that_lacks_only_its_line_end_counts(path):
    path.write_bytes(path.read_bytes()[:-1])
    ledger = PrivacyLedger(path)
    assert [entry.label for entry in ledger.entries] == ["May", "June"]
    ledger.charge([GaussianEvent(30.0)], label="July")
    assert [entry.label for entry in PrivacyLedger(path).entries] == ["May", "June", "July"]


def test_a_header_that_was_never_finished_is_no_ledger_yet(path):
    header = path.read_bytes().split(b"\n")[0]
    for end in (0, 5, 30, len(header) - 2):
        path.write_bytes(header[:end])
        PrivacyLedger(path, 3.0, 1e-7)
        assert PrivacyLedger(path).epsilon == 3.0
    path.write_bytes(header)
    with pytest.raises(ValueError, match=r"has epsilon 1\.0; got 3\.0"):
        PrivacyLedger(path, 3.0, 1e-7)


def test_other_files_are_left_alone(tmp_path):
    for content in (b"precious", b'{"precious": 1}', b"a\nb\n", b"\x00" * 40):
        (tmp_path / "l").write_bytes(content)
        with pytest.raises(FileFormatError):
            PrivacyLedger(tmp_path / "l", 1.0, 1e-6)
        assert (tmp_path / "l").read_bytes() == content


def test_brackets_without_end_are_junk_like_any_other(path):
    good = path.read_bytes()
    path.write_bytes(good + b"[" * 200_000 + b"\n")
    with pytest.raises(FileFormatError, match="line 4: it is not as it was written"):
        PrivacyLedger(path).spent()
    path.write_bytes(good + b"[" * 200_000)  # never finished
    assert len(PrivacyLedger(path).entries) == 2


def test_a_newer_format_is_refused(tmp_path):
    body = {"ecomrec_ledger": 2, "epsilon": 1.0, "delta": 1e-6, "accountant": "auto"}
    (tmp_path / "l").write_bytes(_ledger_file._line(body, ""))
    with pytest.raises(FileFormatError, match="newer version"):
        PrivacyLedger(tmp_path / "l").spent()


def test_a_full_disk_leaves_the_file_as_it_was(path, monkeypatch):
    good = path.read_bytes()
    ledger, write = PrivacyLedger(path), os.write

    def half(file, data):
        if len(data) < 20:
            raise OSError(28, "No space left on device")
        return write(file, bytes(data[: len(data) // 2]))

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space left"):
        ledger.charge([EVENT], label="x")
    assert path.read_bytes() == good
    monkeypatch.undo()
    ledger.charge([GaussianEvent(30.0)], label="July")


def test_writes_in_pieces_are_whole(path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, bytes(data[:3])))
    PrivacyLedger(path).charge([GaussianEvent(30.0)], label="July")
    assert PrivacyLedger(path).entries[-1].label == "July"


def test_a_charge_is_on_the_disk_before_it_is_acknowledged(path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(path.read_bytes()))
    PrivacyLedger(path).charge([GaussianEvent(30.0)], label="July")
    assert synced == [path.read_bytes()]
    assert b"July" in synced[0]


# ------------------------------------------------------------------ many at once


def test_threads_never_exceed_together(ledger):
    acknowledged = []

    def charge():
        for _ in range(6):
            try:
                ledger.charge([GaussianEvent(20.0)], label="t")
                acknowledged.append(1)
            except BudgetExceededError:
                pass

    threads = [threading.Thread(target=charge) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.entries) == len(acknowledged)
    assert ledger.spent() <= 1.0
    with pytest.raises(BudgetExceededError):
        ledger.charge([GaussianEvent(20.0)], label="one more")


CHARGE_UNTIL_REFUSED = """
    ledger, done = PrivacyLedger(path), 0
    try:
        while True:
            ledger.charge([GaussianEvent(30.0)], label=sys.argv[2])
            done += 1
    except BudgetExceededError:
        print(done)
"""


def test_processes_never_exceed_together(tmp_path):
    path = tmp_path / "l"
    PrivacyLedger(path, 1.0, 1e-6)
    processes = [start(CHARGE_UNTIL_REFUSED, path, name) for name in "ab"]
    done = [int(finished(process)) for process in processes]
    ledger = PrivacyLedger(path)
    assert sum(done) == len(ledger.entries)
    # As many as fit, and no more.
    assert ledger.spent() <= 1.0 < epsilon_of([*ledger.events, GaussianEvent(30.0)], 1e-6)


def test_only_one_of_two_large_charges_goes_through(tmp_path):
    path = tmp_path / "l"
    PrivacyLedger(path, 1.0, 1e-6)
    code = """
        # The other process waits for the lock while this one counts.
        import time
        from ecomrec.privacy.accounting import ledger as module
        count = module.epsilon_of
        module.epsilon_of = lambda *a, **k: (time.sleep(0.5), count(*a, **k))[1]
        try:
            PrivacyLedger(path).charge([GaussianEvent(5.0)], label="x")
            print("charged")
        except BudgetExceededError:
            print("refused")
    """
    processes = [start(code, path) for _ in range(2)]
    said = sorted(finished(process).split()[-1] for process in processes)
    assert said == ["charged", "refused"]
    assert len(PrivacyLedger(path).entries) == 1


def test_a_forked_child_charges_the_same_file(path):
    code = """
        ledger = PrivacyLedger(path)
        before = len(ledger.entries)
        child = os.fork()
        if child == 0:
            ledger.charge([GaussianEvent(50.0)], label="child")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        ledger.charge([GaussianEvent(50.0)], label="parent")
        print(len(ledger.entries) - before)
    """
    assert finished(start(code, path)) == "2\n"


def test_a_child_forked_during_a_charge_keeps_no_lock(path):
    code = """
        import signal, threading, time
        from ecomrec.privacy.accounting import ledger as module

        ledger, inside, real = PrivacyLedger(path), threading.Event(), module.epsilon_of

        def slow(*arguments, **options):
            inside.set()
            time.sleep(60)
            return real(*arguments, **options)

        module.epsilon_of = slow
        charge = lambda: ledger.charge([GaussianEvent(50.0)], label="killed")
        threading.Thread(target=charge, daemon=True).start()
        inside.wait()
        child = os.fork()
        if child == 0:
            os.close(1), os.close(2)
            time.sleep(60)
            os._exit(0)
        print(child, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    child = int(start(code, path).communicate(timeout=60)[0])
    ledger = PrivacyLedger(path)
    charge = threading.Thread(target=lambda: ledger.charge([EVENT], label="next"), daemon=True)
    try:
        charge.start()
        charge.join(20)
        assert not charge.is_alive()
    finally:
        os.kill(child, signal.SIGKILL)
    assert [entry.label for entry in PrivacyLedger(path).entries] == ["May", "June", "next"]


def test_a_child_forked_by_the_one_who_charges_leaves_the_lock_to_its_parent(path):
    code = """
        import fcntl

        with _ledger_file.opened(path, os.O_RDWR):
            child = os.fork()
            if child:
                assert os.waitpid(child, 0)[1] == 0
                other = os.open(path, os.O_RDWR)
                try:
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    print("locked")
        if not child:
            os._exit(0)
    """
    assert finished(start(code, path)) == "locked\n"


def test_a_charge_that_waited_goes_to_the_file_that_is_there_then(path, tmp_path):
    ledger = PrivacyLedger(path)
    with _ledger_file.opened(str(path), os.O_RDWR):
        charge = threading.Thread(target=lambda: ledger.charge([EVENT], label="waited"))
        charge.start()
        time.sleep(0.3)
        (tmp_path / "new").write_bytes(path.read_bytes())
        (tmp_path / "new").replace(path)
    charge.join(20)
    labels = [entry.label for entry in PrivacyLedger(path).entries]
    assert labels == ["May", "June", "waited"]


def test_a_forked_child_cannot_charge_what_lives_in_memory(path):
    code = """
        ledger = PrivacyLedger(None, 1.0, 1e-6)
        child = os.fork()
        if child == 0:
            try:
                ledger.charge([GaussianEvent(50.0)], label="child")
            except RuntimeError as error:
                assert "lives in the memory of another process" in str(error)
                os._exit(7)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert finished(start(code, path)) == "7\n"


@pytest.mark.parametrize(("moment", "counts"), [("write", 0), ("fsync", 1)])
def test_a_process_killed_in_the_middle_of_a_charge(path, moment, counts):
    code = f"""
        real = os.write
        def die(*arguments):
            if {moment!r} == "write":
                real(arguments[0], bytes(arguments[1][: len(arguments[1]) // 2]))
            os.kill(os.getpid(), signal.SIGKILL)
        ledger = PrivacyLedger(path)
        setattr(os, {moment!r}, die)
        ledger.charge([GaussianEvent(50.0)], label="killed")
    """
    process = start(code, path)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    ledger = PrivacyLedger(path)
    assert len(ledger.entries) == 2 + counts
    ledger.charge([GaussianEvent(50.0)], label="after")
    assert PrivacyLedger(path).entries[-1].label == "after"


def test_a_process_killed_at_any_time_has_charged_what_it_was_told(tmp_path):
    path = tmp_path / "l"
    PrivacyLedger(path, 100.0, 1e-6)
    code = """
        ledger = PrivacyLedger(path)
        for number in range(10_000):
            ledger.charge([GaussianEvent(50.0)], label=str(number))
            print(number, flush=True)
    """
    process = start(code, path)
    for _ in range(25):
        process.stdout.readline()
    process.kill()
    acknowledged = 25 + len(process.communicate(timeout=120)[0].splitlines())
    labels = [entry.label for entry in PrivacyLedger(path).entries]
    assert len(labels) - acknowledged in (0, 1)
    assert labels == [str(number) for number in range(len(labels))]


# ------------------------------------------------------------------ a parameter of models


class Model(BaseEstimator):
    def __init__(self, ledger=None):
        self.ledger = ledger


def test_clones_and_copies_share_the_ledger(ledger):
    model = Model(ledger)
    for other in (clone(model), copy.deepcopy(model), copy.copy(model)):
        assert other.ledger is ledger
    assert clone(ledger) is ledger
    assert Model(ledger).get_params(deep=False) == {"ledger": ledger}
    assert clone(model).set_params(ledger=None).ledger is None
    assert model.set_params(**model.get_params()).ledger is ledger


def test_pickles_hold_the_path_only(path):
    model = Model(PrivacyLedger(path))
    again = pickle.loads(pickle.dumps(model)).ledger
    assert again.path == str(path)
    again.charge([GaussianEvent(50.0)], label="from a copy")
    assert model.ledger.entries[-1].label == "from a copy"
    size = len(pickle.dumps(model))
    for _ in range(5):
        model.ledger.charge([GaussianEvent(90.0)], label="more")
    assert len(pickle.dumps(model)) == size


def test_joblib_sends_the_path(path, tmp_path):
    joblib.dump(Model(PrivacyLedger(path)), tmp_path / "m")
    assert joblib.load(tmp_path / "m").ledger.spent() == PrivacyLedger(path).spent()


def test_a_ledger_in_memory_cannot_be_pickled():
    with pytest.raises(TypeError, match="cannot be pickled: its copies would spend"):
        pickle.dumps(Model(PrivacyLedger(None, 1.0, 1e-6)))


def test_a_copy_that_finds_no_file_starts_no_budget_of_its_own(path):
    data = pickle.dumps(PrivacyLedger(path))
    path.unlink()
    again = pickle.loads(data)
    with pytest.raises(FileNotFoundError, match="there is no ledger"):
        again.charge([EVENT], label="x")
    assert not path.exists()


def test_a_saved_model_keeps_the_path_and_loads_without_the_file(path):
    packed = json.loads(json.dumps(pack_parameter(PrivacyLedger(path))))
    assert packed == {"component": ["PrivacyLedger", {"path": str(path)}]}
    content = path.read_bytes()
    assert unpack_parameter(packed).spent() == PrivacyLedger(path).spent()
    assert path.read_bytes() == content
    path.unlink()
    ledger = unpack_parameter(packed)
    assert ledger.path == str(path)
    assert not path.exists()
    with pytest.raises(FileNotFoundError, match="there is no ledger"):
        ledger.charge([EVENT], label="x")


def test_a_saved_model_has_no_ledger_of_the_memory():
    assert unpack_parameter(pack_parameter(PrivacyLedger(None, 1.0, 1e-6))) is None


# ------------------------------------------------------------------ real models


def shop_model(path, **parameters):
    ledger = PrivacyLedger(path, 1.0, 1e-6)
    return DPPopularity(epsilon=0.5, delta=1e-6, ledger=ledger, **parameters)


COUNTS = np.random.default_rng(0).poisson(0.3, size=(40, 6)).astype(float)


def test_fits_of_a_model_are_charged_until_nothing_is_left(tmp_path):
    model = shop_model(tmp_path / "l")
    for number in range(1, 4):
        assert len(model.fit(COUNTS).ledger.entries) == number
    with pytest.raises(BudgetExceededError, match="DPPopularity"):
        model.fit(COUNTS)
    assert clone(model).ledger.spent() == model.ledger.spent() <= 1.0


def test_a_fit_that_fails_after_the_charge_has_been_charged(tmp_path, monkeypatch):
    model = shop_model(tmp_path / "l")

    def crash(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(DPPopularity, "_learn", crash)
    with pytest.raises(KeyboardInterrupt):
        model.fit(COUNTS)
    assert len(model.ledger.entries) == 1


def test_loading_a_model_charges_and_makes_nothing(tmp_path):
    model = shop_model(tmp_path / "l").fit(COUNTS)
    model.save(tmp_path / "model")
    before = (tmp_path / "l").read_bytes()
    again = ecomrec.load(tmp_path / "model")
    assert (tmp_path / "l").read_bytes() == before
    assert again.ledger.path == model.ledger.path
    (tmp_path / "l").unlink()
    orphan = ecomrec.load(tmp_path / "model")
    assert not (tmp_path / "l").exists()
    wanted = model.recommend(history=[[0]], k=3).items
    assert np.array_equal(orphan.recommend(history=[[0]], k=3).items, wanted)
    with pytest.raises(FileNotFoundError, match="there is no ledger"):
        orphan.fit(COUNTS)
    assert not (tmp_path / "l").exists()


@pytest.mark.parametrize("fitted", [True, False])
def test_a_model_with_a_ledger_in_memory_is_saved_without_and_says_so(tmp_path, fitted):
    model = shop_model(None)
    if fitted:
        model.fit(COUNTS)
    with pytest.warns(UserWarning, match=r"fits of what is loaded .* not counted.*path"):
        model.save(tmp_path / "model")
    assert ecomrec.load(tmp_path / "model").ledger is None


def test_a_search_in_several_processes_is_charged_in_one_ledger(tmp_path):
    model = shop_model(tmp_path / "l", tuning="accounted").set_params(epsilon=0.1)
    search = GridSearchCV(
        model,
        {"max_items_per_user": [2, 5]},
        cv=3,
        scoring=lambda model, X: float(model.popularity_.max()),
        n_jobs=2,
        error_score="raise",
    )
    search.fit(COUNTS)
    assert len(model.ledger.entries) == 7  # 2 x 3, and the best on everything
