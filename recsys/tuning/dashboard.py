"""The project's page at Weights & Biases: a workspace of panels over what `recsys.evaluation.wandb_run` logs.

`python -m recsys.tuning.dashboard --entity NAME --project NAME` makes it; it needs the extra `dashboard` and a key.
"""

from typing import TYPE_CHECKING, Annotated

import typer
from optuna.distributions import FloatDistribution, IntDistribution

from recsys.errors import UserError
from recsys.tuning.space import Space
from recsys.tuning.wandb_key import need_key
from recsys.tuning.wandb_sweep import run_app, searched

if TYPE_CHECKING:  # of the extra `dashboard`
    from wandb_workspaces.workspaces import Section, Workspace

SLICES = ("all", "warm_users", "cold_users", "warm_contents", "cold_contents")
CURVES = ("val/ndcg@10", "val/recall@20", "val/mrr@10", "val/auroc", "val/loss", "train/loss", "train/mood_loss")
COSTS = ("cost/training_seconds", "cost/inference_seconds", "cost/parameters", "cost/peak_memory_mb")
SPLITS = ("validation", "test")
RUNS = 100  # how many a panel shows

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def dashboard(
    *,
    entity: Annotated[str, typer.Option(help="User or team at W&B.")],
    project: Annotated[str, typer.Option(help="Project at W&B.")] = "recsys",
    sweep: Annotated[str, typer.Option(help="The search in sweeps/ whose parameters are shown.")] = "tune",
) -> None:
    """Make the project's dashboard at W&B and print its address."""
    try:
        import wandb_workspaces  # noqa: F401, PLC0415
    except ImportError:
        raise UserError("the W&B dashboard needs a package: pip install 'recsys[dashboard]'.") from None
    need_key("the W&B dashboard")
    _, _, search = searched([f"sweeps={sweep}"])
    made = workspace(entity, project, search.space, search.objectives[0], search.directions[0])
    made.save()  # prints the address


def workspace(
    entity: str, project: str, space: Space, objective: str = "val/ndcg@10", direction: str = "maximize"
) -> "Workspace":
    """The dashboard, not saved yet.

    Args:
        entity: whose it is.
        project: whose runs it shows.
        space: whose parameters are shown.
        objective: `val/METRIC` that runs are ranked by.
        direction: "maximize" or "minimize".
    """
    import wandb_workspaces.workspaces as ws  # noqa: PLC0415
    from wandb_workspaces import expr  # noqa: PLC0415

    metric = objective.removeprefix("val/")
    ranked = f"validation/all/{metric}"
    return ws.Workspace(
        entity=entity,
        project=project,
        name="recsys",
        sections=[leaderboard(metric), curves(), parameters(space, ranked), costs(ranked), media()],
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=RUNS),
        runset_settings=ws.RunsetSettings(
            order=[expr.Ordering(expr.Summary(ranked), ascending=direction == "minimize")],
            pinned_columns=[f"summary:{name}" for name in (ranked, "validation/all/recall@20", COSTS[0])],
        ),
    )


def leaderboard(metric: str) -> "Section":
    """The final validation of all runs, by slice, and what sets the runs apart."""
    import wandb_workspaces.reports.v2 as wr  # noqa: PLC0415
    import wandb_workspaces.workspaces as ws  # noqa: PLC0415

    bars = [
        wr.BarPlot(title=f"{metric}, {slice_}", metrics=[f"validation/{slice_}/{metric}"], max_runs_to_show=RUNS)
        for slice_ in SLICES
    ]
    return ws.Section(name="Leaderboard (validation)", panels=[*bars, wr.RunComparer(diff_only="split")], is_open=True)


def curves() -> "Section":
    """Metrics over the epochs: the mean of each sweep and the span of its trials."""
    import wandb_workspaces.reports.v2 as wr  # noqa: PLC0415
    import wandb_workspaces.workspaces as ws  # noqa: PLC0415

    panels = [
        wr.LinePlot(
            title=name,
            x="epoch",
            y=[name],
            groupby="Group",
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
            max_runs_to_show=RUNS,
        )
        for name in CURVES
    ]
    return ws.Section(name="Learning curves by sweep", panels=panels, is_open=True)


def parameters(space: Space, ranked: str) -> "Section":
    """Which parameters matter, and how."""
    import wandb_workspaces.reports.v2 as wr  # noqa: PLC0415
    import wandb_workspaces.workspaces as ws  # noqa: PLC0415

    columns = [
        wr.ParallelCoordinatesPlotColumn(
            metric=wr.Config(parameter.key),
            log=isinstance(parameter.distribution, (FloatDistribution, IntDistribution)) and parameter.distribution.log,
        )
        for parameter in space.parameters
    ]
    columns.append(wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(ranked)))
    panels = [wr.ParallelCoordinatesPlot(columns=columns), wr.ParameterImportancePlot(with_respect_to=ranked)]
    return ws.Section(name="Parameters", panels=panels, is_open=True)


def costs(ranked: str) -> "Section":
    """What runs cost, and what they are worth for it."""
    import wandb_workspaces.reports.v2 as wr  # noqa: PLC0415
    import wandb_workspaces.workspaces as ws  # noqa: PLC0415

    bars = [wr.BarPlot(title=name, metrics=[name], max_runs_to_show=RUNS) for name in COSTS]
    worth = [wr.ScatterPlot(x=wr.SummaryMetric(name), y=wr.SummaryMetric(ranked)) for name in COSTS[:2]]
    return ws.Section(name="Costs", panels=[*bars, *worth])


def media() -> "Section":
    """Plots and example recommendations, of validation from trials and of test from other runs."""
    import wandb_workspaces.reports.v2 as wr  # noqa: PLC0415
    import wandb_workspaces.workspaces as ws  # noqa: PLC0415

    plots = [
        wr.MediaBrowser(title=name, media_keys=[f"{split}/{name}" for split in SPLITS])
        for name in ("calibration", "confusion")
    ]
    tables = [wr.WeavePanelSummaryTable(table_name=f"{split}/recommendations") for split in SPLITS]
    return ws.Section(name="Plots and recommendations", panels=[*plots, *tables])


if __name__ == "__main__":
    run_app(app)
