"""Where compiled kernels are kept: each case is a process with its own copy of the decorator."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest

from ecomrec.kernels import _jit

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")

KERNELS = """
from ecomrec.kernels._jit import jit

@jit
def doubled(values):
    return values * 2

@jit
def filled(values, start):
    for at in range(len(values)):
        values[at] = start + at
"""
USE = """
import json, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import numpy as np
    from ecomrec.kernels import example
    numbers = np.zeros(2, dtype=np.int32)
    example.filled(numbers, 7)
    answer = example.doubled(np.array([1.5])).tolist() + numbers.tolist()
stats = [kernel.stats for kernel in (example.doubled, example.filled)]
print(json.dumps({
    "file": example.__file__,
    "answer": answer,
    "hits": sum(sum(s.cache_hits.values()) for s in stats),
    "misses": sum(sum(s.cache_misses.values()) for s in stats),
    "warnings": [f"{w.category.__name__}: {w.message}" for w in caught],
}))
"""
ANSWER = [3.0, 7, 8]
HITS = {"answer": ANSWER, "hits": 2, "misses": 0, "warnings": []}
COMPILED = {"answer": ANSWER, "hits": 0, "misses": 2, "warnings": []}
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'


def copied(folder):
    """A folder to import the decorator and two kernels from, without anything compiled."""
    site = folder / "site"
    package = site / "ecomrec" / "kernels"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    for name in ("__init__.py", "_jit.py"):
        shutil.copy(Path(_jit.__file__).parent / name, package)
    (package / "example.py").write_text(KERNELS)
    return site


def run(site, *before, cache_dir=None, home=None, **options):
    """Use the two kernels in a fresh process and report what happened."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "XDG_"))}
    # Without a home of their own, kernels that cannot stay beside their source would go there.
    environment |= {"PYTHONPATH": str(site), "HOME": str(home or site)}
    if cache_dir is not None:
        environment["NUMBA_CACHE_DIR"] = str(cache_dir)
    done = subprocess.run(
        [*before, sys.executable, "-c", USE],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert Path(report.pop("file")).is_relative_to(site)
    return report


def mounted_read_only(folder):
    """Words to put before a command so that it sees `folder` on a read-only mount."""
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-rm"]
    before = [*unshare, "sh", "-c", READ_ONLY, str(folder)]
    try:
        probe = subprocess.run(
            [*before, "touch", str(folder / "probe")], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("no read-only mount: the unshare command is missing")
    if "Read-only file system" not in probe.stderr:
        pytest.skip(f"no read-only mount: not permitted here ({probe.stderr.strip()})")
    return before


@pytest.fixture(scope="module")
def populated(tmp_path_factory):
    """A copy whose kernels have been compiled beside their source."""
    site = copied(tmp_path_factory.mktemp("populated"))
    assert run(site) == COMPILED
    return site


def test_the_next_process_compiles_nothing(populated):
    assert run(populated) == HITS


def test_code_of_before_another_kernel_file_changed_is_not_run(tmp_path):
    site = copied(tmp_path)
    other = site / "ecomrec" / "kernels" / "helper.py"
    other.write_text("FACTOR = 2\n")
    assert run(site) == COMPILED
    assert run(site) == HITS
    other.write_text("FACTOR = 3\n")  # what a kernel calls lies in other files as well
    assert run(site) == COMPILED
    assert run(site) == HITS


def test_a_populated_cache_on_a_read_only_mount_is_used(populated):
    for source in populated.rglob("*.py"):
        # Layers of an image may change times; the content decides.
        os.utime(source, (1, 1))
    assert run(populated, *mounted_read_only(populated)) == HITS


def test_a_populated_cache_without_the_right_to_write_is_used(populated, tmp_path):
    """A server runs as a user who may read the package and write nothing."""
    site = tmp_path / "site"
    shutil.copytree(populated, site)
    paths = [site, *site.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    # Root may write anywhere, unless it gives that right up.
    before = ["setpriv", "--bounding-set", "-all"] if os.geteuid() == 0 else []
    try:
        if subprocess.run([*before, "touch", str(site / "probe")], check=False).returncode == 0:
            pytest.skip("folders cannot be made read-only here")
        assert run(site, *before) == HITS
    except FileNotFoundError:
        pytest.skip("root cannot give up its rights here: the setpriv command is missing")
    finally:
        for path in paths:
            path.chmod(0o755)


def test_a_named_cache_folder_is_filled_and_used_read_only(tmp_path):
    site, cache = copied(tmp_path), tmp_path / "cache"
    assert run(site, cache_dir=cache) == COMPILED
    assert list(cache.rglob("*.nbi"))
    assert not list(site.rglob("*.nbi"))
    assert run(site, *mounted_read_only(tmp_path), cache_dir=cache) == HITS


def test_a_named_cache_folder_helps_where_the_package_holds_a_stale_cache(populated, tmp_path):
    """An image may hold kernels that another version or machine had compiled."""
    site, cache = tmp_path / "site", tmp_path / "cache"
    shutil.copytree(populated, site)
    with (site / "ecomrec" / "kernels" / "example.py").open("a") as source:
        source.write("\n# changed\n")
    before = mounted_read_only(site)
    assert run(site, *before, cache_dir=cache) == COMPILED
    assert run(site, *before, cache_dir=cache) == HITS


def test_without_any_cache_kernels_work_and_say_so_once(tmp_path):
    site = copied(tmp_path)
    report = run(site, *mounted_read_only(site), home=site / "nobody")
    (warning,) = report.pop("warnings")
    assert warning.startswith("RuntimeWarning: Compiled kernels cannot be cached (")
    assert "Set NUMBA_CACHE_DIR to a writable folder, or run 'ecomrec warmup'" in warning
    assert report["answer"] == ANSWER


def test_code_that_another_process_left_under_this_name_is_not_run(populated, tmp_path):
    """Processes that compile at the same time may both take the number that is free."""
    site = tmp_path / "site"
    shutil.copytree(populated, site)
    doubled, filled = (next(site.rglob(f"example.{name}-*.nbc")) for name in ("doubled", "filled"))
    shutil.copy(filled, doubled)
    assert run(site) == HITS | {"hits": 1, "misses": 1}
    assert run(site) == HITS


def test_processes_that_compile_at_the_same_time_leave_one_whole_cache(tmp_path):
    site = copied(tmp_path)
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(run, [site] * 3))
    assert [report["answer"] for report in reports] == [ANSWER] * 3
    assert run(site) == HITS
    assert not list(site.rglob("*.tmp.*"))


def test_a_full_disk_leaves_kernels_working_and_says_so_once(monkeypatch):
    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(numba.core.caching.FunctionCache, "save_overload", no_space)
    monkeypatch.setattr(_jit, "_warned", False)

    @_jit.jit
    def twice(values):
        return values + values

    assert numba.core.caching.FunctionCache.save_overload is no_space
    with pytest.warns(RuntimeWarning, match="cannot be cached .*No space left on device"):
        found = twice(np.array([1.5, 2.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        more = twice(np.array([1, 2]))
    assert (found.tolist(), more.tolist()) == ([3.0, 4.0], [2, 4])


def test_kernels_keep_inside_their_arrays():
    """Compiled code checks no bounds: as plain Python, every kernel passes the same tests."""
    here = Path(__file__).parent
    names = [f"test_{name}.py" for name in ("assemble", "ranking", "neighbors", "ratings")]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *(here / n for n in names),
        ],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        cwd=here.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert " passed" in done.stdout
