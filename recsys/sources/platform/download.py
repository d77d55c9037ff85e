"""Downloads all rows of a platform into a folder, or goes on where a download was stopped.

Every endpoint is read page by page until a page has no rows. Rows that are deleted meanwhile shift all later ones to
earlier pages, where they would be missed; so the pages are read again, until such a sweep meets no row that the one
before should have met. `client` asks for pages, `pages` keeps them.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from recsys.errors import UserError
from recsys.sources.platform.answers import Row, row_key, row_text
from recsys.sources.platform.api import ENDPOINTS, Endpoint, PlatformApi
from recsys.sources.platform.client import Answer, Client, StoppedError
from recsys.sources.platform.pages import PageRead, PageStore

logger = logging.getLogger(__name__)

MOST_SWEEPS = 5  # of one call; a platform that changes faster than it can be read will not be caught up with
AGAIN = 3  # how often a page is asked for again that repeats earlier ones or is empty before others that are not

OnPage = Callable[[str, int], None]  # endpoint, rows known


def fetch(api: PlatformApi, folder: Path, *, refresh: bool = False) -> None:
    """Download everything into `folder`/raw, go on with a download that was stopped, or do nothing if it is complete.

    Args:
        api: the platform.
        folder: where to; it is made if need be.
        refresh: if the last download is complete, fetch what is new: the newest pages of what only grows, and all
            pages of posts, users and ratings, which change. Rows that the platform no longer has are kept.

    Raises:
        UserError: something cannot be had or written; what was read is kept, and the next call goes on from there.
    """
    with PageStore(folder) as store:
        store.check(api)
        if store.download == 0 or (store.finished and refresh):
            store.begin(api, refreshes=store.download > 0)
        elif store.finished:
            logger.info("platform: %s is complete; refresh it to fetch what is new", store.raw)
            return
        stop = threading.Event()
        with Client(api, stop) as client, _progress() as show:
            readers = [_Reader(endpoint, store, client, api, show) for endpoint in ENDPOINTS.values()]
            _run_all([reader for reader in readers if not store.is_complete(reader.endpoint.name)], api, stop)
        store.finish()


def _run_all(readers: "list[_Reader]", api: PlatformApi, stop: threading.Event) -> None:
    """Read all endpoints at once; the first failure stops the others."""
    with ThreadPoolExecutor(max(1, len(readers))) as threads, ThreadPoolExecutor(api.connections) as requests:
        running = [threads.submit(reader.read, requests) for reader in readers]
        try:
            for done in _as_they_end(running):
                error = done.exception()
                if error is not None and not isinstance(error, StoppedError):
                    raise error
        finally:
            stop.set()
            requests.shutdown(wait=True, cancel_futures=True)


def _as_they_end(running: Iterable[Future[None]]) -> Iterator[Future[None]]:
    """The futures in the order in which they end, also where one waits for ever unless another's error stops it."""
    left = set(running)
    while left:
        ended, left = wait(left, return_when="FIRST_COMPLETED")
        yield from ended


