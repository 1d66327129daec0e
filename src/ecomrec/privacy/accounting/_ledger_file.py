"""The file of a ledger: lines of JSON, each with a checksum of itself and of all before it."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ecomrec.exceptions import FileFormatError
from ecomrec.privacy.accounting.events import PrivacyEvent, event_from_json, event_to_json

VERSION = 1
_START = b'{"ecomrec_ledger":'


class Budget(NamedTuple):
    """What a ledger allows, and how it counts."""

    epsilon: float
    delta: float
    accountant: str


@dataclass(frozen=True)
class LedgerEntry:
    """One charge.

    Attributes
    ----------
    time : datetime
        When it was charged, in UTC.
    label : str
        What it was charged for.
    events : tuple of PrivacyEvent
        What was to be released.
    """

    time: datetime
    label: str
    events: tuple[PrivacyEvent, ...]


class Content(NamedTuple):
    """What a file holds; `end` is where the next line goes, which may need a `gap` before it."""

    budget: Budget
    entries: tuple[LedgerEntry, ...]
    checks: tuple[str, ...]
    end: int = 0
    gap: bytes = b""

    @property
    def events(self) -> tuple[PrivacyEvent, ...]:
        """The events of all charges."""
        return tuple(event for entry in self.entries for event in entry.events)


# Open ledgers, and what makes opening one and writing it down a single step.
_open: set[int] = set()
_opening = threading.RLock()


@contextmanager
def opened(path: str, flags: int) -> Iterator[int]:
    """Open a file and lock it: alone for writing, with other readers for reading."""
    try:
        from fcntl import LOCK_EX, LOCK_SH, LOCK_UN, flock
    except ModuleNotFoundError as error:  # pragma: no cover
        raise OSError("a ledger file needs the file locks of POSIX systems.") from error
    writes = flags & os.O_ACCMODE != os.O_RDONLY
    current = False
    while not current:
        # A file and a lock of its own for each call: threads and forked children wait as well.
        file = _opened(path, flags)
        try:
            flock(file, LOCK_EX if writes else LOCK_SH)
            mode = os.fstat(file).st_mode
            if not stat.S_ISREG(mode):
                raise FileFormatError(f"{path} is no file.")
            if writes and not mode & 0o222:
                raise PermissionError(f"{path} is read-only: the ledger is closed.")
            # Another file may have taken the name meanwhile.
            current = _is_at(file, path)
            if current:
                yield file
        finally:
            if file in _open:  # a child that was forked here has none, and its parent the lock
                # Said aloud: whoever else holds the same open file holds the lock, too.
                flock(file, LOCK_UN)
                _open.discard(file)
                os.close(file)


def _opened(path: str, flags: int) -> int:
    try:
        with _opening:
            # Without waiting, as a pipe would do.
            file = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
            _open.add(file)
    except FileNotFoundError as error:
        if flags & os.O_CREAT:
            raise
        raise FileNotFoundError(
            error.errno,
            "there is no ledger (moved, deleted or never made); PrivacyLedger(path, epsilon, "
            "delta) starts one",
            path,
        ) from None
    return file


def _is_at(file: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))  # noqa: PTH116
    except FileNotFoundError:
        return False


def _close_inherited() -> None:
    """Let go of what a forked child would keep locked for as long as it lives."""
    while _open:
        os.close(_open.pop())
    _opening.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_opening.acquire, after_in_parent=_opening.release, after_in_child=_close_inherited
    )


def create(path: str, budget: Budget) -> None:
    """Start a ledger if there is none; one whose first line was never finished counts as none."""
    with opened(path, os.O_RDWR | os.O_CREAT) as file:
        data = _read_all(file)
        if b"\n" in data or _is_whole(data) or data[: len(_START)] != _START[: len(data)]:
            return
        header = {
            "ecomrec_ledger": VERSION,
            "epsilon": budget.epsilon,
            "delta": budget.delta,
            "accountant": budget.accountant,
            "time": now().isoformat(),
        }
        _write(file, 0, _line(header, ""))
        folder = os.open(os.path.dirname(path), os.O_RDONLY)  # noqa: PTH120
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read(file: int, path: str) -> Content:
    """Return what an open ledger holds; whatever is not as it was written is refused."""
    data = _read_all(file)
    *lines, last = data.split(b"\n")
    end, gap = len(data) - len(last), b""
    if _is_whole(last):  # all but its end reached the disk: it counts
        lines, end, gap = [*lines, last], len(data), b"\n"
    bodies: list[dict[str, Any]] = []
    checks: list[str] = []
    for number, line in enumerate(lines, 1):
        try:
            body = json.loads(line)
            checks.append(body.pop("check"))
            intact = _line(body, checks[-2] if bodies else "") == line + b"\n"
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            intact = False
        if not intact:
            raise FileFormatError(
                f"{path}, line {number}: it is not as it was written, or lines before it were "
                "removed or moved; nothing can be charged to a ledger that was altered."
            )
        bodies.append(body)
    try:
        header = bodies[0]
        if header["ecomrec_ledger"] != VERSION:
            raise FileFormatError(f"{path} is a ledger of a newer version of ecomrec.")
        budget = Budget(header["epsilon"], header["delta"], header["accountant"])
        entries = tuple(_entry(body) for body in bodies[1:])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"{path} is no privacy ledger.") from error
    return Content(budget, entries, tuple(checks), end, gap)


def append(file: int, content: Content, label: str, events: tuple[PrivacyEvent, ...]) -> Content:
    """Write one charge to the disk, and return what the ledger holds then."""
    entry = LedgerEntry(now(), label, events)
    body = {
        "time": entry.time.isoformat(),
        "label": label,
        "events": [event_to_json(event) for event in events],
    }
    line = _line(body, content.checks[-1])
    _write(file, content.end, content.gap + line)
    checks = (*content.checks, json.loads(line)["check"])
    return Content(content.budget, (*content.entries, entry), checks)


def _entry(body: dict[str, Any]) -> LedgerEntry:
    events = tuple(event_from_json(event) for event in body["events"])
    return LedgerEntry(datetime.fromisoformat(body["time"]), body["label"], events)


def _line(body: dict[str, Any], before: str) -> bytes:
    text = json.dumps(body, allow_nan=False)
    check = hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()
    return json.dumps({**body, "check": check}).encode() + b"\n"


def _is_whole(line: bytes) -> bool:
    """Whether a line without its end is complete; one that was cut off is not."""
    try:
        json.JSONDecoder().raw_decode(line.decode())
    except (ValueError, RecursionError):
        return False
    return True


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def _read_all(file: int) -> bytes:
    parts = []
    os.lseek(file, 0, os.SEEK_SET)
    while part := os.read(file, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _write(file: int, end: int, line: bytes) -> None:
    """Put a line at `end`, where only what was never acknowledged is, and wait for the disk."""
    os.ftruncate(file, end)
    os.lseek(file, end, os.SEEK_SET)
    rest = memoryview(line)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        os.ftruncate(file, end)
        raise
    os.fsync(file)
