"""What goes to stderr while the work goes on: rich if it is installed, plain lines otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from importlib.util import find_spec
from time import perf_counter
from typing import TypeVar

Batch = TypeVar("Batch", bound=Sized)

# Seconds between two lines of one long loop.
_PAUSE = 5.0


class Progress:
    """Says what is going on, on stderr.

    Parameters
    ----------
    quiet : bool
        Say nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet

    def note(self, text: str) -> None:
        """Write one line."""
        if not self.quiet:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Announce a step, and say how long it took once it is done."""
        start = perf_counter()
        if self._lively():
            from rich.console import Console

            with Console(stderr=True).status(text):
                yield
        else:
            self.note(f"{text} ...")
            yield
        self.note(f"{text}: {perf_counter() - start:.1f} s")

    def track(self, batches: Iterable[Batch], total: int, text: str) -> Iterator[Batch]:
        """Hand batches on and say how many of `total` rows in them are done."""
        if self._lively():
            yield from _track_with_rich(batches, total, text)
            return
        done, said = 0, perf_counter()
        for batch in batches:
            yield batch
            done += len(batch)
            if perf_counter() - said >= _PAUSE:
                said = perf_counter()
                self.note(f"{text}: {done:,} of {total:,}")

    def _lively(self) -> bool:
        return not self.quiet and sys.stderr.isatty() and find_spec("rich") is not None


def _track_with_rich(batches: Iterable[Batch], total: int, text: str) -> Iterator[Batch]:
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=total)
        for batch in batches:
            yield batch
            bar.advance(task, len(batch))
