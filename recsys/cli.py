"""The `recsys` command: using what a run left behind. `train.py` is the door to making runs."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys import __version__
from recsys.errors import UserError

if TYPE_CHECKING:  # torch takes seconds to import, so each command imports the rooms it needs when it runs
    from recsys.serving.recommendations import Recommendations
    from recsys.tuning.comparison import Comparison
    from recsys.tuning.leaderboard.results import Board
    from recsys.tuning.results import SweepResults

app = typer.Typer(name="recsys", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def main() -> None:
    """Run the command; a `UserError` becomes one sentence on stderr and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


@app.callback(invoke_without_command=True)
def recsys(*, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Use a trained recommender: recsys VERB --run DIR."""
    if version:
        print(f"recsys {__version__}")
        raise typer.Exit


@app.command()
def recommend(
    *,
    run: Annotated[Path, typer.Option(help="A run's folder, or a bundle by itself.")],
    user: Annotated[str | None, typer.Option(help="Id of the user to recommend for.")] = None,
    mood: Annotated[str | None, typer.Option(help="Mood of a newcomer to recommend for.")] = None,
    only_carriers: Annotated[
        bool, typer.Option("--only-carriers", help="With --mood: leave out contents that do not carry the mood.")
    ] = False,
    k: Annotated[int, typer.Option("-k", help="Contents on a page.")] = 10,
    page: Annotated[int, typer.Option(help="Which page, from 1.")] = 1,
    at: Annotated[
        str | None,
        typer.Option(help="Time to recommend at: 2024-01-31T18:30:00, or unix s, ms, us or ns. Default: the bundle's."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Recommend contents for a user or for a mood."""
    if (user is None) == (mood is None):
        raise UserError("recommend takes exactly one of --user ID and --mood NAME.")
    if only_carriers and mood is None:
        raise UserError("--only-carriers goes with --mood NAME.")

    from recsys.data.timestamps import read_time  # noqa: PLC0415
    from recsys.serving.manifest import find_bundle  # noqa: PLC0415

    folder = find_bundle(run)
    t = None if at is None else read_time(at, "option --at")

    from recsys.serving.bundle import load_bundle  # noqa: PLC0415
    from recsys.serving.recommender import Recommender  # noqa: PLC0415

    recommender = Recommender(load_bundle(folder))
    if mood is None:
        found = recommender.for_user(str(user), k, page, t)
    else:
        found = recommender.for_mood(mood, k, page, t, only_carriers=only_carriers)
    if as_json:
        print(json.dumps(found.to_json(), ensure_ascii=False, allow_nan=False))
    else:
        _print_table(found)


@app.command()
def export(
    *,
    run: Annotated[Path, typer.Option(help="A run's folder, or a bundle by itself.")],
    out: Annotated[Path, typer.Option(help="Folder to write; an older export there is replaced.")],
    file_format: Annotated[
        str, typer.Option("--format", help="c: C99 headers and sources for devices. onnx: graphs for ONNX runtimes.")
    ] = "c",
    at: Annotated[
        str | None,
        typer.Option(
            help="Time of the embeddings: 2024-01-31T18:30:00, or unix s, ms, us or ns. Default: the bundle's."
        ),
    ] = None,
    subset: Annotated[
        list[str] | None,
        typer.Option(help="Catalogue: popular:N, category:NAME or list:FILE; several narrow it one after another."),
    ] = None,
    users: Annotated[str, typer.Option(help="Users with an embedding in the tables: all, none or list:FILE.")] = "all",
    precision: Annotated[str, typer.Option(help="C: float32, float16 or int8 embeddings.")] = "float32",
    blob: Annotated[
        bool, typer.Option("--blob", help="C: embeddings in a file of their own, for flash or mmap, not in a header.")
    ] = False,
    flash: Annotated[
        str | None, typer.Option(help="C: refuse to write more than this many bytes for the device, such as 512k.")
    ] = None,
) -> None:
    """Export the model as C99 headers that give the same top 10, or as ONNX."""
    from recsys.data.timestamps import read_time  # noqa: PLC0415
    from recsys.serving.manifest import find_bundle  # noqa: PLC0415

    folder = find_bundle(run)
    t = None if at is None else read_time(at, "option --at")

    from recsys.export.export import ExportOptions, export_bundle, parse_bytes  # noqa: PLC0415
    from recsys.export.summary import summary_lines  # noqa: PLC0415

    options = ExportOptions(
        format=file_format,
        time=t,
        subset=tuple(subset or ()),
        users=users,
        precision=precision,
        blob=blob,
        flash=None if flash is None else parse_bytes(flash, "--flash"),
    )
    for line in summary_lines(export_bundle(folder, out, options), out):
        print(line)


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="Name of the sweep.")],
    *,
    directory: Annotated[Path, typer.Option("--dir", help="Folder with the sweeps' folders.")] = Path("runs/sweeps"),
    storage: Annotated[
        str | None, typer.Option(help="URL of the study's storage. Default: the one the sweep was started with.")
    ] = None,
) -> None:
    """Show what a sweep has found so far, and write it as tables and a page into the sweep's folder."""
    from recsys.tuning.comparison import compare_configurations  # noqa: PLC0415
    from recsys.tuning.report import write_sweep_report  # noqa: PLC0415
    from recsys.tuning.results import read_sweep  # noqa: PLC0415

    sweep = read_sweep(name, directory, storage)
    comparison = compare_configurations(sweep)
    written = write_sweep_report(sweep, comparison)
    console = Console(width=120)  # keeps the tables whole where the output is not a terminal
    _print_trials(console, sweep)
    if comparison.says_something:
        _print_comparison(console, comparison)
    # Printed as they are: commands and paths are for copying, so nothing may break their lines.
    if (command := sweep.best_command()) is not None:
        print(f"Best: {command}")
    for path in written:
        print(f"Written: {path}")
    print(f"Dashboard: {sweep.dashboard_command()} (pip install optuna-dashboard)")


