"""One entrant in a process of its own: for memory, and for LensKit's environment.

``python -m benchmarks.worker ENTRANT LOG`` reads a word per line, `time` or `memory`, and answers
each with one line of JSON; the first line it writes names its versions.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from benchmarks.measure import conditions, hold_to_threads


class Worker:
    """The caller's end of such a process."""

    def __init__(self, python: str, entrant: str, log: str) -> None:
        self._process = subprocess.Popen(
            [python, "-m", f"{__package__}.worker", entrant, log],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        self.conditions = self._read()

    def ask(self, what: str) -> dict[str, Any]:
        """Send a word, wait for the answer."""
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended: exit code {self._process.wait()}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()


def main(entrant_name: str, log_name: str) -> None:
    """Serve the words on standard input."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints goes to standard error
    hold_to_threads()
    from benchmarks.entrants import make
    from benchmarks.logs import load
    from benchmarks.rounds import memory_round, time_round, warm_up

    entrant = make(entrant_name)
    warm_up(entrant)
    log = load(log_name)
    work = {"time": time_round, "memory": memory_round}
    print(json.dumps(conditions(entrant.packages)), file=answers)
    for line in sys.stdin:
        print(json.dumps(work[line.strip()](entrant, log)), file=answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
