"""P8: tests of privacy are worth what they find. One bug at a time is planted, and must be found."""

import json
import os
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "mutations"
RUNNER = FOLDER / "runner.py"
# The bugs that privacy libraries have had; each must be planted somewhere.
TWO_TOWER_BUGS = {
    "halved sigma",
    "missing clip",
    "in-batch negatives",
    "data-dependent scale",
    "batches of a fixed size",
    "unbooked rate",
    "unbooked steps",
}
BUGS = {
    "halved sigma",
    "halved noise",
    "missing clip",
    "clip after the sum",
    "sqrt(k) for k",
    "unbooked count",
    "exact vocabulary",
    "exact head split",
    "missing label clip",
    "data-dependent scale",
    "duplicates not merged",
    "unnormalised weights",
    "rounding for truncation",
    "float sums",
    "seeded noise",
    "user rows kept",
}


def outcomes(listed):
    """What the runner says of each mutation of a list, and of none."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(RUNNER), str(listed)],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return {found["name"]: found for found in map(json.loads, done.stdout.splitlines())}


def mutations_of(name):
    return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))["mutation"]


@pytest.mark.parametrize(
    ("name", "bugs"), [("mutations.toml", BUGS), ("two_tower.toml", TWO_TOWER_BUGS)]
)
def test_every_known_bug_is_planted(name, bugs):
    mutations = mutations_of(name)
    assert {mutation["bug"] for mutation in mutations} == bugs
    assert len({mutation["name"] for mutation in mutations}) == len(mutations)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutations run in forked children")
@pytest.mark.parametrize("name", ["mutations.toml", "two_tower.toml"])
def test_each_planted_bug_is_found_by_its_tests_and_none_without_it(name):
    if name == "two_tower.toml" and find_spec("opacus") is None:
        pytest.skip("needs the extra ecomrec[opacus]")
    mutations, found = mutations_of(name), outcomes(FOLDER / name)
    plain = found.pop("unmutated")
    assert not plain["failed"], plain["output"]
    assert len(plain["passed"]) >= len({test for m in mutations for test in m["tests"]})
    survived = []
    for mutation in mutations:
        result = found[mutation["name"]]
        assert "error" not in result, f"{mutation['name']}: {result['error']}"
        print(f"{mutation['name']}: found by {', '.join(result['failed']) or 'NOTHING'}")  # noqa: T201
        survived += [f"{mutation['name']}: {test} passed" for test in result["passed"]]
    assert not survived, "\n".join(survived)


def planted(tmp_path, **changes):
    """A list of one mutation of the counts of a private model."""
    change = {
        "module": "ecomrec.privacy._releases",
        "function": "Releases.finish",
        "replace": [["count > 0", "count > 1"]],
    }
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in (change | changes).items())
    path = tmp_path / "mutations.toml"
    test = "test_mutations.py::test_every_known_bug_is_planted[mutations.toml-bugs0]"
    path.write_text(
        f'[[mutation]]\nname = "x"\nbug = "x"\ntests = ["{test}"]\n[[mutation.changes]]\n{lines}\n',
        encoding="utf-8",
    )
    return path


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutations run in forked children")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"replace": [["what is not there", ""]]}, "holds 0 times: what is not there"),
        ({"function": "Releases.gone"}, "there is no ecomrec.privacy._releases.Releases.gone"),
    ],
    ids=["text", "function"],
)
def test_a_mutation_that_no_longer_fits_the_source_fails_loudly(tmp_path, changes, words):
    assert words in outcomes(planted(tmp_path, **changes))["x"]["error"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutations run in forked children")
def test_a_mutation_that_nothing_finds_is_told_from_one_that_is_found(tmp_path):
    found = outcomes(planted(tmp_path))
    assert found["x"]["failed"] == []
    assert found["x"]["passed"] == [
        "test_mutations.py::test_every_known_bug_is_planted[mutations.toml-bugs0]"
    ]
