"""The recipe of one run, readable top to bottom: log, graph, loaders, model, trainer, evaluation, bundle.

`train.py` builds an `Experiment` from the config tree; everything here gets typed arguments.
"""

import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import lightning
import torch
import yaml
from lightning.pytorch.callbacks import Callback, LearningRateMonitor
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from recsys.building import built
from recsys.cost import Clock, num_parameters, peak_memory_mb
from recsys.data.boundaries import origin_ends
from recsys.data.event_log import EventLog, Split
from recsys.data.features import fit_encoders
from recsys.data.interaction_index import InteractionIndex
from recsys.data.preparation import LogSettings, Prepared, prepare
from recsys.data.ranking_task import RankingTask
from recsys.errors import UserError
from recsys.evaluation.pooling import over_origins, pooled
from recsys.evaluation.protocol import Metrics, evaluate
from recsys.evaluation.references import judge_references
from recsys.evaluation.report import ReportInputs, write_report
from recsys.evaluation.run_folder import (
    forget_earlier_run,
    learning_curves,
    write_cleaning,
    write_metrics,
    write_per_user,
    write_recommendations,
)
from recsys.evaluation.summary import print_summary
from recsys.evaluation.wandb_run import log_files, log_outcome, wandb_run
from recsys.export.device_model import why_not
from recsys.export.export import ExportOptions, export_bundle
from recsys.export.summary import report_metadata
from recsys.files import writing
from recsys.graph.settings import GraphSettings
from recsys.graph.temporal_graph import TemporalGraph
from recsys.loading.datamodule import GraphDataModule, TrainLoader
from recsys.loading.negatives import NegativeSampler
from recsys.models.baselines.peer import Peer
from recsys.models.graph_scorer import GraphScorer
from recsys.models.lightning_module import LinkPredictionModule
from recsys.models.objectives import Objective
from recsys.outcome import Fitted, Judged, Outcome
from recsys.secret_values import without_secrets
from recsys.serving.bundle import save_bundle
from recsys.sources.base import Source
from recsys.training import Choice, fit, fresh, refit

