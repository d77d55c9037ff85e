"""What a run comes to, origin by origin; `experiment.py` makes it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from recsys.data.event_log import EventLog
from recsys.data.features import FeatureEncoders
from recsys.evaluation.protocol import Evaluation, Metrics
from recsys.evaluation.references import References
from recsys.evaluation.wandb_run import KeptNetwork
from recsys.graph.temporal_graph import TemporalGraph
from recsys.models.scorer import Scorer


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run leaves behind.

    Attributes:
        run_dir: the run's folder.
        monitored: the value of the monitored validation metric; nothing of the test set.
        validation: the final metrics on validation, slice -> metric -> value; pooled over the origins.
        cost: `training_seconds`; `inference_seconds` to score and rank all users of validation; `parameters`.
    """

    run_dir: Path
    monitored: float
    validation: Metrics
    cost: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A model and what it was fitted to.

    Attributes:
        scorer: the model.
        encoders, graph: fitted to the log, or to the log with validation in training.
        checkpoint: of the scorer's weights; None for a classical peer, and where none was kept.
        refit_epochs: for how many epochs it was trained on everything before test; None if it was not.
    """

    scorer: Scorer
    encoders: FeatureEncoders
    graph: TemporalGraph
    checkpoint: Path | None = None
    refit_epochs: int | None = None

    @property
    def alias(self) -> str:
        """What W&B calls it among a run's networks, see `KeptNetwork`."""
        return "best" if self.refit_epochs is None else "refit"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What one origin has come to.

    Attributes:
        log: its events.
        fitted: the model that was judged last.
        validation, test: how it was judged; test is None for a run that ends after validation.
        references: how other scorers were judged; None for a run that ends after validation.
    """

    log: EventLog
    fitted: Fitted
    validation: Evaluation
    test: Evaluation | None = None
    references: References | None = None

    @property
    def evaluations(self) -> list[Evaluation]:
        """Validation, and test where there is one."""
        return [self.validation, *([] if self.test is None else [self.test])]

    @property
    def network(self) -> KeptNetwork | None:
        """The network as W&B keeps it; None where there is no checkpoint."""
        if self.fitted.checkpoint is None:
            return None
        # A refit is trained on validation, so only test says what it is worth.
        of = self.validation if self.test is None or self.fitted.refit_epochs is None else self.test
        return KeptNetwork(
            checkpoint=self.fitted.checkpoint, alias=self.fitted.alias, split=of.split, metrics=of.metrics["all"]
        )

    def metrics(self) -> dict[str, Any]:
        """What `metrics.json` says of it."""
        found: dict[str, Any] = {of.split: of.metrics for of in self.evaluations}
        times = {"t_val": self.log.boundaries.t_val, "t_test": self.log.boundaries.t_test, "end": self.log.time[-1]}
        found["boundaries"] = {name: pd.Timestamp(int(time), tz="UTC").isoformat() for name, time in times.items()}
        found["threshold"] = self.validation.threshold
        if self.fitted.refit_epochs is not None:
            found["refit"] = {"epochs": self.fitted.refit_epochs}
        if self.references is not None:
            found["references"] = dict(self.references.metrics)
            found["references_left_out"] = dict(self.references.left_out)
        return found
