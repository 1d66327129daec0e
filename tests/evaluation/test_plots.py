"""Plots of comparisons: on the axes given, without pyplot's state."""

import sys

import pytest

from ecomrec.evaluation import compare, plot_comparison, train_test_split

pytest.importorskip("matplotlib")


@pytest.fixture
def result(stub, events):
    models = {"popular": stub(), "unpopular": stub(reverse=True)}
    return compare(models, *train_test_split(events), k=4, exclude_seen=(True, False))


def test_points_and_bars_are_the_means_and_intervals(result):
    axes = plot_comparison(result, "recall")
    frame = result.to_frame()
    for container, variant in zip(axes.containers, frame["variant"].unique(), strict=True):
        rows = frame[frame["variant"] == variant]
        line, _, (bars,) = container
        assert line.get_xdata().tolist() == rows["recall"].tolist()
        ends = [segment[:, 0].tolist() for segment in bars.get_segments()]
        expected = rows[["recall_low", "recall_high"]].to_numpy()
        assert ends == [pytest.approx(pair) for pair in expected]


def test_models_are_named_and_variants_told_apart(result):
    axes = plot_comparison(result)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["popular", "unpopular"]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["new items", "repeats allowed"]
    assert axes.get_xlabel().startswith("ndcg@4")


def test_draws_on_the_axes_that_are_given(result):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert result.plot("recall", ax=axes) is axes


def test_leaves_pyplot_alone(result, tmp_path):
    before = "matplotlib.pyplot" in sys.modules
    plot_comparison(result).figure.savefig(tmp_path / "recall.png")
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_an_unknown_metric_is_named(result):
    with pytest.raises(ValueError, match=r"metric must be one of \['ndcg', .*\]; got 'auc'"):
        plot_comparison(result, "auc")


def test_without_matplotlib_it_says_what_to_install(result, monkeypatch):
    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] == "matplotlib":
                raise ModuleNotFoundError(f"No module named {name!r}", name="matplotlib")

    for name in [one for one in sys.modules if one.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    with pytest.raises(ImportError, match=r"pip install 'ecomrec\[plot\]'"):
        plot_comparison(result)