if TYPE_CHECKING:
    from wandb import Run


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One run, from a source to a bundle.

    With several rolling origins the whole recipe is carried out for each of them in turn: the log ends there, is split,
    trained on, validated, refitted and tested. A run that ends after validation, such as a trial of a search, sees the
    first origin only: what is tested of a later origin's past it would otherwise have been tuned on.

    Attributes:
        name, run_dir: what the run is called and where everything it writes goes.
        seed: seeds the weights, dropout, the order of batches, negatives and the fixed negatives of evaluation.
        source, settings: where tables come from and how they become an event log.
        graph: what the graph consists of.
        loader, negatives: how training batches are made.
        model: a network class that awaits the graph's schema, or a classical peer that awaits the log.
        objective, optimizer, scheduler, mood_weight: how a network is trained.
        averaging: decay of the moving average of the weights that is evaluated and kept; None for no average.
        equal_users: whether every user counts alike in the loss, whatever the number of its pairs.
        trainer, callbacks, loggers: Lightning's.
        monitor: the validation metric that everything is chosen by.
        monitor_mode: whether it is to be large ("max") or small ("min").
        smoothing: over how many last epochs its mean is taken when a network's best epoch is chosen.
        refit: whether a network is trained again on everything before test, once validation has chosen the epochs.
        block: users scored at a time.
        validation_users: users ranked after each epoch.
        test: whether the run goes on to the test set and all that is made with it, or ends after validation.
        origins: how many rolling origins there are, see `origin_ends`.
        ckpt: a checkpoint to resume from.
        export: "c" or "onnx": what is exported with the bundle, into `export/`; None for nothing.
        config: the whole configuration as plain values, kept with the run `without_secrets`.
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
    equal_users: bool
    trainer: Callable[..., lightning.Trainer]
    callbacks: Mapping[str, Callback]
    loggers: Mapping[str, Logger]
    monitor: str
    monitor_mode: Literal["max", "min"]
    smoothing: int
    refit: bool
    block: int
    validation_users: int
    test: bool
    origins: int
    ckpt: str | None
    export: str | None
    config: Mapping[str, Any]

    def prepare(self) -> list[Prepared]:
        """The event log of each origin that the run works on, and what cleaning did.

        Raises:
            UserError: if the tables cannot be used, or have no room for so many origins.
        """
        if self.origins > 1 and self.settings.boundaries is not None:
            raise UserError("evaluation.origins above 1 has boundaries by shares: leave out data.boundaries.")
        ends = origin_ends(self.origins, self.settings.train_share, self.settings.validation_share)
        tables = self.source.load()
        return [prepare(tables, self.settings, end) for end in (ends if self.test else ends[:1])]

    def run(self, prepared: Sequence[Prepared] | None = None, watchers: Sequence[Callback] = ()) -> Outcome:
        """Prepare, train, evaluate on validation and then once on test, and write the run's folder.

        Args:
            prepared: what `prepare` gives, where it is at hand from a run on the same data.
            watchers: further callbacks of the training, such as one that gives up runs without prospects.

        Raises:
            UserError: if the tables, the settings or the checkpoint cannot be used.
        """
        started, clock = datetime.now(UTC), Clock()
        export = None if self.export is None else self._export_options(self.export)
        run_dir = Path(self.run_dir)
        with writing(run_dir):
            run_dir.mkdir(parents=True, exist_ok=True)
        prepared = prepared or self.prepare()
        if self.ckpt is None:
            rank_zero_only(forget_earlier_run)(run_dir)  # only now that there is a run to take its place
        prepared[-1].report.log()
        write_cleaning(run_dir, prepared[-1].report, prepared[-1].quarantine)
        clock.lap("preparation")

        with wandb_run(self.loggers.values(), self.config) as tracked:
            origins: list[Judged] = []
            for number, one in enumerate(prepared, start=1):
                origins.append(self._judge(one.log, number, len(prepared), clock, watchers))
            leave_the_rest_to_the_first()
            last = origins[-1]
            validation = pooled([one.validation.metrics for one in origins])
            cost = {
                "training_seconds": clock.seconds["training"],
                "inference_seconds": clock.seconds["validation"],
                "parameters": float(num_parameters(last.fitted.scorer)),
            }
            evaluated = [(number, one.log, of) for number, one in enumerate(origins, start=1) for of in one.evaluations]
            write_per_user(run_dir, evaluated)
            outcome = Outcome(run_dir=run_dir, monitored=self._monitored(validation), validation=validation, cost=cost)
            metrics = self._write_metrics(origins, clock)
            self._log_final(tracked, origins, cost)
            if last.test is None or last.references is None:
                return outcome

            write_recommendations(run_dir, last.log, last.test.recommendations)
            self._save_bundle(last)
            if export is not None:
                self._export(export, tracked, last.fitted.alias)
                clock.lap("export")
            inputs = ReportInputs(
                name=self.name,
                model=self._model_name,
                seed=self.seed,
                log=last.log,
                validation=last.validation,
                test=last.test,
                cleaning=prepared[-1].report,
                started=started,
                seconds=clock.seconds,
                config=yaml.safe_dump(without_secrets(self.config), sort_keys=False),
                references=last.references,
                history=learning_curves(run_dir),
                refit_epochs=last.fitted.refit_epochs,
            )
            write_report(run_dir / "report.html", inputs)
            references = {name: of_splits["test"] for name, of_splits in metrics["references"].items()}
            print_summary(self._model_name, metrics["test"], references, metrics["references_left_out"])
            print(f"Run folder: {run_dir}", flush=True)
            return outcome

    def _judge(self, log: EventLog, number: int, count: int, clock: "Clock", watchers: Sequence[Callback]) -> Judged:
        """Carry out the recipe for origin `number` of `count`: train, validate, refit, test."""
        index = InteractionIndex(log)
        splits: list[Split] = ["validation", "test"] if self.test else ["validation"]
        tasks = {split: RankingTask.build(log, index, split, self.seed) for split in splits}
        encoders = fit_encoders(log)
        graph = TemporalGraph(log, encoders, self.graph)
        clock.lap("preparation")

        is_last, folder = number == count, Path(self.run_dir) / "checkpoints"
        folder = folder if is_last else folder / f"origin_{number}"
        lightning.seed_everything(self.seed, workers=True, verbose=False)
        choice: Choice | None = None
        if self._is_network:
            module, choice = self._fit(graph, index, tasks, folder, watchers=watchers, logs=is_last)
            kept = None if choice.checkpoint is None else folder / choice.checkpoint
            fitted = Fitted(scorer=module.scorer, encoders=encoders, graph=graph, checkpoint=kept)
        else:
            peer: Peer = built("model", self.model, log)
            peer.fit(log.boundaries.t_val)
            fitted = Fitted(scorer=peer, encoders=encoders, graph=graph)
        clock.lap("training", 0.0 if choice is None else choice.seconds)
        validation = evaluate(fitted.scorer, log, index, tasks["validation"], block=self.block)
        clock.lap("validation")
        if not self.test:
            return Judged(log=log, fitted=fitted, validation=validation)

        if self.refit and choice is not None and choice.epochs:
            calibration = module.averaged.calibration.clone()
            del module, graph, encoders, fitted  # a second graph beside the first would double the peak of memory
            gc.collect()  # Lightning's trainer and module refer to each other
            fitted, seconds = self._refit(log, choice, index, tasks, folder, calibration=calibration)
            clock.lap("refit", seconds)
        elif isinstance(fitted.scorer, Peer):  # a peer is always fitted to all that comes before the time asked
            fitted.scorer.fit(log.boundaries.t_test)
            clock.lap("refit")
        test = evaluate(fitted.scorer, log, index, tasks["test"], threshold=validation.threshold, block=self.block)
        references = judge_references(log, index, tasks, seed=self.seed, block=self.block)
        clock.lap("test")
        return Judged(log=log, fitted=fitted, validation=validation, test=test, references=references)

    @property
    def _is_network(self) -> bool:
        """Whether the model is trained by epochs, and is no classical peer."""
        return issubclass(self.model.func, nn.Module)  # type: ignore[arg-type]

    def _fit(
        self,
        graph: TemporalGraph,
        index: InteractionIndex,
        tasks: Mapping[Split, RankingTask],
        folder: Path,
        *,
        watchers: Sequence[Callback],
        logs: bool,
    ) -> tuple[LinkPredictionModule, Choice]:
        """Train with validation: the module with the weights of its best epoch, and what validation has chosen.

        Only the training that `logs` has its epochs logged: curves of several origins in one log could not be told
        apart.
        """
        module, data = self._trainable(graph, index, tasks, self.scheduler)
        callbacks = fresh(self.callbacks.values(), folder)
        if not logs:
            callbacks = [one for one in callbacks if not isinstance(one, LearningRateMonitor)]
        loggers = list(self.loggers.values()) if logs else False
        trainer = partial(self.trainer, logger=loggers)
        choice = fit(trainer, [*callbacks, *watchers], module, data, folder=folder, ckpt=self.ckpt)
        return module, choice

    def _refit(
        self,
        log: EventLog,
        choice: Choice,
        index: InteractionIndex,
        tasks: Mapping[Split, RankingTask],
        folder: Path,
        *,
        calibration: Tensor,
    ) -> tuple[Fitted, float]:
        """A network trained from scratch on everything before test, for the epochs that validation has chosen.

        It keeps the calibration that was fitted on validation, which it has trained on itself. Beside it: the seconds
        that this took, over all sittings.
        """
        log = log.with_validation_in_training()
        encoders = fit_encoders(log)
        graph = TemporalGraph(log, encoders, self.graph)
        lightning.seed_everything(self.seed, workers=True, verbose=False)
        module, data = self._trainable(graph, index, tasks, scheduler=None)
        checkpoint, seconds = refit(self.trainer, fresh(self.callbacks.values()), module, data, choice, folder=folder)
        module.averaged.calibration.copy_(calibration)
        fitted = Fitted(
            scorer=module.scorer, encoders=encoders, graph=graph, checkpoint=checkpoint, refit_epochs=choice.epochs
        )
        return fitted, seconds

    def _trainable(
        self,
        graph: TemporalGraph,
        index: InteractionIndex,
        tasks: Mapping[Split, RankingTask],
        scheduler: Callable[..., torch.optim.lr_scheduler.ReduceLROnPlateau] | None,
    ) -> tuple[LinkPredictionModule, GraphDataModule]:
        """A network with fresh weights, and the batches of the graph's log."""
        network = built("model", self.model, graph.schema)
        module = LinkPredictionModule(
            scorer=GraphScorer(network, graph),
            objective=self.objective,
            optimizer=self.optimizer,
            scheduler=scheduler,
            mood_weight=self.mood_weight,
            monitor=self.monitor,
            monitor_mode=self.monitor_mode,
            smoothing=self.smoothing,
            seed=self.seed,
            averaging=self.averaging,
            equal_users=self.equal_users,
        )
        data = GraphDataModule(
            log=graph.log,
            graph=graph,
            index=index,
            loader=self.loader,
            negatives=self.negatives,
            seed=self.seed,
            validation=tasks["validation"],
            test=tasks.get("test"),
            block=self.block,
            validation_users=self.validation_users,
        )
        return module, data

    def _write_metrics(self, origins: Sequence[Judged], clock: "Clock") -> dict[str, Any]:
        """Write `metrics.json` and give its content; see `recsys.evaluation.run_folder.write_metrics`."""
        content = {**over_origins([one.metrics() for one in origins]), "seed": self.seed}
        content["cost"] = {
            "seconds": clock.seconds,
            "peak_memory_mb": peak_memory_mb(),
            "parameters": num_parameters(origins[-1].fitted.scorer),
        }
        write_metrics(Path(self.run_dir), content)
        return content

    def _save_bundle(self, last: Judged) -> None:
        """Keep the model for serving."""
        save_bundle(
            Path(self.run_dir) / "bundle",
            graph=last.fitted.graph,
            encoders=last.fitted.encoders,
            scorer=last.fitted.scorer,
            threshold=last.validation.threshold,
            time=last.log.boundaries.t_test,
            config=self.config,
        )

    def _export(self, options: ExportOptions, tracked: "Run | None", alias: str) -> None:
        """Export the bundle into the run's folder; `alias` says which network it holds."""
        folder = Path(self.run_dir) / "export"
        report = export_bundle(Path(self.run_dir) / "bundle", folder, options)
        if tracked is not None:
            files = sorted(folder.iterdir())
            log_files(tracked, f"export-{options.format}", files, report_metadata(report), alias=alias)

    def _export_options(self, file_format: str) -> ExportOptions:
        """How the run is exported, checked before anything is trained.

        Raises:
            UserError: unknown format, or a model that cannot be exported.
        """
        options = ExportOptions(format=file_format)
        if not self._is_network:
            raise UserError(f"export={file_format}: {why_not(self._model_name)}")
        return options

    def _log_final(self, tracked: "Run | None", origins: Sequence[Judged], cost: Mapping[str, float]) -> None:
        """Give the loggers the run's configuration and its final metrics, over all origins; plots are of the last."""
        last = origins[-1]
        validation = replace(last.validation, metrics=pooled([one.validation.metrics for one in origins]))
        evaluations = [validation]
        if last.test is not None:
            evaluations.append(replace(last.test, metrics=pooled([one.test.metrics for one in origins if one.test])))
        prefix = "val" if last.test is None else "test"
        values = {f"{prefix}/{metric}": value for metric, value in evaluations[-1].metrics["all"].items()}
        for lightning_logger in self.loggers.values():
            if isinstance(lightning_logger, WandbLogger):
                continue
            lightning_logger.log_hyperparams(without_secrets(self.config))
            lightning_logger.log_metrics(values)
            lightning_logger.finalize("success")
        if tracked is not None:
            log_outcome(
                tracked,
                last.log,
                evaluations,
                cost={**cost, "peak_memory_mb": peak_memory_mb()},
                network=last.network,
                seed=self.seed,
            )

    def _monitored(self, values: Metrics) -> float:
        """The monitored metric over all validation users; what training watched may have been a sample of them."""
        name = self.monitor.removeprefix("val/")
        if name not in values["all"]:
            raise UserError(
                f"monitor is {self.monitor!r}: choose among {', '.join(f'val/{known}' for known in values['all'])}."
            )
        return values["all"][name]

    @property
    def _model_name(self) -> str:
        model: Any = self.model.func
        return str(model.name)


def leave_the_rest_to_the_first() -> None:
    """After distributed training only the first process writes the run's folder; the others end here."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    is_first = torch.distributed.get_rank() == 0
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    if not is_first:
        sys.exit(0)
