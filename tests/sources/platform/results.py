"""What a download came to, in a form that two downloads can be compared in, and what it should have come to."""

from pathlib import Path
from typing import Any

import pandas as pd

from recsys.sources.base import READ_AT, Tables
from recsys.sources.platform.api import PlatformApi
from recsys.sources.platform.moods import MoodTable
from recsys.sources.platform.pages import Page, PageStore
from recsys.sources.platform.tables import build_tables
from tests.sources.platform.server import Rows, Server


def hurried(server: Server, **settings: Any) -> PlatformApi:
    """Settings for a server of the tests: small pages, and no wait that would only cost time."""
    hasty = {"page_size": 20, "requests_per_second": 1e6, "backoff": 0.001, "timeout": 5.0, "attempts": 4}
    return PlatformApi(base_url=server.url, **(hasty | settings))


def downloaded(folder: Path, moods: MoodTable) -> dict[str, Any]:
    """Tables of a download."""
    return plain(build_tables(PageStore(folder).read_pages(), moods))


def expected(rows: dict[str, Rows], moods: MoodTable) -> dict[str, Any]:
    """Tables of a platform's rows, each read once."""
    return plain(build_tables([Page(name, of_endpoint, 0) for name, of_endpoint in rows.items()], moods))


def plain(tables: Tables) -> dict[str, Any]:
    """Everything but when it was read and in which order."""
    frames = {"interactions": tables.interactions, "users": tables.users, "contents": tables.contents}
    frames |= {f"readings of {name}": frame.drop(columns=READ_AT) for name, frame in tables.readings.items()}
    return {name: _sorted(frame) for name, frame in frames.items() if frame is not None} | {
        "notes": sorted(tables.notes)
    }


def _sorted(frame: pd.DataFrame) -> list[str]:
    columns = sorted(frame.columns)
    return sorted("|".join(map(str, row)) for row in frame[columns].itertuples(index=False))
