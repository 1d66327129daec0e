"""Sphinx settings. Builds offline: sphinx-build -n -W docs docs/_build."""

import inspect

import ecomrec

project = "ecomrec"
author = "The ecomrec developers"
copyright = f"2026, {author}"
version = release = ecomrec.__version__

extensions = [
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
default_role = "code"

html_theme = "pydata_sphinx_theme"
html_theme_options = {"navigation_with_keys": False, "show_prev_next": False}
html_show_sourcelink = False

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
copybutton_exclude = ".linenos, .gp, .go"

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "write_computation_times": False,
}

# Every reference must resolve, except those to other projects, whose inventories lie elsewhere.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(np|numpy|scipy|sklearn|pd|pandas|pl|polars|pa|pyarrow|narwhals|nw)\..*"),
    (r"py:.*", r"(datetime|uuid|collections|pathlib|os|typing|matplotlib|hypothesis)\..*"),
    (r"py:.*", r"(BaseEstimator|TransformerMixin|ValueError|LookupError|Exception)"),
]


def skip_inherited(app, what, name, obj, skip, options):
    """Leave out what scikit-learn brings: its docstrings refer to pages of its own."""
    module = getattr(inspect.unwrap(obj) if callable(obj) else obj, "__module__", None)
    return True if module and module.startswith("sklearn.") else None


def setup(app):
    """Register the handler above."""
    app.connect("autodoc-skip-member", skip_inherited)
