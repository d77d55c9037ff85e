"""The source behind `data=platform`: downloads if need be, then makes tables of the pages or of saved answers."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from recsys.checks import check_switch
from recsys.errors import UserError
from recsys.sources.base import Tables
from recsys.sources.platform.api import PlatformApi
from recsys.sources.platform.download import fetch
from recsys.sources.platform.moods import MoodTable
from recsys.sources.platform.pages import MANIFEST, PageStore
from recsys.sources.platform.saved import read_saved
from recsys.sources.platform.tables import build_tables

logger = logging.getLogger(__name__)

HOUR = 3_600_000_000_000  # ns


class PlatformSource:
    """A social platform behind a paginated JSON API: views, likes, inspires, ratings, posts and users.

    Args:
        api: how the platform is reached.
        folder: where its pages are kept; they are downloaded where the folder is missing, and a download that was
            stopped goes on.
        max_age_hours: an older download is refreshed first; None: whatever there is will do.
        raw: a folder of saved answers, or of a complete download, to read instead of asking any platform.
        read_at: when the saved answers were read, like 2024-01-31T18:30:00; None: the latest time that they state.
        moods: mood -> the words that mean it.
        leaky_totals: use totals such as view_count as if they had always been known, as the report does (section
            II.C). They know the future of every training event, so no metric can be trusted then.
    """

    def __init__(
        self,
        *,
        api: PlatformApi,
        folder: str | Path,
        moods: Mapping[str, Sequence[str]],
        max_age_hours: float | None = None,
        raw: str | Path | None = None,
        read_at: object = None,
        leaky_totals: bool = False,
    ) -> None:
        self.api = api
        self.folder = Path(folder).expanduser()
        self.moods = MoodTable(moods)
        self.max_age_hours = max_age_hours
        self.raw = None if raw is None else Path(raw).expanduser()
        self.read_at = read_at
        check_switch("data.leaky_totals", leaky_totals)
        self.leaky_totals = leaky_totals

    def load(self) -> Tables:
        """Read the saved answers, or the download after bringing it up to date.

        Raises:
            UserError: the platform cannot be read, or the answers are not those of such a platform.
        """
        if self.raw is None:
            store = self._downloaded()
        elif (found := _complete_download(self.raw)) is not None:
            store = found
        else:
            pages = read_saved(self.raw, None if self.read_at is None else _time(self.read_at))
            return build_tables(pages, self.moods, leaky_totals=self.leaky_totals)
        return build_tables(store.read_pages(), self.moods, pruned=store.pruned, leaky_totals=self.leaky_totals)

    def _downloaded(self) -> PageStore:
        """The download, brought up to date."""
        finished = PageStore(self.folder).finished
        hours = None if finished is None else (time.time_ns() - finished) / HOUR
        is_old = hours is not None and self.max_age_hours is not None and hours > self.max_age_hours
        if hours is None or is_old:
            fetch(self.api, self.folder, refresh=is_old)
        else:
            logger.info("platform: %s, complete since %.1f hours", self.folder, hours)
        return PageStore(self.folder)


def _complete_download(folder: Path) -> PageStore | None:
    """The download that a folder (or its `raw`) is, None where it is none."""
    root = folder.parent if (folder / MANIFEST).is_file() and folder.name == "raw" else folder
    if not (root / "raw" / MANIFEST).is_file():
        return None
    store = PageStore(root)
    if store.finished is None:
        raise UserError(f"The download in {root} is not complete: finish it with recsys fetch, --out {root}.")
    return store


def _time(value: object) -> int:
    """A time as ns, UTC where it names no zone."""
    try:
        time_ = pd.Timestamp(str(value))
        return int((time_.tz_localize("UTC") if time_.tz is None else time_).as_unit("ns").value)
    except (ValueError, OverflowError) as error:
        raise UserError(f"data.read_at={value} is no time: write it like 2024-01-31T18:30:00.") from error