def _print_trials(console: Console, sweep: "SweepResults") -> None:
    """Print how many trials are in which state, and the best ones."""
    from recsys.tuning.report import best_trials, epochs, measured  # noqa: PLC0415
    from recsys.tuning.space import summary  # noqa: PLC0415

    states = "".join(f", {count} {state}" for state, count in sweep.states().items())
    console.print(_plain(f"Sweep {sweep.name}: {sweep.n_trials} trials{states}"))
    best = best_trials(sweep)
    if not best:
        console.print("No trial has finished yet.")
        return
    table = Table(title="Best trials" if len(sweep.objectives) == 1 else "Pareto front")
    table.add_column("trial", justify="right")
    for objective in sweep.objectives:
        table.add_column(_plain(objective), justify="right")
    table.add_column("params", overflow="fold")
    table.add_column("epochs", justify="right")
    for trial in best:
        trained = epochs(trial)
        cells = [str(trial.number), *map(measured, trial.values), summary(trial.params)]
        table.add_row(*map(_plain, [*cells, "" if trained is None else str(trained)]))
    console.print(table)


def _print_comparison(console: Console, comparison: "Comparison") -> None:
    """Print the ablation table."""
    from recsys.evaluation.significance import p_text  # noqa: PLC0415

    table = Table(title=_plain(f"{comparison.objective} on validation, mean over seeds"))
    table.add_column("configuration", overflow="fold")
    for column in ("seeds", "mean", "std", "difference", "95% interval", "p (Holm)"):
        table.add_column(column, justify="right")
    for row in comparison.rows:
        cells = [row.label + (" (baseline)" if row.is_baseline else ""), str(len(row.seeds)), f"{row.mean:.4f}"]
        cells.append("" if row.std is None else f"{row.std:.4f}")
        if row.difference is not None:
            found = row.difference
            cells += [f"{found.mean:+.4f} {found.stars:3}", f"{found.low:+.4f} to {found.high:+.4f}"]
            cells.append(p_text(found.p_holm))
        table.add_row(*map(_plain, cells))
    console.print(table)
    for row in comparison.rows:
        if row.reason:
            console.print(_plain(f"Not compared: {row.label}: {row.reason}."))
    for note in comparison.notes:
        console.print(_plain(note))


