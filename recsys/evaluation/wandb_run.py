"""A run as Weights & Biases shows it: what Lightning's logger, which sends the metrics of every epoch, does not know.

- `val/...`, `train/...`: the metrics of every epoch, in the summary their best value (`val/ndcg@10.max`).
- `validation/SLICE/METRIC`, `test/SLICE/METRIC` in the summary: the final evaluation, as in `metrics.json`.
- `validation/confusion`, `.../calibration`, `.../recommendations`: of the last split that the run evaluated.
- `cost/...` in the summary.
- An artifact of type `model`: the network that was judged last, either "best", which validation has chosen, or "refit",
  which was then trained on everything before test. `recsys.experiment` adds an export of it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger, WandbLogger

from recsys.data.event_log import EventLog, Split
from recsys.evaluation import plots
from recsys.evaluation.examples import example_users
from recsys.evaluation.protocol import Evaluation
from recsys.secret_values import without_secrets

if TYPE_CHECKING:  # takes half a second to import, which only runs with this logger pay
    from wandb import Run

# What Lightning logs each epoch, and which value of a curve counts. Named one by one: Lightning's logger defines "*",
# and W&B does not say which of two patterns that match a name wins.
BEST = {
    **dict.fromkeys(("val/ndcg@10", "val/recall@20", "val/mrr@10", "val/auroc"), "max"),
    **dict.fromkeys(("train/loss", "train/mood_loss", "val/loss"), "min"),
}
EXAMPLES = ["user", "cold", "ndcg@10", "history", "rank", "recommended", "hit"]
# A plot takes its colours from the page that it stands on.
PLOT_PAGE = """<!DOCTYPE html><meta charset="utf-8"><style>
:root { --font: system-ui, sans-serif; --line: #d9dee5; } body { margin: 0; background: #fff; color: #1c2128; }
.plot { display: block; width: 100%; height: auto; margin: auto; }
</style>"""


@dataclass(frozen=True, kw_only=True)
class KeptNetwork:
    """A network's weights, and how that very network was judged.

    Attributes:
        checkpoint: the weights.
        alias: "best" for the network that validation has chosen, "refit" for one trained on everything before test.
        split: what it was judged on, "validation" or "test".
        metrics: over all users of that split; of the last origin, whose network it is.
    """

    checkpoint: Path
    alias: str
    split: Split
    metrics: Mapping[str, float]


@contextmanager
def wandb_run(loggers: Iterable[Logger], config: Mapping[str, Any]) -> Iterator["Run | None"]:
    """The W&B run of the one of `loggers` that has one, begun with the configuration and surely ended.

    The run ends as failed where an error passes through, and as finished with `pruned` in its summary where a pruner
    has given it up; so the next run of the same process begins another one.

    Args:
        loggers: of an experiment.
        config: the whole configuration as plain values.
    """
    run = next((logger.experiment for logger in loggers if isinstance(logger, WandbLogger)), None)
    if run is None:
        yield None
        return
    exit_code = 1
    try:
        run.config.update(portable(config), allow_val_change=True)  # a resumed run has one already
        run.define_metric("epoch", hidden=True)
        for name, value in BEST.items():
            run.define_metric(name, step_metric="epoch", summary=value)
        yield run
        exit_code = 0
    except BaseException as error:
        from optuna import TrialPruned  # noqa: PLC0415

        if isinstance(error, TrialPruned):
            run.summary["pruned"] = True
            exit_code = 0
        raise
    finally:
        run.finish(exit_code=exit_code)


def log_outcome(
    run: "Run",
    log: EventLog,
    evaluations: Sequence[Evaluation],
    *,
    cost: Mapping[str, float],
    network: KeptNetwork | None,
    seed: int,
) -> None:
    """Log what a run has come to.

    Args:
        run: to log to.
        log: whose rows the evaluations speak of.
        evaluations: the final ones, validation first; the last one's plots and example recommendations are logged.
        cost: name -> value.
        network: None for a model without a checkpoint.
        seed: of the choice of example users.
    """
    validation, shown = evaluations[0], evaluations[-1]
    if network is None:  # a model without epochs has a curve of one point
        everyone = validation.metrics["all"]
        run.log({name: everyone[name[4:]] for name in BEST if name.startswith("val/") and name[4:] in everyone})
    run.summary.update(
        {
            f"{evaluation.split}/{slice_}/{metric}": value
            for evaluation in evaluations
            for slice_, values in evaluation.metrics.items()
            for metric, value in values.items()
        }
        | {f"cost/{name}": value for name, value in cost.items()}
    )
    run.log({f"{shown.split}/{name}": media for name, media in _media(log, shown, seed).items()})
    if network is not None:
        described = {"split": network.split, **network.metrics}
        log_files(run, "model", [network.checkpoint], described, alias=network.alias)


def log_files(run: "Run", kind: str, files: Iterable[Path], metadata: Mapping[str, Any], *, alias: str) -> None:
    """Log files that the run made as one artifact.

    Args:
        run: to log to.
        kind: type of the artifact, and the beginning of its name.
        files: which must stay as they are until they have been sent.
        metadata: plain values, such as what a model reaches on a split.
        alias: which network it is, see `KeptNetwork`; W&B adds "latest" by itself.
    """
    from wandb import Artifact  # noqa: PLC0415

    artifact = Artifact(f"{kind}-{run.id}", type=kind, metadata=dict(metadata))
    for file in files:
        artifact.add_file(str(file), policy="immutable")  # W&B need not keep a copy of its own
    run.log_artifact(artifact, aliases=[alias])


def portable(value: Any) -> Any:
    """Plain values without what only concerns this machine: no secrets, and no folders outside the working directory.

    Of a path that is absolute, leads upwards or begins at home, its last part is kept.
    """
    return _without_folders(without_secrets(value))


def _without_folders(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_folders(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_folders(inner) for inner in value]
    if not isinstance(value, str):
        return value
    path = PureWindowsPath(value)  # splits at both kinds of slashes
    leads_away = value.startswith(("/", "~", "file:")) or path.is_absolute() or ".." in path.parts
    return path.name or value if leads_away else value


def _media(log: EventLog, evaluation: Evaluation, seed: int) -> dict[str, Any]:
    """Plots and the table of example recommendations."""
    from wandb import Html, Table  # noqa: PLC0415

    pairs = evaluation.pairs
    judged = pairs["probability" if evaluation.gives_logits else "score"].to_numpy()
    drawn = {"confusion": plots.confusion(pairs["positive"].to_numpy(), judged >= evaluation.threshold)}
    if evaluation.gives_logits:
        drawn["calibration"] = plots.calibration(pairs["label"].to_numpy(), judged)
    rows = [
        [
            str(user.id),
            user.cold,
            user.ndcg,
            "\n".join(f"{event.time} {event.type}: {event.title}" for event in user.history),
            rank,
            item.title,
            item.hit,
        ]
        for user in example_users(log, evaluation, seed)
        for rank, item in enumerate(user.recommended, start=1)
    ]
    media = {name: Html(PLOT_PAGE + svg, inject=False, data_is_not_path=True) for name, svg in drawn.items()}
    return media | {"recommendations": Table(columns=EXAMPLES, data=rows)}
