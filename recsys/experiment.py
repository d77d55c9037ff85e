"""The recipe of one run, readable top to bottom: log, graph, loaders, model, trainer, evaluation, bundle.

`train.py` builds an `Experiment` from the config tree; everything here gets typed arguments.
"""

import logging
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import torch
import yaml
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import Logger, WandbLogger
from torch import nn

from recsys.data.event_log import EventLog, Split
from recsys.data.features import fit_encoders
from recsys.data.interaction_index import InteractionIndex
from recsys.data.preparation import LogSettings, Prepared, prepare
from recsys.data.ranking_task import RankingTask
from recsys.errors import UserError
from recsys.evaluation.oracle import OracleScorer
from recsys.evaluation.protocol import Evaluation, evaluate
from recsys.evaluation.report import ReportInputs, write_report
from recsys.evaluation.run_folder import (
    learning_curves,
    write_metrics,
    write_per_user,
    write_recommendations,
)
from recsys.evaluation.summary import print_summary
from recsys.evaluation.wandb_run import log_files, log_outcome, wandb_run
from recsys.export.device_model import why_not
from recsys.export.export import ExportOptions, export_bundle
from recsys.export.summary import report_metadata
from recsys.files import replacing
from recsys.graph.settings import GraphSettings
from recsys.graph.temporal_graph import TemporalGraph
from recsys.loading.datamodule import GraphDataModule, TrainLoader
from recsys.loading.negatives import NegativeSampler
from recsys.models.baselines.peer import Peer
from recsys.models.baselines.popularity import Popularity
from recsys.models.graph_scorer import GraphScorer
from recsys.models.lightning_module import LinkPredictionModule
from recsys.models.objectives import Objective
from recsys.models.scorer import Scorer
from recsys.serving.bundle import save_bundle
from recsys.sources.base import Source

if TYPE_CHECKING:
    from wandb import Run

logger = logging.getLogger(__name__)

