"""Writes a leaderboard as `leaderboard.html`, one self-contained page."""

from pathlib import Path

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from recsys.evaluation.page import write_page
from recsys.evaluation.significance import p_text
from recsys.evaluation.svg import BLUE, CARD, GREY, ORANGE, STYLE, TEAL, svg
from recsys.tuning.leaderboard.plan import METRIC
from recsys.tuning.leaderboard.results import Board, Score, Standing
from recsys.tuning.leaderboard.tables import HEADLINES, SLICES, ratio


def write_html(board: Board, path: Path) -> None:
    """Write the page."""
    write_page(
        path,
        "leaderboard.html.jinja",
        package="recsys.tuning.leaderboard",
        board=board,
        metric=METRIC,
        headlines=HEADLINES,
        slices={standing.data.name: _slices(standing) for standing in board.standings},
        ratio=ratio,
        own_settings=own_settings,
        p_text=p_text,
        plots={
            standing.data.name: Markup(quality_against_cost(standing, f"cost{place}"))
            for place, standing in enumerate(board.standings)
            if standing.scores
        },
    )


def quality_against_cost(standing: Standing, name: str) -> str:
    """METRIC on test, with its interval over users, against the seconds of training; a point a model."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        axes = figure.add_subplot()
        drawn = set()
        for score in standing.scores:
            model = score.model
            colour, kind = (GREY, "peer") if model.peer else (ORANGE, "control") if model.control else (BLUE, "model")
            colour, kind = (TEAL, "best peer") if model.name == standing.best_peer else (colour, kind)
            low, high = score.intervals[METRIC]
            seconds = max(score.seconds.mean, 0.01)  # the axis is logarithmic
            axes.plot([seconds, seconds], [low, high], color=colour, linewidth=1.2, alpha=0.6)
            axes.plot(
                seconds,
                score.value,
                color=colour,
                marker="o",
                markersize=7,
                linestyle="none",
                label=None if kind in drawn else kind,
            )
            drawn.add(kind)
            axes.annotate(
                model.name,
                (seconds, score.value),
                (7, 0),
                textcoords="offset points",
                fontsize=8,
                va="center",
                bbox={"facecolor": CARD, "alpha": 0.75, "linewidth": 0, "pad": 0.8},
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="seconds to train (logarithmic)", ylabel=f"{METRIC} on test, 95% interval over users")
        axes.margins(x=0.15)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0)
        return svg(figure, name, f"Quality against cost on {standing.data.name}")


def own_settings(standing: Standing, score: Score) -> list[str]:
    """The configuration of a model without what all models on the data set have in common."""
    shared = ("name=", "evaluation.origins=")
    return [
        override
        for override in score.overrides
        if override not in standing.data.overrides and not override.startswith(shared)
    ]


def _slices(standing: Standing) -> list[str]:
    """The slices that any model has."""
    return [name for name in SLICES if any(name in score.test for score in standing.scores)]
