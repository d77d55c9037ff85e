"""The plots of a sweep's report; `recsys.tuning.report` lays out the page."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from recsys.evaluation.svg import BLUE, CARD, GREY, ORANGE, STYLE, TEAL, svg
from recsys.tuning.comparison import Comparison
from recsys.tuning.results import SweepResults
from recsys.tuning.space import shortened

_WORSE_TO_BETTER = LinearSegmentedColormap.from_list("quality", ["#8b949e59", TEAL, BLUE])
_COLUMNS = 3


def history(sweep: SweepResults) -> str:
    """Each trial's objectives by its number, and the best so far; a pruned trial at its last value."""
    completed = sweep.completed()
    pruned = [trial for trial in sweep.trials if trial.state == TrialState.PRUNED and trial.values]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 2.8 * len(sweep.objectives)), layout="constrained")
        for place, objective in enumerate(sweep.objectives):
            axes = figure.add_subplot(len(sweep.objectives), 1, place + 1)
            numbers = [trial.number for trial in completed]
            values = np.array([trial.values[place] for trial in completed])
            if pruned and place == 0:
                last = [trial.values[0] for trial in pruned]
                axes.scatter([trial.number for trial in pruned], last, marker="x", color=GREY, label="pruned")
            axes.scatter(numbers, values, s=22, color=BLUE, alpha=0.8, label="finished")
            so_far = np.maximum.accumulate(values) if sweep.maximizes(place) else np.minimum.accumulate(values)
            axes.step(numbers, so_far, where="post", color=ORANGE, label="best so far")
            axes.set(xlabel="trial", ylabel=objective)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            if place == 0:
                _legend_above(axes)
        return svg(figure, "history", "Optimisation history")


def importances(of_objectives: Mapping[str, Mapping[str, float]]) -> str:
    """A bar for each param, for each objective a panel."""
    names = next(iter(of_objectives.values()))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, (0.8 + 0.32 * len(names)) * len(of_objectives)), layout="constrained")
        for place, (objective, values) in enumerate(of_objectives.items(), start=1):
            axes = figure.add_subplot(len(of_objectives), 1, place)
            bars = axes.barh(list(values), list(values.values()), 0.7, color=BLUE)
            axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
            axes.set_title(objective)
            axes.invert_yaxis()
            axes.grid(visible=False, axis="y")
            axes.set_xlim(0, 1.08)
        return svg(figure, "importances", "Importance of the params")


def slices(sweep: SweepResults, objective: int, params: Sequence[str]) -> str:
    """The objective against each param, a panel each; the best trials stand out."""
    completed, best = sweep.completed(), {trial.number for trial in sweep.best()}
    columns = min(len(params), _COLUMNS)
    rows = -(-len(params) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 2.5 * rows), layout="constrained")
        first: Axes | None = None
        for place, name in enumerate(params, start=1):
            axes = figure.add_subplot(rows, columns, place, sharey=first)
            first = first or axes
            scale = _Scale(name, completed)
            trials = [trial for trial in completed if name in trial.params]
            for chosen, look in (
                ([t for t in trials if t.number not in best], {"color": BLUE, "alpha": 0.55, "s": 20}),
                ([t for t in trials if t.number in best], {"color": ORANGE, "s": 42, "zorder": 3}),
            ):
                axes.scatter([scale.place(t) for t in chosen], [t.values[objective] for t in chosen], **look)  # type: ignore[arg-type]
            scale.apply_to_x(axes)
            axes.set_title(name)
            if (place - 1) % columns == 0:
                axes.set_ylabel(sweep.objectives[objective])
            else:
                axes.tick_params(labelleft=False)
        return svg(figure, f"slices{objective}", f"{sweep.objectives[objective]} against each param")


