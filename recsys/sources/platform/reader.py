"""Reads one endpoint until nothing is missing; `pager` asks for its pages, `pages` keeps them.

Rows that are deleted while pages are read shift all later ones to earlier pages, where they would be missed. So the
pages are read again, until such a sweep meets no row that the one before should have met.
"""

from collections.abc import Callable, Iterable

from recsys.errors import UserError
from recsys.sources.platform.answers import Row, row_key, row_text
from recsys.sources.platform.api import Endpoint, PlatformApi
from recsys.sources.platform.client import Answer
from recsys.sources.platform.manifest import PageRead
from recsys.sources.platform.pager import Numbered, Pager, identity
from recsys.sources.platform.pages import PageStore

MOST_SWEEPS = 5  # of one call; a platform that changes faster than it can be read will not be caught up with

OnPage = Callable[[str, int, bool], None]  # endpoint, rows known, whether it is complete


class Reader:
    """Reads one endpoint, in a thread of its own.

    Args:
        endpoint: the endpoint.
        api: the platform.
        store: where pages are kept.
        show: told of every page.
    """

    def __init__(self, endpoint: Endpoint, api: PlatformApi, store: PageStore, show: OnPage) -> None:
        self.endpoint = endpoint
        self._api, self._store, self._show = api, store, show
        self._known: dict[object, int] = {}  # key of a row -> hash of all of it
        pages = [page for page in store.pages if page.endpoint == endpoint.name]
        self._earlier = [page for page in pages if page.download < store.download]
        self._own = [page for page in pages if page.download == store.download]

    def read(self, pager: Pager) -> None:
        """Read on from where the endpoint was left, until it is complete.

        Raises:
            UserError: a page cannot be had or kept, or rows vanish faster than they can be read.
        """
        name, store = self.endpoint.name, self._store
        self._learn(self._earlier)
        before = frozenset(self._known)
        sweep = first = max((page.sweep for page in self._own), default=1)
        self._learn(page for page in self._own if page.sweep < sweep)
        while True:
            top = self._newest_id()
            done = [page for page in self._own if page.sweep == sweep]
            missed = sum(page.missed for page in done)
            seen = set[object]() if not done else None  # what the sweep meets, if it is read as a whole
            met = self._learn(done)
            if not store.is_swept(name, sweep):
                for number, answer in self._pages(pager, before, done, met):
                    missed += self._keep(number, answer, sweep, top)
                    if seen is not None:
                        seen.update(map(row_key, answer.rows))
                store.end_sweep(name, sweep)
            if sweep > 1 and not missed:
                break
            if sweep - first >= MOST_SWEEPS:
                raise UserError(
                    f"{self._api.path(self.endpoint)} loses rows faster than its pages can be read: fetch again at a "
                    "quieter time, or with a larger api.page_size; what was read is kept."
                )
            sweep += 1
        store.complete(name, pruned=self._pruned(pager, before, seen))
        self._show(name, len(self._known), True)

    def _pages(self, pager: Pager, before: frozenset[object], done: list[PageRead], met: set[int]) -> Numbered:
        """The pages that are to be read in a sweep of which some may be `done`."""
        if not self._only_newest(before):
            return pager.onward(max((page.page for page in done), default=0) + 1, met)
        if self._newest_first():
            return pager.newest_first(before)
        download = self._earlier[-1].download
        return pager.newest(before, max(page.page for page in self._earlier if page.download == download))

    def _only_newest(self, before: frozenset[object]) -> bool:
        """Whether only the newest pages are to be read."""
        return self._store.refreshes and self.endpoint.grows_only and bool(before)

    def _newest_first(self) -> bool:
        """Whether the platform gives the newest rows first."""
        for page in self._earlier:
            ids = [row["id"] for row in self._store.rows(page) if isinstance(row.get("id"), int)]
            if len(ids) > 1:
                return bool(ids[0] > ids[-1])
        return False

    def _newest_id(self) -> int | None:
        """The greatest id so far, if ids are numbers."""
        return max((key for key in self._known if isinstance(key, int)), default=None)

    def _learn(self, pages: Iterable[PageRead]) -> set[int]:
        """Learn the rows of pages that are kept; gives the identities of these pages."""
        met = set()
        for page in pages:
            if rows := self._store.rows(page):
                self._known.update((row_key(row), _digest(row)) for row in rows)
                met.add(identity(rows))
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
        self._show(self.endpoint.name, len(self._known), False)
        return missed

    def _pruned(self, pager: Pager, before: frozenset[object], seen: set[object] | None) -> int:
        """Rows of earlier downloads that the platform no longer has, as far as this can be told.

        Of all pages it is plain. Of the newest only, page 1 tells it where the oldest rows come first, for those are
        the ones that platforms prune.
        """
        if not before:
            return 0
        if not self._only_newest(before):
            return 0 if seen is None else len(before - seen)
        if self._newest_first():
            return 0
        oldest = [row["id"] for row in pager.page(1).rows if isinstance(row.get("id"), int)]
        return sum(isinstance(key, int) and key < min(oldest) for key in before) if oldest else 0


def _digest(row: Row) -> int:
    return hash(row_text(row))
