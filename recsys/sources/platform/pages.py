"""The folder `raw/` of a download: every page as it came, compressed, and a manifest of what was read so far.

    raw/manifest.jsonl         one line a step, appended after what it speaks of is on the disk
    raw/views.00017.json.gz    an answer that had rows not yet known

A kill at any moment leaves at most a temporary file, a page without its line, or half a line: all three are passed
over, and the page is read again. `download` decides what to read, `tables` makes tables of it.
"""

import fcntl
import gzip
import hashlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from recsys.errors import UserError
from recsys.sources.platform.answers import AnswerError, Row, row_key, rows_of
from recsys.sources.platform.api import ENDPOINTS, PlatformApi

MANIFEST = "manifest.jsonl"
_FORMAT = 1
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


@dataclass(frozen=True, kw_only=True)
class PageRead:
    """Line of the manifest: a page was read.

    Attributes:
        download: which download it belongs to, from 1; every refresh is one.
        endpoint: name of the endpoint.
        sweep: which reading of the endpoint in this download, from 1.
        page: number of the page, from 1.
        rows: number of its rows.
        missed: rows that an earlier sweep should have met.
        file: where it is; None where all its rows were known already.
        read_at: ns.
    """

    download: int
    endpoint: str
    sweep: int
    page: int
    rows: int
    missed: int
    file: str | None
    read_at: int