def parallel(sweep: SweepResults, objective: int, params: Sequence[str]) -> str:
    """A line for each finished trial through its params to the objective, drawn from the worst to the best."""
    trials = sweep.ranked(objective)[::-1]
    values = np.array([trial.values[objective] for trial in trials])
    scales = [_Scale(name, trials) for name in params]
    heights = np.array([[scale.share(trial) for scale in scales] for trial in trials])
    low, high = values.min(), values.max()
    heights = np.column_stack([heights, (values - low) / (high - low) if high > low else np.full(len(values), 0.5)])
    places = np.arange(len(params) + 1)
    lines = [np.column_stack([places, line]) for line in heights]
    quality = np.linspace(0, 1, len(lines)) if len(lines) > 1 else np.ones(1)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.9), layout="constrained")
        axes = figure.add_subplot()
        axes.add_collection(
            LineCollection(lines, colors=_WORSE_TO_BETTER(quality).tolist(), linewidths=1.3), autolim=False
        )
        axes.plot(*lines[-1].T, color=ORANGE, linewidth=2.6, marker="o", markersize=4)
        for place, scale in enumerate(scales):
            for height, text in scale.labels():
                _write(axes, text, (place, height))
        for height, value in {0.0: low, 1.0: high}.items() if high > low else [(0.5, low)]:
            _write(axes, f"{value:.4g}", (len(params), height))
        axes.set(xlim=(-0.05, len(params) + 0.3), ylim=(-0.06, 1.06))
        ticks = [*(_wrapped(name) for name in params), sweep.objectives[objective]]
        axes.set_xticks(places, ticks, fontsize=8)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(visible=True, axis="x", linewidth=1)
        return svg(figure, f"parallel{objective}", "Params of all finished trials")


def learning_curves(sweep: SweepResults, curves: pd.DataFrame) -> str | None:
    """The first objective by epoch, a line for each trial: pruned ones grey and ending in a cross, the best on top.

    Args:
        sweep: whose trials they are.
        curves: `SweepResults.curves`.

    Returns:
        None if no trial has a value of an epoch.
    """
    known = curves.dropna(subset=["value"])
    if known.empty:
        return None
    of_trials = dict(iter(known.groupby("trial")))
    best = [trial.number for trial in sweep.best()[:1]]
    looks = {
        TrialState.PRUNED: (GREY, 0.5, "pruned"),
        TrialState.FAIL: (GREY, 0.5, "failed"),
        TrialState.COMPLETE: (BLUE, 0.45, "finished"),
        TrialState.RUNNING: (TEAL, 0.9, "running"),
    }
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        axes = figure.add_subplot()
        drawn = set()
        for trial in sorted(sweep.trials, key=lambda trial: (trial.number in best, trial.state != TrialState.PRUNED)):
            if trial.number not in of_trials or trial.state not in looks:
                continue
            curve = of_trials[trial.number]
            colour, alpha, name = looks[trial.state]
            if trial.number in best:
                colour, alpha, name = ORANGE, 1, f"best, trial {trial.number}"
            axes.plot(
                curve["epoch"],
                curve["value"],
                color=colour,
                alpha=alpha,
                linewidth=2.4 if trial.number in best else 1.2,
                marker="." if len(curve) == 1 else None,
                label=None if name in drawn else name,
            )
            drawn.add(name)
            if trial.state in (TrialState.PRUNED, TrialState.FAIL):
                axes.plot(curve["epoch"].iloc[-1], curve["value"].iloc[-1], color=GREY, marker="x", markersize=5)
        axes.set(xlabel="epoch", ylabel=sweep.objectives[0])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _legend_above(axes)
        return svg(figure, "curves", "Learning curves of the trials")


def pareto_front(sweep: SweepResults) -> str:
    """Each pair of objectives, with the trials that no other one beats in all of them."""
    completed, front = sweep.completed(), sweep.best()
    pairs = list(combinations(range(len(sweep.objectives)), 2))
    columns = min(len(pairs), 2)
    rows = -(-len(pairs) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9 if columns > 1 else 6, 3.8 * rows), layout="constrained")
        for place, (x, y) in enumerate(pairs, start=1):
            axes = figure.add_subplot(rows, columns, place)
            axes.scatter(
                [t.values[x] for t in completed], [t.values[y] for t in completed], s=20, color=BLUE, alpha=0.5
            )
            ends = sorted((trial.values[x], trial.values[y]) for trial in front)
            joined = {"linestyle": "--", "linewidth": 1.2} if len(sweep.objectives) == 2 else {"linestyle": "none"}
            axes.plot(*zip(*ends, strict=True), color=ORANGE, marker="o", markersize=6, label="Pareto front", **joined)
            for trial in front:
                _write(axes, str(trial.number), (trial.values[x], trial.values[y]))
            axes.set(xlabel=_with_direction(sweep, x), ylabel=_with_direction(sweep, y))
            axes.margins(0.1)
            if place == 1:
                _legend_above(axes)
        return svg(figure, "pareto", "Pareto front")