@app.command()
def leaderboard(
    config: Annotated[Path, typer.Argument(help="YAML file with data sets and models.")] = Path(
        "benchmarks/leaderboard.yaml"
    ),
    *,
    jobs: Annotated[int, typer.Option(help="Models that are tuned at the same time.")] = 1,
    data: Annotated[list[str] | None, typer.Option(help="Only this data set; several may be named.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only this model; several may be named.")] = None,
) -> None:
    """Tune and test models on data sets, and write who is best as a table and a page; go on after a kill."""
    if jobs < 1:
        raise UserError(f"--jobs is {jobs}: give a whole number of at least 1.")
    project = Path(__file__).parents[1]
    if not (project / "train.py").is_file():
        raise UserError(f"{project} has no train.py: run this from a checkout of the project.")

    from recsys.tuning.leaderboard.page import write_html  # noqa: PLC0415
    from recsys.tuning.leaderboard.plan import read_plan  # noqa: PLC0415
    from recsys.tuning.leaderboard.results import read_board  # noqa: PLC0415
    from recsys.tuning.leaderboard.run import run_entries  # noqa: PLC0415
    from recsys.tuning.leaderboard.tables import write_csv, write_json  # noqa: PLC0415

    plan = read_plan(config, project / "conf", data or (), model or ())
    writers = {"leaderboard.csv": write_csv, "leaderboard.json": write_json, "leaderboard.html": write_html}

    def write() -> None:
        board = read_board(plan)
        for name, writer in writers.items():
            writer(board, plan.out / name)

    run_entries(plan.entries, project / "train.py", jobs, write)
    write()
    board = read_board(plan)
    _print_board(board)
    for name in writers:
        print(f"Written: {plan.out / name}")
    if any(standing.failed for standing in board.standings):
        raise typer.Exit(1)


def _print_board(board: "Board") -> None:
    """Print a table for each data set, and what is missing."""
    from recsys.evaluation.significance import p_text  # noqa: PLC0415
    from recsys.tuning.leaderboard.tables import HEADLINES, ratio  # noqa: PLC0415

    console = Console(width=120)
    for standing in board.standings:
        table = Table(title=_plain(f"{standing.data.name}, test"))
        table.add_column("model", overflow="fold")
        for column in (*HEADLINES[:5], "times best peer", "p (Holm)", "mean rank"):
            table.add_column(column.replace("average_precision", "avg. precision"), justify="right")
        for score in standing.scores:
            marks = (
                (" (best peer)" if score.model.name == standing.best_peer else " (peer)") if score.model.peer else ""
            )
            times, versus = ratio(standing, score), standing.versus_best_peer.get(score.model.name)
            found = [score.test["all"].get(name) for name in HEADLINES[:5]]
            cells = [score.model.name + marks, *("" if one is None else f"{one.mean:.4f}" for one in found)]
            cells += ["" if times is None else f"{times:.2f}", "" if versus is None else p_text(versus.p_holm)]
            table.add_row(*map(_plain, [*cells, f"{board.mean_ranks[score.model.name][0]:.2f}"]))
        console.print(table)
        for name, why in standing.failed.items():
            print(f"{standing.data.name}/{name} has no score: {why}")
    for sentence in board.left_out:
        print(sentence)


