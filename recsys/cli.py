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
