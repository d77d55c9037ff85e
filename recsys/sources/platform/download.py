"""Downloads all rows of a platform into a folder, or goes on where a download was stopped.

`reader` reads one endpoint, here all are read at once.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from recsys.sources.platform.api import ENDPOINTS, PlatformApi
from recsys.sources.platform.client import Client, StoppedError
from recsys.sources.platform.pager import Pager
from recsys.sources.platform.pages import PageStore
from recsys.sources.platform.reader import OnPage, Reader

logger = logging.getLogger(__name__)


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
            left = [endpoint for name, endpoint in ENDPOINTS.items() if not store.is_complete(name)]
            readers = [Reader(endpoint, api, store, show) for endpoint in left]
            _read_all(readers, api, client, stop)
        store.finish()


def _read_all(readers: Sequence[Reader], api: PlatformApi, client: Client, stop: threading.Event) -> None:
    """Read all endpoints at once; the first failure stops the others."""
    with ThreadPoolExecutor(max(1, len(readers))) as threads, ThreadPoolExecutor(api.connections) as requests:
        left: set[Future[None]] = {
            threads.submit(reader.read, Pager(reader.endpoint, api, client, requests)) for reader in readers
        }
        try:
            while left:
                ended, left = wait(left, return_when="FIRST_COMPLETED")
                errors = [error for future in ended if (error := future.exception()) is not None]
                for error in errors:
                    if not isinstance(error, StoppedError):
                        raise error
        finally:
            stop.set()
            requests.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _progress() -> Iterator[OnPage]:
    """A bar for each endpoint, where a person watches."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:>8}"), BarColumn(), TextColumn("{task.fields[rows]:>9,} rows"))
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as bars:
        tasks = {name: bars.add_task(name, total=None, rows=0) for name in ENDPOINTS}

        def show(endpoint: str, rows: int, done: bool) -> None:
            bars.update(tasks[endpoint], rows=rows, total=1 if done else None, completed=int(done))

        yield show