RECENT_WINDOW = 0.05  # share of the events behind "recent popularity", a reference in every report


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run leaves behind.

    Attributes:
        run_dir: the run's folder.
        monitored: the best value of the monitored validation metric; nothing of the test set.
        validation: the final evaluation on validation.
        cost: `training_seconds`; `inference_seconds` to score and rank all users of validation; `parameters`.
    """

    run_dir: Path
    monitored: float
    validation: Evaluation
    cost: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One run, from a source to a bundle.

    Attributes:
        name, run_dir: what the run is called and where everything it writes goes.
        seed: seeds the weights, dropout, the order of batches, negatives and the fixed negatives of evaluation.
        source, settings: where tables come from and how they become an event log.
        graph: what the graph consists of.
        loader, negatives: how training batches are made.
        model: a network class that awaits the graph's schema, or a classical peer that awaits the log.
        objective, optimizer, scheduler, mood_weight: how a network is trained.
        averaging: decay of the moving average of the weights that is evaluated and kept; None for no average.
        trainer, callbacks, loggers: Lightning's.
        monitor: the validation metric that everything is chosen by.
        block: users scored at a time.
        validation_users: users ranked after each epoch.
        test: whether the run goes on to the test set and all that is made with it, or ends after validation.
        ckpt: a checkpoint to resume from.
        export: "c" or "onnx": what is exported with the bundle, into `export/`; None for nothing.
        config: the whole configuration as plain values, kept with the run.
    """

    name: str
    run_dir: str
    seed: int
    source: Source
    settings: LogSettings
    graph: GraphSettings
    loader: Callable[..., TrainLoader]
    negatives: NegativeSampler
    model: partial[Any]
    objective: Objective
    optimizer: Callable[..., torch.optim.Optimizer]
    scheduler: Callable[..., torch.optim.lr_scheduler.ReduceLROnPlateau] | None
    mood_weight: float
    averaging: float | None
    trainer: Callable[..., lightning.Trainer]
    callbacks: Mapping[str, Callback]
    loggers: Mapping[str, Logger]
    monitor: str
    block: int
    validation_users: int
    test: bool
    ckpt: str | None
    export: str | None
    config: Mapping[str, Any]

    def prepare(self) -> Prepared:
        """The event log that the run works on, and what cleaning did.

        Raises:
            UserError: if the tables cannot be used.
        """
        return prepare(self.source.load(), self.settings)

    def run(self, prepared: Prepared | None = None, watchers: Sequence[Callback] = ()) -> Outcome:
        """Prepare, train, evaluate on validation and then once on test, and write the run's folder.

        Args:
            prepared: what `prepare` gives, where it is at hand from a run on the same data.
            watchers: further callbacks of the training, such as one that gives up runs without prospects.

        Raises:
            UserError: if the tables, the settings or the checkpoint cannot be used.
        """
        started, clock = datetime.now(UTC), Clock()
        export = None if self.export is None else self._export_options(self.export)
        lightning.seed_everything(self.seed, workers=True, verbose=False)
        run_dir = Path(self.run_dir)
        run_dir.mkdir(parents=True, exist_ok=True)

        prepared = prepared or self.prepare()
        write_cleaning(run_dir, prepared)
        log = prepared.log
        encoders = fit_encoders(log)
        graph = TemporalGraph(log, encoders, self.graph)
        index = InteractionIndex(log)
        splits: tuple[Split, Split] = ("validation", "test")
        tasks = {split: RankingTask.build(log, index, split, self.seed) for split in splits}
        clock.lap("preparation")

        with wandb_run(self.loggers.values(), self.config) as tracked:
            scorer = self._fitted(log, graph, index, tasks, watchers)
            clock.lap("training")

            validation = evaluate(scorer, log, index, tasks["validation"], block=self.block)
            monitored = self._monitored(validation)
            write_per_user(run_dir, log, validation)
            clock.lap("validation")
            cost = {
                "training_seconds": clock.seconds["training"],
                "inference_seconds": clock.seconds["validation"],
                "parameters": float(num_parameters(scorer)),
            }
            outcome = Outcome(run_dir=run_dir, monitored=monitored, validation=validation, cost=cost)
            if not self.test:
                write_metrics(
                    run_dir,
                    validation=validation.metrics,
                    threshold=validation.threshold,
                    seed=self.seed,
                    extra={"cost": {"seconds": clock.seconds, "peak_memory_mb": peak_memory_mb()}},
                )
                self._log_final(tracked, log, cost, validation)
                return outcome

            test = evaluate(scorer, log, index, tasks["test"], threshold=validation.threshold, block=self.block)
            references = {
                name: self._evaluate(peer, log, index, tasks) for name, peer in reference_scorers(log).items()
            }
            clock.lap("test")

            write_metrics(
                run_dir,
                validation=validation.metrics,
                test=test.metrics,
                threshold=validation.threshold,
                seed=self.seed,
                extra={
                    "references": {
                        name: {"validation": on_validation.metrics, "test": on_test.metrics}
                        for name, (on_validation, on_test) in references.items()
                    },
                    "cost": {"seconds": clock.seconds, "peak_memory_mb": peak_memory_mb()},
                },
            )
            write_recommendations(run_dir, log, test.recommendations)
            save_bundle(
                run_dir / "bundle",
                graph=graph,
                encoders=encoders,
                scorer=scorer,
                threshold=validation.threshold,
                time=log.boundaries.t_test,
                config=self.config,
            )
            self._log_final(tracked, log, cost, validation, test)
            if export is not None:
                report = export_bundle(run_dir / "bundle", run_dir / "export", export)
                clock.lap("export")
                if tracked is not None:
                    exported = sorted((run_dir / "export").iterdir())
                    log_files(tracked, f"export-{export.format}", exported, report_metadata(report))
            write_report(
                run_dir / "report.html",
                ReportInputs(
                    name=self.name,
                    model=self._model_name,
                    seed=self.seed,
                    log=log,
                    validation=validation,
                    test=test,
                    cleaning=prepared.report,
                    started=started,
                    seconds=clock.seconds,
                    config=yaml.safe_dump(dict(self.config), sort_keys=False),
                    references={name: peer_test for name, (_, peer_test) in references.items()},
                    history=learning_curves(run_dir),
                ),
            )
            print_summary(self._model_name, test.metrics, {name: of.metrics for name, (_, of) in references.items()})
            print(f"Run folder: {run_dir}", flush=True)
            return outcome

    def _export_options(self, file_format: str) -> ExportOptions:
        """How the run is exported, checked before anything is trained.

        Raises:
            UserError: unknown format, or a model that cannot be exported.
        """
        options = ExportOptions(format=file_format)
        if not issubclass(self.model.func, nn.Module):  # type: ignore[arg-type]
            raise UserError(f"export={file_format}: {why_not(self._model_name)}")
        return options

    def _log_final(
        self, tracked: "Run | None", log: EventLog, cost: Mapping[str, float], *evaluations: Evaluation
    ) -> None:
        """Give the loggers the run's configuration and its final metrics, those of the last evaluation."""
        prefix = "val" if evaluations[-1].split == "validation" else "test"
        values = {f"{prefix}/{metric}": value for metric, value in evaluations[-1].metrics["all"].items()}
        for lightning_logger in self.loggers.values():
            if isinstance(lightning_logger, WandbLogger):
                continue
            lightning_logger.log_hyperparams(dict(self.config))
            lightning_logger.log_metrics(values)
            lightning_logger.finalize("success")
        if tracked is not None:
            log_outcome(
                tracked,
                log,
                evaluations,
                cost={**cost, "peak_memory_mb": peak_memory_mb()},
                checkpoint=best_checkpoint(self.callbacks.values()),
                seed=self.seed,
            )

    def _monitored(self, validation: Evaluation) -> float:
        """The monitored metric over all validation users; what training watched may have been a sample of them."""
        name = self.monitor.removeprefix("val/")
        values = validation.metrics["all"]
        if name not in values:
            raise UserError(
                f"monitor is {self.monitor!r}: choose among {', '.join(f'val/{known}' for known in values)}."
            )
        return values[name]

    @property
    def _model_name(self) -> str:
        model: Any = self.model.func
        return str(model.name)

    def _fitted(
        self,
        log: EventLog,
        graph: TemporalGraph,
        index: InteractionIndex,
        tasks: Mapping[Split, RankingTask],
        watchers: Sequence[Callback],
    ) -> Scorer:
        """What is to be evaluated: a network with the weights of its best epoch, or a classical peer."""
        if not issubclass(self.model.func, nn.Module):  # type: ignore[arg-type]
            peer: Peer = self.model(log)
            peer.fit(log.boundaries.t_val)
            return peer
        network = self.model(graph.schema)
        scorer = GraphScorer(network, graph)
        module = LinkPredictionModule(
            scorer=scorer,
            objective=self.objective,
            optimizer=self.optimizer,
            scheduler=self.scheduler,
            mood_weight=self.mood_weight,
            monitor=self.monitor,
            seed=self.seed,
            averaging=self.averaging,
        )
        data = GraphDataModule(
            log=log,
            graph=graph,
            index=index,
            loader=self.loader,
            negatives=self.negatives,
            seed=self.seed,
            validation=tasks["validation"],
            test=tasks["test"],
            block=self.block,
            validation_users=self.validation_users,
        )
        trainer = self.trainer(callbacks=[*self.callbacks.values(), *watchers], logger=list(self.loggers.values()))
        # weights_only: nothing in a checkpoint may run code.
        trainer.fit(module, datamodule=data, ckpt_path=self.ckpt, weights_only=True)
        if trainer.interrupted:
            raise UserError("training was interrupted; resume it with ckpt=PATH of the run's checkpoints/last.ckpt.")
        best = best_checkpoint(self.callbacks.values())
        if best is not None:
            module.load_state_dict(torch.load(best, map_location="cpu", weights_only=True)["state_dict"])
        scorer.reset()
        return scorer

    def _evaluate(
        self, scorer: Scorer, log: EventLog, index: InteractionIndex, tasks: Mapping[Split, RankingTask]
    ) -> tuple[Evaluation, Evaluation]:
        """Validation, which chooses the threshold, then test."""
        validation = evaluate(scorer, log, index, tasks["validation"], block=self.block)
        return validation, evaluate(scorer, log, index, tasks["test"], threshold=validation.threshold, block=self.block)


