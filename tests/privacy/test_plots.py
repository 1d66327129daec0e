"""Plots of privacy: what is drawn is what the table and the ledger say."""

import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

pytest.importorskip("matplotlib", reason="extra plot")

from ecomrec.privacy.accounting.composition import GaussianEvent
from ecomrec.privacy.accounting.ledger import PrivacyLedger
from ecomrec.privacy.plots import (
    plot_accuracy_by_popularity,
    plot_privacy_accuracy,
    plot_spending,
)


def table(seeds=3):
    rows = [
        {"model": model, "epsilon": epsilon, "seed": seed, "recall": value + 0.01 * seed}
        for model, epsilon, value in [
            ("DPEASE", 4.0, 0.4),
            ("DPEASE", 1.0, 0.3),
            ("DPEASE", math.inf, 0.42),
            ("DPALS", 1.0, 0.25),
            ("DPALS", 4.0, 0.35),
            ("Popularity", math.nan, 0.18),
        ]
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows).assign(ndcg=0.5)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def curve(ax, number):
    line, _, bars = ax.containers[number]
    return *line.get_data(), bars[0].get_segments()


def test_curves_rise_with_epsilon_and_infinity_is_last():
    ax = plot_privacy_accuracy(table())
    x, mean, segments = curve(ax, 0)
    assert x.tolist() == [1.0, 4.0, 10.0]
    assert mean == pytest.approx([0.31, 0.41, 0.43])
    # t(0.975, 2 degrees) = 4.3027; the standard deviation of the seeds is 0.01.
    half = 4.3027 * 0.01 / math.sqrt(3)
    assert segments[0][:, 1] == pytest.approx([0.31 - half, 0.31 + half], abs=1e-5)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "4", "no\nnoise"]
    assert ax.get_xscale() == "log"


def test_baselines_are_level_lines_with_their_interval():
    ax = plot_privacy_accuracy(table())
    assert sorted(legend(ax)) == ["DPALS", "DPEASE", "Popularity"]
    (level,) = [line for line in ax.lines if line.get_label() == "Popularity"]
    assert level.get_ydata() == pytest.approx([0.19, 0.19])
    assert len(ax.patches) == 1


def test_one_seed_has_no_interval():
    ax = plot_privacy_accuracy(table(seeds=1), "recall")
    _, mean, segments = curve(ax, 0)
    assert np.ptp(segments[0][:, 1]) == 0.0
    assert mean[0] == 0.3
    assert not ax.patches


def test_only_infinity_can_be_drawn():
    ax = plot_privacy_accuracy(table().query("epsilon == inf"))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["no\nnoise"]


def test_tables_without_what_is_drawn_are_named():
    with pytest.raises(ValueError, match=r"table needs the columns \['model', 'epsilon'\]"):
        plot_privacy_accuracy(table().drop(columns="epsilon"))
    with pytest.raises(ValueError, match="and a metric"):
        plot_privacy_accuracy(table().drop(columns=["recall", "ndcg"]))
    with pytest.raises(ValueError, match=r"metric must be one of \['recall', 'ndcg'\]; got 'mrr'"):
        plot_privacy_accuracy(table(), "mrr")
    with pytest.raises(ValueError, match="no row with an epsilon"):
        plot_privacy_accuracy(table().query("model == 'Popularity'"))


@pytest.mark.parametrize("draw", [plot_privacy_accuracy, plot_accuracy_by_popularity])
def test_the_first_column_of_numbers_is_the_metric(draw):
    wordy = table().assign(popularity="all")
    wordy.insert(0, "dataset", "shop")
    wordy.insert(0, "private", True)
    assert draw(wordy).get_ylabel().startswith("recall, mean")
    with pytest.raises(ValueError, match=r"metric must be one of \['recall', 'ndcg'\]"):
        draw(wordy, "dataset")
    numbered = wordy.rename(columns={"recall": 10})
    assert draw(numbered).get_ylabel().startswith("10, mean")
    assert draw(numbered, 10).get_ylabel().startswith("10, mean")


@pytest.mark.parametrize("draw", [plot_privacy_accuracy, plot_accuracy_by_popularity])
def test_tables_of_every_kind_are_drawn(draw):
    wanted = draw(table().assign(popularity="all"))
    for kind in (pl.DataFrame, pa.table):
        columns = table().assign(popularity="all").to_dict("list")
        ax = draw(kind(columns))
        np.testing.assert_allclose(curve(ax, 0)[1], curve(wanted, 0)[1])
    with pytest.raises(ValueError, match="epsilon must hold numbers"):
        draw(table().assign(popularity="all", epsilon="high"))


def test_spending_is_drawn_against_the_budget():
    ledger = PrivacyLedger(None, 1.0, 1e-6)
    with pytest.raises(ValueError, match="nothing was charged"):
        plot_spending(ledger)
    for month in ("May", "June", "July"):
        ledger.charge([GaussianEvent(9.0)], label=month)
        ax = plot_spending(ledger)
    spent, budget = ax.lines
    assert spent.get_ydata() == pytest.approx(ledger.to_frame()["epsilon"])
    assert len(spent.get_xdata()) == 3
    assert budget.get_ydata() == pytest.approx([1.0, 1.0])
    assert ax.get_ylim()[1] > 1.0
    ax.figure.canvas.draw()


def test_parts_of_the_catalogue_keep_their_order():
    parts = pd.DataFrame(
        [
            {"model": "DPEASE", "epsilon": epsilon, "popularity": part, "seed": seed, "recall": v}
            for epsilon in (1.0, math.inf)
            for part, v in (("rare", 0.1), ("middle", 0.3), ("popular", 0.5))
            for seed in range(2)
        ]
    )
    ax = plot_accuracy_by_popularity(parts)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["rare", "middle", "popular"]
    assert legend(ax) == ["DPEASE, epsilon 1", "DPEASE, no noise"]
    x, mean, _ = curve(ax, 0)
    assert np.round(x).tolist() == [0.0, 1.0, 2.0]
    assert mean == pytest.approx([0.1, 0.3, 0.5])
    assert legend(plot_accuracy_by_popularity(parts.drop(columns="epsilon"))) == ["DPEASE"]


@pytest.mark.parametrize("draw", [plot_privacy_accuracy, plot_accuracy_by_popularity])
def test_axes_of_the_caller_are_drawn_on(draw):
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert draw(table().assign(popularity="all"), ax=ax) is ax
    assert ax.containers
