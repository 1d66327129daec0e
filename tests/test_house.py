"""The house rules that a program can check: layers, packaging, cheap import, README."""

import re
import subprocess
import sys
import time
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

import ecomrec

REPO = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]


def python(code):
    """Run `code` in a fresh interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imports_point_down_the_layers(capsys, monkeypatch):
    # It would turn off every logger that exists, for the tests that come after.
    monkeypatch.setattr("logging.config.dictConfig", lambda _: None)
    status = lint_imports(str(REPO / "pyproject.toml"), no_cache=True, no_logo=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_installed_version_is_the_one_in_the_source():
    assert metadata.version("ecomrec") == ecomrec.__version__


def test_changelog_knows_the_version():
    headings = re.findall(r"^## \[(.+?)\]", (REPO / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == ecomrec.__version__


@pytest.mark.parametrize(
    "path",
    ["py.typed", "datasets/data/online_retail.npz", "content/data/chinese_words.xz"],
)
def test_package_holds_its_data(path):
    assert resources.files("ecomrec").joinpath(path).is_file()


@pytest.mark.parametrize("name", ecomrec.__all__)
def test_public_name_loads_on_first_use(name):
    assert getattr(ecomrec, name) is not None
    assert name in dir(ecomrec)


def test_unknown_public_name_is_named():
    with pytest.raises(AttributeError, match="module 'ecomrec' has no attribute 'itemknn'"):
        ecomrec.itemknn  # noqa: B018


def test_import_loads_no_heavy_package():
    loaded = set(python("import sys, ecomrec; print(*sys.modules)").split())
    heavy = "numpy scipy sklearn pandas numba narwhals torch pyspark matplotlib pyarrow polars"
    assert not loaded & set(heavy.split())


@pytest.mark.slow
def test_import_costs_no_more_than_scikit_learns_base():
    def seconds(module):
        start = time.perf_counter()
        python(f"import {module}")
        return time.perf_counter() - start

    pairs = [(seconds("ecomrec"), seconds("sklearn.base")) for _ in range(7)]
    ours, theirs = map(min, zip(*pairs, strict=True))
    assert ours <= 1.15 * theirs, f"import ecomrec {ours:.3f} s, sklearn.base {theirs:.3f} s"


def test_constraints_pin_every_dependency_that_the_tests_install():
    extras = PROJECT["optional-dependencies"]
    wanted = list(PROJECT["dependencies"])
    for extra in (
        "parquet",
        "polars",
        "plot",
        "privacy",
        "cli",
        "tune",
        "testing",
        "test",
        "docs",
    ):
        wanted += [line for line in extras[extra] if not line.startswith("ecomrec[")]
    lines = (REPO / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower() for line in lines if "==" in line}
    missing = {re.split(r"[<>=!~\[; ]", line)[0] for line in wanted} - pinned
    assert not missing
    assert "torch==2.13.0" in lines


def test_readme_marks_both_commands():
    readme = (REPO / "README.md").read_text()
    commands = re.findall(r"<!-- command (\d) -->\n```bash\n(.+?)\n```", readme, re.DOTALL)
    assert [number for number, _ in commands] == ["1", "2"]
    assert "ecomrec demo" in commands[0][1]
    assert "pytest" in commands[1][1]


def test_api_page_lists_every_public_name():
    listed = set(re.findall(r"^   (\w+)$", (REPO / "docs" / "api.rst").read_text(), re.MULTILINE))
    modules = [getattr(ecomrec, name) for name in ecomrec.__all__]
    names = {name for module in modules for name in getattr(module, "__all__", ())}
    assert not names - listed
