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

    from recsys.data.timestamps import read_time  # noqa: PLC0415
    from recsys.serving.manifest import find_bundle  # noqa: PLC0415

    folder = find_bundle(run)
    t = None if at is None else read_time(at, "option --at")

    from recsys.serving.bundle import load_bundle  # noqa: PLC0415
    from recsys.serving.recommender import Recommender  # noqa: PLC0415

    recommender = Recommender(load_bundle(folder))
    found = recommender.for_mood(mood, k, page, t) if mood is not None else recommender.for_user(str(user), k, page, t)
    if as_json:
        print(json.dumps(found.to_json(), ensure_ascii=False, allow_nan=False))
    else:
        _print_table(found)


@app.command()
def fetch(
    *,
    config: Annotated[Path, typer.Option(help="YAML file with the settings of the platform under 'api'.")],
    out: Annotated[Path, typer.Option(help="Folder for what is fetched: its raw/ holds the pages and a manifest.")],
    refresh: Annotated[bool, typer.Option("--refresh", help="Fetch what is new since the last time.")] = False,
) -> None:
    """Download a platform's data, or go on with a download that was stopped."""
    import yaml  # noqa: PLC0415

    from recsys.sources.platform.api import PlatformApi  # noqa: PLC0415
    from recsys.sources.platform.download import fetch  # noqa: PLC0415
    from recsys.sources.platform.pages import PageStore  # noqa: PLC0415

    try:
        plain = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{config} cannot be read: give a YAML file, such as conf/data/platform.yaml.") from error
    fetch(PlatformApi.from_plain(plain, str(config)), out, refresh=refresh)
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
