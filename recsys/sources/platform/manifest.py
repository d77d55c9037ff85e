"""The manifest of a download: a line for every step, which tells how far it has come; `pages` keeps the pages."""

import hashlib
import json
import os
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recsys.errors import UserError
from recsys.sources.platform.api import ENDPOINTS, PlatformApi

FORMAT = 1  # raised whenever older versions could not read a manifest


@dataclass(frozen=True, kw_only=True)
class PageRead:
    """A page was read.

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


class Manifest:
    """What the lines of one manifest add up to.

    Args:
        path: the file; there need be none yet.

    Attributes:
        pages: all pages read, in order.
        files: endpoint -> number of pages kept.
        download: number of the current download, 0 before the first.
        refreshes: whether the current download only adds to an earlier one.
        finished: when the current download was finished, ns; None while it is not.
        swept: download, endpoint and sweep of every sweep that reached its end.
        complete: download and endpoint of all that lack nothing.
        pruned: endpoint -> rows that the platform had no longer when last asked.
        platform: tells platforms apart; None before the first download.
        page_size: rows asked for on a page of the current download.

    Raises:
        UserError: it cannot be read, is damaged, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self.reread()

    def reread(self) -> None:
        """Follow the file from its beginning."""
        self.pages: list[PageRead] = []
        self.files: Counter[str] = Counter()
        self.download, self.refreshes = 0, False
        self.finished: int | None = None
        self.swept: set[tuple[int, str, int]] = set()
        self.complete: set[tuple[int, str]] = set()
        self.pruned: dict[str, int] = {}
        self.platform: str | None = None
        self.page_size = 0
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]  # what follows the last newline is torn
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"{self.path} cannot be read ({error.strerror}): choose another folder.") from error
        for line in lines:
            try:
                self._follow(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{self.path} is damaged: fetch into an empty folder.") from error

    def cut_torn_line(self) -> None:
        """Cut off what a kill has left of a line."""
        if self.path.exists():
            content = self.path.read_bytes()
            if not content.endswith(b"\n"):
                os.truncate(self.path, content.rfind(b"\n") + 1)

    def append(self, step: str, **values: Any) -> None:
        """Write a line to the disk, then follow it.

        Args:
            step: "begin", "page", "swept", "complete" or "finish".
            values: plain values of the step.
        """
        with self._lock:
            try:
                with self.path.open("ab") as file:
                    file.write(json.dumps({"step": step, **values}).encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise unwritable(self.path, error) from error
            self._follow({"step": step, **values})

    def add(self, page: PageRead) -> None:
        """State that a page was read."""
        self.append("page", **asdict(page))

    def _follow(self, line: dict[str, Any]) -> None:
        step = line.pop("step")
        if step == "begin":
            if line["format"] > FORMAT:
                raise UserError(f"{self.path} was written by a newer recsys: upgrade to read it.")
            self.download, self.refreshes, self.finished = line["download"], line["refreshes"], None
            self.platform, self.page_size = line["platform"], line["page_size"]
        elif step == "page":
            page = PageRead(**line)
            self.pages.append(page)
            self.files[page.endpoint] += page.file is not None
        elif step == "swept":
            self.swept.add((line["download"], line["endpoint"], line["sweep"]))
        elif step == "complete":
            self.complete.add((line["download"], line["endpoint"]))
            self.pruned[line["endpoint"]] = line["pruned"]
        elif step == "finish":
            self.finished = line["at"]
        else:
            raise ValueError(step)


def fingerprint(api: PlatformApi) -> str:
    """What must stay the same for pages to belong together; hashed, for parameters are nobody else's business."""
    paths = {name: api.path(endpoint) for name, endpoint in ENDPOINTS.items()}
    plain = json.dumps([api.base_url, paths, dict(api.params or {})], sort_keys=True, default=str)
    return hashlib.sha256(plain.encode()).hexdigest()


def unwritable(path: Path, error: OSError) -> UserError:
    """Why a file could not be written, and what to do."""
    return UserError(f"Cannot write {path} ({error.strerror}): make room or choose another folder, then fetch again.")