@app.command()
def fetch(
    *,
    config: Annotated[Path, typer.Option(help="YAML file with the settings of the platform under 'api'.")],
    out: Annotated[Path, typer.Option(help="Folder for what is fetched: its raw/ holds the pages and a manifest.")],
    refresh: Annotated[bool, typer.Option("--refresh", help="Fetch what is new since the last time.")] = False,
) -> None:
    """Download a platform's data, or go on with a download that was stopped."""
    import yaml  # noqa: PLC0415
    from omegaconf import OmegaConf  # noqa: PLC0415
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415

    from recsys.sources.platform.api import PlatformApi  # noqa: PLC0415
    from recsys.sources.platform.download import fetch  # noqa: PLC0415
    from recsys.sources.platform.pages import PageStore  # noqa: PLC0415

    try:
        asked = OmegaConf.select(OmegaConf.load(config), "api")  # all else may be of no concern to the download
        settings = OmegaConf.to_container(asked, resolve=True) if OmegaConf.is_config(asked) else asked
    except OmegaConfBaseException as error:
        raise UserError(f"{config} cannot be read: {str(error).splitlines()[0]}.") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{config} cannot be read: give a YAML file, such as conf/data/platform.yaml.") from error
    fetch(PlatformApi.from_plain({"api": settings}, str(config)), out, refresh=refresh)
    rows = PageStore(out).rows_by_endpoint()
    table = Table()
    table.add_column("endpoint")
    table.add_column("rows", justify="right")
    for endpoint, count in rows.items():
        table.add_row(endpoint, f"{count:,}")
    Console().print(table)
    print(f"Pages: {out / 'raw'}")


@app.command()
def moods(
    *,
    run: Annotated[Path, typer.Option(help="A run's folder, or a bundle by itself.")],
    examples: Annotated[int, typer.Option(help="Contents shown for each mood, those with most events first.")] = 3,
) -> None:
    """List the moods that a newcomer can choose from, with counts and examples."""
    if examples < 0:
        raise UserError(f"--examples is {examples}: give a whole number of at least 0.")

    from recsys.serving.manifest import find_bundle  # noqa: PLC0415

    folder = find_bundle(run)

    from recsys.serving.bundle import load_bundle  # noqa: PLC0415
    from recsys.serving.moods import list_moods  # noqa: PLC0415

    bundle = load_bundle(folder)
    listed = list_moods(bundle.log, bundle.time, examples)
    if not listed:
        raise UserError(f"{folder} has no moods: its data has no moods, tags or categories before validation.")
    table = Table()
    for column in ("mood", "kind", "contents", "events", "examples"):
        table.add_column(column, justify="right" if column in ("contents", "events") else "left", overflow="fold")
    for mood in listed:
        cells = [mood.name, mood.kind, f"{mood.contents:,}", f"{mood.events:,}", ", ".join(mood.examples)]
        table.add_row(*map(_plain, cells))
    Console().print(table)


def _print_table(found: "Recommendations") -> None:
    """Print the recommendations for a person to read."""
    console = Console()
    asked = f"user {found.user_id}" if found.mood is None else f"mood {found.mood}"
    console.print(_plain(f"Recommendations for {asked} at {found.iso_time}, page {found.page}"))
    if found.items:
        with_probability = found.items[0].probability is not None
        table = Table()
        table.add_column("rank", justify="right")
        table.add_column("title", overflow="fold")
        table.add_column("content id", overflow="fold")
        table.add_column("score", justify="right")
        if with_probability:
            table.add_column("probability", justify="right")
        for item in found.items:
            cells = [str(item.rank), item.title or "", str(item.content_id), f"{item.score:.4f}"]
            table.add_row(*map(_plain, [*cells, f"{item.probability:.4f}"] if with_probability else cells))
        console.print(table)
    for reason, count in found.excluded.items():
        console.print(f"Left out, {reason}: {count}")
    for note in found.notes:
        console.print(_plain(note))


def _plain(text: str) -> Text:
    """The text as it is: "[red]" is no markup, and nothing in it can steer the terminal."""
    return Text("".join(character if character.isprintable() else " " for character in text))


if __name__ == "__main__":
    main()
