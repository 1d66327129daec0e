"""What `ecomrec.evaluation` offers, and that offering it costs nothing."""

import subprocess
import sys

import pytest

from ecomrec import evaluation


@pytest.mark.parametrize("name", evaluation.__all__)
def test_each_public_name_is_there_and_documented(name):
    assert getattr(evaluation, name).__doc__
    assert name in dir(evaluation)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'accuracy'"):
        evaluation.accuracy  # noqa: B018


def test_importing_the_package_loads_nothing_heavy():
    heavy = "{'pandas', 'scipy', 'sklearn', 'matplotlib', 'narwhals', 'numba'}"
    code = f"import sys, ecomrec.evaluation; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
