"""The plots of the run report; `recsys.evaluation.report` lays out the page."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from recsys.evaluation.svg import BLUE, GREY, ORANGE, STYLE, TEAL, svg


def learning_curves(history: pd.DataFrame) -> str | None:
    """Small multiples over the epochs: all losses in one panel, one panel for each further validation metric.

    Args:
        history: Lightning's `metrics.csv`: `epoch`, and columns like `train/loss` and `val/ndcg@10`, with gaps.

    Returns:
        None if nothing was recorded.
    """
    epochs = history.drop(columns="step", errors="ignore").groupby("epoch").mean(numeric_only=True)
    epochs = epochs.dropna(axis="columns", how="all")
    epochs.columns = epochs.columns.astype(str)
    losses = [name for name in epochs.columns if "loss" in name]
    panels = [losses] if losses else []
    panels += [[name] for name in epochs.columns if name.startswith("val/") and name not in losses]
    if not panels:
        return None
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 2.4 * rows), layout="constrained")
        for place, names in enumerate(panels, start=1):
            axes = figure.add_subplot(rows, columns, place)
            for name, colour in zip(names, (BLUE, ORANGE, TEAL, GREY), strict=False):
                curve = epochs[name].dropna()
                axes.plot(curve.index, curve, color=colour, marker="o", markersize=3, label=name)
            axes.set_title("loss" if names is losses else names[0])
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if names is losses:
                axes.legend()
        return svg(figure, "learning", "Learning curves")


def slice_bars(by_slice: Mapping[str, Mapping[str, float]], names: tuple[str, ...]) -> str:
    """A group of bars for each slice, a bar for each of up to three metrics."""
    slices = list(by_slice)
    height = 0.8 / len(names)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 0.9 + 0.55 * len(slices)), layout="constrained")
        axes = figure.add_subplot()
        for i, (name, colour) in enumerate(zip(names, (BLUE, TEAL, ORANGE), strict=False)):
            place = np.arange(len(slices)) + (i - (len(names) - 1) / 2) * height
            bars = axes.barh(place, [by_slice[s][name] for s in slices], height * 0.9, color=colour, label=name)
            axes.bar_label(bars, fmt="%.3f", padding=3, fontsize=8)
        axes.set_yticks(np.arange(len(slices)), [s.replace("_", " ") for s in slices])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.08)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(names), borderaxespad=0)
        return svg(figure, "slices", "Ranking metrics by slice")


def calibration(label: np.ndarray, probability: np.ndarray) -> str:
    """Reliability diagram: mean soft label of the pairs in each tenth of the probability, and how many there are."""
    edges = np.linspace(0, 1, 11)
    bin_of = np.clip(np.digitize(probability, edges[1:-1]), 0, 9)
    count = np.bincount(bin_of, minlength=10)
    filled = count > 0
    mean_probability = np.bincount(bin_of, probability, 10)[filled] / count[filled]
    mean_label = np.bincount(bin_of, label, 10)[filled] / count[filled]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.4, 4.4), layout="constrained")
        reliability, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        reliability.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2, label="perfectly calibrated")
        reliability.plot(mean_probability, mean_label, color=BLUE, marker="o", label="model")
        reliability.set(ylabel="mean soft label", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        reliability.legend(loc="upper left")
        counts.bar(edges[:-1] + 0.05, count, 0.09, color=BLUE)
        counts.set(xlabel="predicted probability", ylabel="pairs")
        counts.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        return svg(figure, "calibration", "Calibration of the predicted probability")


def score_distribution(positive: np.ndarray, score: np.ndarray, is_probability: bool) -> str:
    """Histograms of positive and negative pairs, probabilities always over [0, 1]: a collapsed model is one spike."""
    low, high = (0.0, 1.0) if is_probability else (float(score.min()), float(score.max()))
    bins = np.linspace(low, high if high > low else low + 1, 41)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.4, 4.4), layout="constrained")
        axes = figure.add_subplot()
        for chosen, colour, name in ((~positive, ORANGE, "negatives"), (positive, BLUE, "positives")):
            share = np.full(chosen.sum(), 1 / max(chosen.sum(), 1))
            axes.hist(score[chosen], bins.tolist(), weights=share, label=name, **_filled(colour))
        axes.set(xlabel="predicted probability" if is_probability else "score", ylabel="share of pairs")
        axes.legend()
        return svg(figure, "scores", "Scores of positive and negative pairs")


def confusion(positive: np.ndarray, predicted: np.ndarray) -> str:
    """Confusion matrix of the pairs: how many there are of each kind, and which share of the actual kind that is."""
    kinds = ("negative", "positive")
    count = np.bincount(2 * positive.astype(int) + predicted.astype(int), minlength=4).reshape(2, 2)
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.4, 4.4), layout="constrained")
        axes = figure.add_subplot()
        shades = LinearSegmentedColormap.from_list("share", [to_rgba(BLUE, 0.08), to_rgba(BLUE, 0.7)])
        axes.pcolormesh(kinds, kinds, share, cmap=shades, vmin=0, vmax=1)
        for actual, guess in np.ndindex(2, 2):
            text = f"{count[actual, guess]:,}\n{share[actual, guess]:.1%}"
            axes.text(guess, actual, text, ha="center", va="center", fontsize=13)
        axes.grid(visible=False)
        axes.invert_yaxis()
        axes.set(xlabel="predicted", ylabel="actual", aspect="equal")
        return svg(figure, "confusion", "Confusion matrix of the pairs")


def popularity(recommended: np.ndarray, consumed: np.ndarray) -> str:
    """How many events the recommended and the consumed contents had; a value for each place or positive."""
    most = max(recommended.max(initial=1), consumed.max(initial=1))
    bins = np.unique(np.floor(np.geomspace(1, most + 2, 25)))  # whole numbers, so that no bin lies between two counts
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 2.9), layout="constrained")
        axes = figure.add_subplot()
        for events, colour, name in ((consumed, ORANGE, "consumed"), (recommended, BLUE, "recommended, top 10")):
            share = np.full(len(events), 1 / max(len(events), 1))
            axes.hist(events + 1, bins.tolist(), weights=share, label=name, **_filled(colour))
        axes.set(xscale="log", xlabel="events of the content before the query time, plus 1", ylabel="share")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.legend()
        return svg(figure, "popularity", "Popularity of recommended and consumed contents")


def _filled(colour: str) -> dict[str, Any]:
    """The look of a histogram that shows another one behind it."""
    return {"histtype": "stepfilled", "facecolor": to_rgba(colour, 0.4), "edgecolor": colour, "linewidth": 1.4}