@contextmanager
def _progress() -> Iterator[OnPage]:
    """A bar for each endpoint, where a person watches."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:>8}"), BarColumn(), TextColumn("{task.fields[rows]:>9,} rows"))
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as bars:
        tasks = {name: bars.add_task(name, total=None, rows=0) for name in ENDPOINTS}
        yield lambda endpoint, rows: bars.update(tasks[endpoint], rows=rows)


class _Reader:
    """Reads one endpoint in a thread of its own."""

    def __init__(self, endpoint: Endpoint, store: PageStore, client: Client, api: PlatformApi, show: OnPage) -> None:
        self.endpoint = endpoint
        self._store, self._client, self._api, self._show = store, client, api, show
        self._known: dict[object, int] = {}  # key of a row -> hash of all of it

    def read(self, requests: ThreadPoolExecutor) -> None:
        """Read the endpoint until it is complete.

        Args:
            requests: the threads that ask, of all endpoints together.
        """
        self._requests = requests
        name, store = self.endpoint.name, self._store
        pages = [page for page in store.pages if page.endpoint == name]
        earlier = [page for page in pages if page.download < store.download]
        own = [page for page in pages if page.download == store.download]
        self._learn(earlier)
        before = frozenset(self._known)
        sweep = first = max((page.sweep for page in own), default=1)
        self._learn([page for page in own if page.sweep < sweep])
        while True:
            top = self._newest_id()
            done = [page for page in own if page.sweep == sweep]
            missed = sum(page.missed for page in done)
            met = self._learn(done)
            if not store.is_swept(name, sweep):
                if store.refreshes and self.endpoint.grows_only and before:
                    answers = self._newest(before, earlier)
                else:
                    answers = self._onward(max((page.page for page in done), default=0) + 1, met)
                missed += sum(self._keep(number, answer, sweep, top) for number, answer in answers)
                store.end_sweep(name, sweep)
            if sweep > 1 and not missed:
                break
            if sweep - first >= MOST_SWEEPS:
                raise UserError(
                    f"{self._api.path(self.endpoint)} loses rows faster than its pages can be read: fetch again at a "
                    "quieter time, or with a larger api.page_size; what was read is kept."
                )
            sweep += 1
        store.complete(name)

    def _newest_id(self) -> int | None:
        """The greatest id so far, if ids are numbers."""
        return max((key for key in self._known if isinstance(key, int)), default=None)

    def _learn(self, pages: Iterable[PageRead]) -> set[int]:
        """Learn the rows of pages that are kept; gives what tells these pages from others."""
        met = set()
        for page in pages:
            if rows := self._store.rows(page):
                self._known.update((row_key(row), _digest(row)) for row in rows)
                met.add(_identity(rows))
        return met

    def _keep(self, number: int, answer: Answer, sweep: int, top: int | None) -> int:
        """Keep a page if it has anything new; gives the rows that an earlier sweep should have met."""
        missed, is_new = 0, False
        for row in answer.rows:
            key, digest = row_key(row), _digest(row)
            known = self._known.get(key)
            is_new |= known != digest
            if known is None and sweep > 1:
                missed += not (isinstance(key, int) and top is not None and key > top)
            self._known[key] = digest
        read = PageRead(
            download=self._store.download,
            endpoint=self.endpoint.name,
            sweep=sweep,
            page=number,
            rows=len(answer.rows),
            missed=missed,
            file=self._store.next_file(self.endpoint.name) if is_new else None,
            read_at=answer.read_at,
        )
        self._store.add(answer.body, read)
        self._show(self.endpoint.name, len(self._known))
        return missed

    def _newest(self, before: frozenset[object], earlier: list[PageRead]) -> Iterator[tuple[int, Answer]]:
        """The newest pages, back to one that has a row known before this download."""
        if self._newest_first(earlier):
            number = 0
            while True:
                number += 1
                answer = self._ask(number).result()
                if not answer.rows:
                    return
                yield number, answer
                if any(row_key(row) in before for row in answer.rows):
                    return
        last = earlier[-1].download
        number = start = max(page.page for page in earlier if page.download == last)
        met = set()
        while True:
            answer = self._ask(number).result()
            if answer.rows:
                met.add(_identity(answer.rows))
                yield number, answer
            if number == 1 or any(row_key(row) in before for row in answer.rows):
                break
            number -= 1
        yield from self._onward(start + 1, met)

    def _newest_first(self, earlier: list[PageRead]) -> bool:
        """Whether the platform gives the newest rows first."""
        for page in earlier:
            ids = [row["id"] for row in self._store.rows(page) if isinstance(row.get("id"), int)]
            if len(ids) > 1:
                return bool(ids[0] > ids[-1])
        return False

    def _onward(self, first: int, met: set[int]) -> Iterator[tuple[int, Answer]]:
        """Pages from `first` on, some of them asked for ahead, up to the first of two without rows.

        Args:
            first: number of the first page.
            met: the pages before, none of which may come again.
        """
        asked: dict[int, Future[Answer]] = {}
        number, ahead = first, 1
        while True:
            for wanted in range(number, number + ahead):
                if wanted not in asked:
                    asked[wanted] = self._ask(wanted)
            answer = asked.pop(number).result()
            if not answer.rows:
                after = asked.get(number + 1) or self._ask(number + 1)
                if not after.result().rows:
                    for unneeded in asked.values():
                        unneeded.cancel()
                    return
                asked[number + 1] = after
                answer = self._again(number, lambda again: bool(again.rows), "is empty though a later page is not")
            if _identity(answer.rows) in met:
                answer = self._again(
                    number,
                    lambda again: _identity(again.rows) not in met,
                    "repeats an earlier page, as if the platform passed over the parameter page",
                )
            if not answer.rows:
                return
            met.add(_identity(answer.rows))
            yield number, answer
            ahead = self._api.connections if len(answer.rows) >= self._api.page_size else 1
            number += 1

    def _again(self, number: int, is_right: Callable[[Answer], bool], what: str) -> Answer:
        """The page after all, once it is as it should be."""
        for _ in range(AGAIN):
            answer = self._ask(number).result()
            if is_right(answer):
                return answer
        raise UserError(
            f"{self._api.path(self.endpoint)} page {number} {what}: what was read is kept, so fetch again later to go "
            "on from there."
        )

    def _ask(self, number: int) -> Future[Answer]:
        try:
            return self._requests.submit(self._client.page, self.endpoint, number)
        except RuntimeError as error:  # the threads for requests have been shut down
            raise StoppedError from error


def _identity(rows: Iterable[Row]) -> int:
    """Tells a page from others: its rows' keys in their order."""
    return hash(tuple(map(row_key, rows)))


def _digest(row: Row) -> int:
    return hash(row_text(row))
