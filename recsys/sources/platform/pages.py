"""The folder `raw/` of a download: every page as it came, compressed, and a manifest of what was read so far.

    raw/manifest.jsonl         one line a step, appended after what it speaks of is on the disk
    raw/views.00017.json.gz    an answer that had rows not yet known

A kill at any moment leaves at most a temporary file, a page without its line, or half a line: all three are passed
over, and the page is read again. `reader` decides what to read, `tables` makes tables of it.
"""

import fcntl
import gzip
import os
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from recsys.errors import UserError
from recsys.sources.platform.answers import AnswerError, Row, row_key, rows_of
from recsys.sources.platform.api import ENDPOINTS, PlatformApi
from recsys.sources.platform.manifest import FORMAT, Manifest, PageRead, fingerprint, unwritable

MANIFEST = "manifest.jsonl"
_FAST = 1  # of gzip's levels: a third larger than the best, five times as fast


@dataclass(frozen=True)
class Page:
    """Rows of one page.

    Attributes:
        endpoint: name of the endpoint.
        rows: the rows.
        read_at: when they were read, ns.
    """

    endpoint: str
    rows: list[Row]
    read_at: int


class PageStore:
    """The pages of one folder; as a context manager it keeps other writers out and may be written to.

    Args:
        folder: the folder around `raw`.

    Attributes:
        raw: the folder with the pages.

    Raises:
        UserError: the manifest cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.raw = folder / "raw"
        self._manifest = Manifest(self.raw / MANIFEST)
        self._guard: IO[str] | None = None

    def __enter__(self) -> Self:
        """Lock the folder and clear away what a kill left."""
        try:
            self.raw.mkdir(parents=True, exist_ok=True)
            self._guard = (self.raw / ".lock").open("w")
        except OSError as error:
            raise UserError(f"Cannot write to {self.raw} ({error.strerror}): choose another folder.") from error
        try:
            fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._guard.close()
            raise UserError(f"Another process is fetching into {self.raw}: wait for it, or choose another.") from error
        self._manifest.reread()  # another process may just have ended
        self._manifest.cut_torn_line()
        for leftover in self.raw.glob("*.part"):
            leftover.unlink()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._guard:
            self._guard.close()

    @property
    def pages(self) -> list[PageRead]:
        """All pages read, in order."""
        return self._manifest.pages

    @property
    def download(self) -> int:
        """Number of the current download, 0 before the first."""
        return self._manifest.download

    @property
    def refreshes(self) -> bool:
        """Whether the current download only adds to an earlier one."""
        return self._manifest.refreshes

    @property
    def finished(self) -> int | None:
        """When the current download was finished, ns; None while it is not."""
        return self._manifest.finished

    @property
    def pruned(self) -> dict[str, int]:
        """Endpoint -> rows that are kept here and that the platform had no longer when last asked."""
        return self._manifest.pruned

    def begin(self, api: PlatformApi, refreshes: bool) -> None:
        """Begin the next download."""
        self._manifest.append(
            "begin",
            format=FORMAT,
            download=self.download + 1,
            refreshes=refreshes,
            platform=fingerprint(api),
            page_size=api.page_size,
            at=time.time_ns(),
        )

    def check(self, api: PlatformApi) -> None:
        """Raise `UserError` unless these are settings to go on with."""
        manifest = self._manifest
        if manifest.platform is not None and manifest.platform != fingerprint(api):
            raise UserError(
                f"{self.raw} holds pages of another platform (api.base_url, api.paths or api.params differ): choose "
                "another folder, or give the settings that it was begun with."
            )
        if manifest.download and not manifest.finished and manifest.page_size != api.page_size:
            raise UserError(
                f"{self.raw} was begun with api.page_size={manifest.page_size}: finish it with that, or choose "
                "another folder."
            )

    def add(self, body: bytes, read: PageRead) -> None:
        """Keep a page that has been read, and then say so; without a file only say so."""
        if read.file is not None:
            _write(self.raw / read.file, gzip.compress(body, _FAST, mtime=0))
        self._manifest.add(read)

    def next_file(self, endpoint: str) -> str:
        """Name for the next page of an endpoint; the same one until a page has been added."""
        return f"{endpoint}.{self._manifest.files[endpoint]:05d}.json.gz"

    def end_sweep(self, endpoint: str, sweep: int) -> None:
        """State that a sweep has reached the end of its pages."""
        self._manifest.append("swept", download=self.download, endpoint=endpoint, sweep=sweep)

    def is_swept(self, endpoint: str, sweep: int) -> bool:
        """Whether a sweep of the current download has reached its end."""
        return (self.download, endpoint, sweep) in self._manifest.swept

    def complete(self, endpoint: str, pruned: int) -> None:
        """State that the current download of an endpoint lacks nothing, and how many rows the platform has pruned."""
        self._manifest.append("complete", download=self.download, endpoint=endpoint, pruned=pruned)

    def is_complete(self, endpoint: str) -> bool:
        """Whether the current download of an endpoint lacks nothing."""
        return (self.download, endpoint) in self._manifest.complete

    def finish(self) -> None:
        """State that the current download is complete."""
        self._manifest.append("finish", download=self.download, at=time.time_ns())

    def rows(self, read: PageRead) -> list[Row]:
        """Rows of a page; none where they were all known already."""
        if read.file is None:
            return []
        path = self.raw / read.file
        try:
            return rows_of(gzip.decompress(path.read_bytes()), ENDPOINTS[read.endpoint], str(path))
        except (OSError, EOFError, zlib.error, AnswerError) as error:
            raise UserError(f"{path} is missing or damaged ({error}): fetch into an empty folder.") from error

    def read_pages(self) -> Iterator[Page]:
        """All pages that are kept, oldest first."""
        for read in self.pages:
            if read.file is not None:
                yield Page(read.endpoint, self.rows(read), read.read_at)

    def rows_by_endpoint(self) -> dict[str, int]:
        """Number of distinct rows of each endpoint."""
        keys: dict[str, set[object]] = {name: set() for name in ENDPOINTS}
        for page in self.read_pages():
            keys[page.endpoint].update(map(row_key, page.rows))
        return {name: len(found) for name, found in keys.items()}


def _write(path: Path, content: bytes) -> None:
    """Write a whole file or none."""
    temporary = path.with_name(f"{path.name}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