def reference_scorers(log: EventLog) -> dict[str, Scorer]:
    """What every report shows beside the model: popularity, and on generated data the best possible."""
    references: dict[str, Scorer] = {
        "popularity": Popularity(log),
        "recent popularity": Popularity(log, window=RECENT_WINDOW),
    }
    if log.oracle is not None:
        references["oracle"] = OracleScorer(log)
    return references


def write_cleaning(run_dir: Path, prepared: Prepared) -> None:
    """Write what cleaning counted and the rows it set aside."""
    prepared.report.log()
    with replacing(run_dir / "cleaning.csv") as temporary:
        prepared.report.to_frame().to_csv(temporary, index=False)
    with replacing(run_dir / "quarantine.parquet") as temporary:
        prepared.quarantine.to_parquet(temporary, index=False)


def best_checkpoint(callbacks: Iterable[Callback]) -> Path | None:
    """The checkpoint of the best epoch, if one of the callbacks keeps it and there was an epoch."""
    kept = [callback for callback in callbacks if isinstance(callback, ModelCheckpoint) and callback.monitor]
    return Path(kept[0].best_model_path) if kept and kept[0].best_model_path else None


def num_parameters(scorer: Scorer) -> int:
    """Trained numbers behind a scorer; none behind a classical peer."""
    if not isinstance(scorer, GraphScorer):
        return 0
    return sum(parameter.numel() for parameter in scorer.network.parameters())


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, MB (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


class Clock:
    """Seconds of each stage of a run."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End `stage`, which began when the one before it ended."""
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now
        logger.info("%s took %.1f s", stage, self.seconds[stage])