def forest(comparison: Comparison) -> str:
    """The difference from the baseline of each compared configuration with its interval, the best on top."""
    rows = [row for row in comparison.rows if row.difference is not None]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 0.9 + 0.34 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0, color=GREY, linestyle="--", linewidth=1.2)
        for place, row in enumerate(rows):
            difference = row.difference
            assert difference is not None
            better = (difference.mean > 0) == comparison.maximizes
            colour = GREY if not difference.stars else TEAL if better else ORANGE
            axes.plot([difference.low, difference.high], [place, place], color=colour, linewidth=2)
            axes.plot(difference.mean, place, color=colour, marker="o", markersize=6)
            _write(axes, difference.stars, (difference.high, place), colour)
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(f"difference in {comparison.objective} from the baseline, 95% interval over users")
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.08)
        return svg(figure, "forest", "Differences from the baseline")


class _Scale:
    """Where a param's values lie on an axis: as numbers, their logarithms, or one place for each choice.

    Args:
        name: of the param.
        trials: which of them have the param and what values there are.
    """

    def __init__(self, name: str, trials: Sequence[FrozenTrial]) -> None:
        self.name = name
        having = [trial for trial in trials if name in trial.params]
        distribution = having[-1].distributions[name]
        self._whole = isinstance(distribution, IntDistribution)
        self._log = bool(getattr(distribution, "log", False))
        self._choices: list[object] | None = None
        values = {trial.params[name] for trial in having}
        if isinstance(distribution, CategoricalDistribution):
            numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
            in_order = sorted(values) if numbers else [c for c in distribution.choices if c in values]
            self._choices = list(in_order)
            self._ends = (0.0, float(len(in_order) - 1))
        else:
            self._ends = (float(min(values)), float(max(values)))

    def place(self, trial: FrozenTrial) -> float:
        """Where the trial's value lies; NaN if it has none."""
        if self.name not in trial.params:
            return float("nan")
        value = trial.params[self.name]
        return float(value) if self._choices is None else float(self._choices.index(value))

    def share(self, trial: FrozenTrial) -> float:
        """Likewise, from 0 at the least value to 1 at the largest."""
        low, high = self._ends
        at = self.place(trial)
        if self._log:
            low, high, at = np.log(low), np.log(high), np.log(at)
        return float((at - low) / (high - low)) if high > low else 0.5 + 0 * at

    def labels(self) -> list[tuple[float, str]]:
        """Share of the axis and text of the values to write beside it."""
        low, high = self._ends
        if self._choices is not None:
            return [(at / high if high else 0.5, _short(choice)) for at, choice in enumerate(self._choices)]
        return [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")] if high > low else [(0.5, f"{low:.4g}")]

    def apply_to_x(self, axes: Axes) -> None:
        """Give a panel's x axis this scale."""
        if self._choices is not None:
            crowded = sum(len(_short(choice)) for choice in self._choices) > 26
            axes.set_xticks(range(len(self._choices)), [_short(choice) for choice in self._choices], fontsize=8)
            axes.tick_params(axis="x", rotation=30 if crowded else 0)
            axes.set_xlim(-0.5, len(self._choices) - 0.5)
            return
        if self._log:
            axes.set_xscale("log")
            low, high = self._ends
            if high / low < 10:
                axes.xaxis.set_major_locator(FixedLocator([low, high] if high > low else [low]))
            else:
                axes.xaxis.set_major_locator(LogLocator(numticks=5))
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=self._whole, min_n_ticks=1))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))


def _short(value: object, most: int = 16) -> str:
    """A value in a few characters."""
    text = shortened(value)  # type: ignore[arg-type]
    return text if len(text) <= most else text[: most - 1] + "…"


def _wrapped(name: str) -> str:
    """A param's dotted name over two lines."""
    group, dot, last = name.rpartition(".")
    return f"{group}{dot}\n{last}" if dot else name


def _with_direction(sweep: SweepResults, objective: int) -> str:
    return f"{sweep.objectives[objective]} ({'more' if sweep.maximizes(objective) else 'less'} is better)"


def _write(axes: Axes, text: str, at: tuple[float, float], colour: str | None = None) -> None:
    """Small text to the right of a point."""
    behind = {"facecolor": CARD, "alpha": 0.75, "linewidth": 0, "pad": 0.8}
    axes.annotate(
        text, at, (5, 0), textcoords="offset points", fontsize=8, va="center", color=colour, bbox=behind, zorder=5
    )


def _legend_above(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=5, borderaxespad=0)
