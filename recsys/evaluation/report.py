"""Writes `report.html`, one self-contained page on a run; its plots are `recsys.evaluation.plots`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from recsys.data.cleaning_report import CleaningReport
from recsys.data.event_log import EventLog
from recsys.evaluation import plots
from recsys.evaluation.examples import example_users, minute
from recsys.evaluation.page import write_page
from recsys.evaluation.protocol import COLD_CONTENTS, SHOWN, Evaluation
from recsys.evaluation.references import COLD_RIVALS, ORACLE, References
from recsys.sources.base import LEAK

COLLAPSED = 0.05  # a smaller spread of the probabilities says nothing about who likes what
COLD_SHOWN = ("users", "positives", "ndcg@10", "recall@20", "mrr@10", "hit_rate@10")  # of cold contents
SPREAD = ("coverage", "novelty", "diversity", "gini")
DISCOVERY = ("discovery", "discovery_hits", "discovery_users")
HEADLINES = (
    *("ndcg@10", "recall@10", "recall@20", "precision@10", "map@10", "mrr@10", "hit_rate@10"),
    *(f"{name}@{SHOWN}" for name in (*SPREAD, *DISCOVERY)),
    *("auroc", "average_precision", "f1", "loss", "mae", "rmse", "score_spread", "score_std"),
)


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """All that the page shows.

    Attributes:
        name: of the run.
        model: the model's name.
        seed: of the run.
        log: the event log, also for titles and histories.
        validation, test: of the model, both with lists of 10 and 20 among their metrics.
        cleaning: what happened to the rows of the tables.
        started: when the run began.
        seconds: stage -> its duration, s.
        config: the whole configuration as text.
        references: what other scorers (popularity, oracle, ...) reach.
        history: Lightning's `metrics.csv`, for a model that was trained by epochs.
        refit_epochs: for how many epochs the tested model was trained on everything before test; None if it was not.
    """

    name: str
    model: str
    seed: int
    log: EventLog
    validation: Evaluation
    test: Evaluation
    cleaning: CleaningReport
    started: datetime
    seconds: Mapping[str, float]
    config: str
    references: References
    history: pd.DataFrame | None = None
    refit_epochs: int | None = None


def write_report(path: Path, inputs: ReportInputs) -> Path:
    """Write the page to `path`."""
    return write_page(
        path,
        "report.html.jinja",
        run=inputs,
        log=inputs.log,
        at=minute(inputs.log.boundaries.t_test),
        span=(minute(inputs.log.time[0]), minute(inputs.log.time[-1])),
        sizes=_sizes(inputs.log),
        warnings=_warnings(inputs),
        references=list(_references(inputs)),
        cold_columns=COLD_SHOWN,
        cold_rows=_cold_rows(inputs),
        figures=_figures(inputs.test),
        headline_rows=_metric_rows(inputs, HEADLINES),
        all_rows=_metric_rows(inputs, tuple(inputs.test.metrics["all"])),
        slice_rows=[name for name in HEADLINES if name in inputs.test.metrics["all"]],
        plots={name: Markup(svg) for name, svg in _plots(inputs).items()},
        cleaning=inputs.cleaning.to_frame().to_dict("records"),
        users=example_users(inputs.log, inputs.test, inputs.seed),
    )


def _sizes(log: EventLog) -> dict[str, int]:
    return {
        "events": len(log),
        "users": len(log.users),
        "contents": len(log.contents),
        "creators": len(log.creators),
        "tags": len(log.tags),
        "moods": len(log.moods),
    }


def _warnings(inputs: ReportInputs) -> list[str]:
    """What a reader must not miss."""
    everyone = inputs.test.metrics["all"]
    warnings = sorted({f"{reason}." for _, _, reason, _ in inputs.cleaning.lines if reason.startswith(LEAK)})
    spread = everyone.get("score_spread")
    if spread is not None and spread < COLLAPSED:
        warnings.append(
            f"The scores have collapsed: nine tenths of the test pairs lie within {spread:.4f} of one another, so the "
            "predicted probabilities hardly tell pairs apart."
        )
    for slice_, rivals in (("all", inputs.references.metrics), (COLD_CONTENTS, COLD_RIVALS)):
        own = inputs.test.metrics.get(slice_, {}).get("ndcg@10")
        reached = {name: inputs.references.metrics.get(name, {}).get("test", {}).get(slice_, {}) for name in rivals}
        better = [
            f"{name} ({of['ndcg@10']:.4f})"
            for name, of in reached.items()
            if own is not None and name != ORACLE and of.get("ndcg@10", 0) > own
        ]
        if better:
            what = "Ranks better" if slice_ == "all" else "Ranks cold contents better"
            warnings.append(f"{what} than this model ({own:.4f} NDCG@10 on test): {', '.join(better)}.")
    return warnings


def _figures(test: Evaluation) -> dict[str, float]:
    """The few figures at the top of the page."""
    everyone = test.metrics["all"]
    names = ("ndcg@10", "recall@20", "hit_rate@10", "auroc", "score_spread", "coverage@10")
    return {name: everyone[name] for name in names if name in everyone}


def _references(inputs: ReportInputs) -> dict[str, Mapping[str, float]]:
    """Name -> metric -> value on test, of the references that rank for all users."""
    on_test = {name: of_splits["test"] for name, of_splits in inputs.references.metrics.items()}
    return {name: slices["all"] for name, slices in on_test.items() if "all" in slices}


def _metric_rows(inputs: ReportInputs, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of the table of metrics: name, and its value for test, validation and each reference (None: unknown)."""
    columns = [inputs.test.metrics["all"], inputs.validation.metrics["all"], *_references(inputs).values()]
    return [
        {"name": name, "values": [column.get(name) for column in columns]}
        for name in names
        if name in inputs.test.metrics["all"]
    ]


def _cold_rows(inputs: ReportInputs) -> list[dict[str, Any]]:
    """Rows of the table of cold contents: the model, its rivals, and the oracle; none where nothing was asked."""
    if COLD_CONTENTS not in inputs.test.metrics:
        return []
    found: dict[str, Mapping[str, float] | None] = {inputs.model: inputs.test.metrics[COLD_CONTENTS]}
    for name in (*COLD_RIVALS, ORACLE):
        found[name] = inputs.references.metrics.get(name, {}).get("test", {}).get(COLD_CONTENTS)
    return [
        {"name": name, "values": [metrics[column] for column in COLD_SHOWN]}
        for name, metrics in found.items()
        if metrics is not None
    ]


def _plots(inputs: ReportInputs) -> dict[str, str]:
    """Name -> SVG of the plots that the run has data for."""
    test, log = inputs.test, inputs.log
    judged = test.pairs["probability" if test.gives_logits else "score"].to_numpy()
    positive = test.pairs["positive"].to_numpy()
    past = np.bincount(log.content[: log.count_before(log.boundaries.t_test)], minlength=len(log.contents))
    shown = test.recommendations.loc[test.recommendations["rank"] <= SHOWN, "content"]
    drawn = {
        "slices": plots.slice_bars(test.metrics, ("ndcg@10", "recall@20")),
        "scores": plots.score_distribution(positive, judged, test.gives_logits),
        "confusion": plots.confusion(positive, judged >= test.threshold),
        "popularity": plots.popularity(past[shown], past[test.pairs.loc[positive, "content"]]),
    }
    if test.gives_logits:
        drawn["calibration"] = plots.calibration(test.pairs["label"].to_numpy(), test.pairs["probability"].to_numpy())
    curves = None if inputs.history is None else plots.learning_curves(inputs.history)
    return drawn if curves is None else drawn | {"learning": curves}
