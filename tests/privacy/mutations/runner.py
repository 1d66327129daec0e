"""Break the library in one place at a time, and tell which privacy tests fail.

A process of its own: ``python runner.py mutations.toml``. Each mutation replaces text in the source
of one function, in memory and in a forked child, and runs its tests there. Prints a line of JSON
for the unmutated run and for each mutation.
"""

import __future__

import ast
import contextlib
import importlib
import inspect
import io
import json
import os
import signal
import sys
import textwrap
import tomllib
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
REPO = TESTS.parents[1]
SECONDS = 300
# The first example that fails will do.
PROFILE = "mutations"


class MutationError(Exception):
    """A mutation that no longer fits the source."""


class Results:
    """Collects which tests passed and failed."""

    def __init__(self):
        self.passed, self.failed = [], []

    def pytest_runtest_logreport(self, report):
        name = report.nodeid.rpartition("/")[2]
        if report.failed:
            self.failed.append(name)
        elif report.when == "call" and report.passed:
            self.passed.append(name)

    def pytest_collectreport(self, report):
        if report.failed:
            raise MutationError(f"tests that cannot be collected: {report.longrepr}")


def run(tests, *more):
    """Run tests in this process."""
    results, said = Results(), io.StringIO()
    nodes = [str(TESTS / test) for test in tests]
    options = ["-q", "-p", "no:cacheprovider", "-m", "", "--no-header", *more]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        pytest.main([*options, f"--rootdir={REPO}", "-c", str(REPO / "pyproject.toml"), *nodes],
                    plugins=[results])  # fmt: skip
    return {
        "passed": results.passed,
        "failed": results.failed,
        "output": said.getvalue()[:3000] + said.getvalue()[-2000:],
    }


def apply(module, function, replace):
    """Replace text in the source of a function, wherever it is already in use."""
    target: Any = importlib.import_module(module)
    try:
        target = reduce(getattr, function.split("."), target)
    except AttributeError:
        raise MutationError(f"there is no {module}.{function}") from None
    target = target.fget if isinstance(target, property) else target
    plain = getattr(target, "py_func", target)
    source = textwrap.dedent(inspect.getsource(plain))
    for old, new in replace:
        if source.count(old) != 1:
            raise MutationError(f"{module}.{function} holds {source.count(old)} times: {old}")
        source = source.replace(old, new)
    changed = _compiled(source, plain)
    if plain is target:
        plain.__code__ = changed.__code__
        return
    # A kernel: from here on it runs as plain Python.
    for name, other in list(sys.modules.items()):
        if name.startswith("ecomrec"):
            for key, value in list(vars(other).items()):
                if value is target:
                    setattr(other, key, changed)


def _compiled(source, plain):
    """A function of the same surroundings from other source."""
    tree = ast.parse(source)
    node = tree.body[0]
    node.decorator_list = []
    made = node.name
    if plain.__code__.co_freevars:
        names = plain.__code__.co_freevars
        text = f"def _around({', '.join(names)}):\n    pass\n    return {made}\n"
        outer: Any = ast.parse(text).body[0]
        outer.body[0] = node
        tree.body, made = [outer], "_around"
        ast.fix_missing_locations(tree)
    flags = plain.__code__.co_flags & __future__.annotations.compiler_flag
    code = compile(tree, inspect.getsourcefile(plain), "exec", flags=flags, dont_inherit=True)
    made_here = {}
    exec(code, plain.__globals__, made_here)
    if made == "_around":
        return made_here[made](*[None] * len(plain.__code__.co_freevars))
    return made_here[made]


def in_child(mutation):
    """Apply a mutation and run its tests in a fork; nothing of it stays here."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(SECONDS)
        try:
            for change in mutation["changes"]:
                apply(**change)
            found = run(mutation["tests"])
        except MutationError as error:
            found = {"error": str(error)}
        with os.fdopen(writing, "w") as out:
            json.dump(found, out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(text) if text else {"error": f"the child ended with {status}"}


def main(path):
    os.environ["HYPOTHESIS_PROFILE"] = PROFILE
    mutations = tomllib.loads(Path(path).read_text(encoding="utf-8"))["mutation"]
    every = list(dict.fromkeys(test for m in mutations for test in m["tests"]))
    # All of it in children: torch's threads would not live on in those of a process that used them.
    run(every, "--collect-only")  # what is imported here need not be imported in each
    for mutation in [{"name": "unmutated", "tests": every, "changes": []}, *mutations]:
        print(json.dumps({"name": mutation["name"]} | in_child(mutation)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