class PageStore:
    """The pages of one folder and what they add up to; a context manager that keeps other writers out.

    Attributes:
        raw: the folder with the pages.
        pages: all pages read, in order.
        download: number of the current download, 0 before the first.
        refreshes: whether the current download only adds to an earlier one.
        finished: when the current download was finished, ns; None while it is not.
    """

    def __init__(self, folder: Path) -> None:
        self.raw = folder / "raw"
        self.pages: list[PageRead] = []
        self.download, self.refreshes = 0, False
        self.finished: int | None = None
        self._files: Counter[str] = Counter()
        self._swept: set[tuple[int, str, int]] = set()
        self._complete: set[tuple[int, str]] = set()
        self._platform: str | None = None
        self._page_size = 0
        self._lock = threading.Lock()
        self._guard: IO[str] | None = None
        self._replay()

    def __enter__(self) -> Self:
        """Begin to write: lock the folder and clear away what a kill left."""
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
        self._replay()
        for leftover in self.raw.glob("*.part"):
            leftover.unlink()
        self._cut_torn_line()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._guard:
            self._guard.close()

    def begin(self, api: PlatformApi, refreshes: bool) -> None:
        """Begin the next download."""
        self._append(
            {
                "step": "begin",
                "format": _FORMAT,
                "download": self.download + 1,
                "refreshes": refreshes,
                "platform": _fingerprint(api),
                "page_size": api.page_size,
                "at": time.time_ns(),
            }
        )

    def check(self, api: PlatformApi) -> None:
        """Raise `UserError` unless these are settings to go on with."""
        if self._platform is not None and self._platform != _fingerprint(api):
            raise UserError(
                f"{self.raw} holds pages of another platform (api.base_url, api.paths or api.params differ): choose "
                "another folder, or give the settings that it was begun with."
            )
        if self.download and not self.finished and self._page_size != api.page_size:
            raise UserError(
                f"{self.raw} was begun with api.page_size={self._page_size}: finish it with that, or choose another "
                "folder."
            )

    def add(self, body: bytes, read: PageRead) -> None:
        """Keep a page that has been read, and then say so; without a body (`file` None) only say so."""
        if read.file is not None:
            _write(self.raw / read.file, gzip.compress(body, _FAST, mtime=0))
        self._append({"step": "page", **asdict(read)})

    def next_file(self, endpoint: str) -> str:
        """Name for the next page of an endpoint; the same one until a page has been added."""
        return f"{endpoint}.{self._files[endpoint]:05d}.json.gz"

    def end_sweep(self, endpoint: str, sweep: int) -> None:
        """State that a sweep has reached the end of its pages."""
        self._append({"step": "swept", "download": self.download, "endpoint": endpoint, "sweep": sweep})

    def complete(self, endpoint: str) -> None:
        """State that the current download of an endpoint lacks nothing."""
        self._append({"step": "complete", "download": self.download, "endpoint": endpoint})

    def finish(self) -> None:
        """State that the current download is complete."""
        self._append({"step": "finish", "download": self.download, "at": time.time_ns()})

    def is_complete(self, endpoint: str) -> bool:
        """Whether the current download of an endpoint lacks nothing."""
        return (self.download, endpoint) in self._complete

    def is_swept(self, endpoint: str, sweep: int) -> bool:
        """Whether a sweep of the current download has reached its end."""
        return (self.download, endpoint, sweep) in self._swept

    def rows(self, read: PageRead) -> list[Row]:
        """Rows of a page; none where they were all known already."""
        if read.file is None:
            return []
        path = self.raw / read.file
        try:
            return rows_of(gzip.decompress(path.read_bytes()), ENDPOINTS[read.endpoint], str(path))
        except (OSError, EOFError, AnswerError) as error:
            raise UserError(f"{path} is missing or damaged ({error}): fetch into an empty folder.") from error

    def rows_by_endpoint(self) -> dict[str, int]:
        """Number of distinct rows of each endpoint, over all downloads."""
        keys: dict[str, set[object]] = {name: set() for name in ENDPOINTS}
        for page in self.read_pages():
            keys[page.endpoint].update(map(row_key, page.rows))
        return {name: len(found) for name, found in keys.items()}

    def read_pages(self) -> Iterator[Page]:
        """All pages of complete downloads and of the current one, oldest first."""
        for read in self.pages:
            if read.file is not None:
                yield Page(read.endpoint, self.rows(read), read.read_at)

    def _replay(self) -> None:
        """Follow the manifest from its beginning."""
        self.pages.clear()
        self._files.clear()
        try:
            lines = (self.raw / MANIFEST).read_bytes().split(b"\n")[:-1]  # what follows the last newline is torn
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(
                f"{self.raw / MANIFEST} cannot be read ({error.strerror}): choose another folder."
            ) from error
        for line in lines:
            try:
                self._follow(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{self.raw / MANIFEST} is damaged: fetch into an empty folder.") from error

    def _follow(self, line: dict[str, Any]) -> None:
        step = line.pop("step")
        if step == "begin":
            if line["format"] > _FORMAT:
                raise UserError(f"{self.raw} was written by a newer recsys: upgrade to read it.")
            self.download, self.refreshes, self.finished = line["download"], line["refreshes"], None
            self._platform, self._page_size = line["platform"], line["page_size"]
        elif step == "page":
            self.pages.append(PageRead(**line))
            self._files[line["endpoint"]] += line["file"] is not None
        elif step == "swept":
            self._swept.add((line["download"], line["endpoint"], line["sweep"]))
        elif step == "complete":
            self._complete.add((line["download"], line["endpoint"]))
        else:
            self.finished = line["at"]

    def _append(self, line: dict[str, Any]) -> None:
        """Write a line to the disk, then follow it."""
        with self._lock:
            try:
                with (self.raw / MANIFEST).open("ab") as manifest:
                    manifest.write(json.dumps(line).encode() + b"\n")
                    manifest.flush()
                    os.fsync(manifest.fileno())
            except OSError as error:
                raise _unwritable(self.raw / MANIFEST, error) from error
            self._follow(line)

    def _cut_torn_line(self) -> None:
        path = self.raw / MANIFEST
        if path.exists():
            content = path.read_bytes()
            if content and not content.endswith(b"\n"):
                os.truncate(path, content.rfind(b"\n") + 1)


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
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"Cannot write {path} ({error.strerror}): make room or choose another folder, then fetch again.")


def _fingerprint(api: PlatformApi) -> str:
    """What must stay the same for pages to belong together; hashed, for parameters are nobody else's business."""
    paths = {name: api.path(endpoint) for name, endpoint in ENDPOINTS.items()}
    plain = json.dumps([api.base_url, paths, dict(api.params or {})], sort_keys=True, default=str)
    return hashlib.sha256(plain.encode()).hexdigest()
