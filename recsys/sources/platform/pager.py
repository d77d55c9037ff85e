"""Asks for the pages of one endpoint in order, some of them ahead, and notices when they cannot be right.

`client` asks for single pages, `reader` keeps what comes.
"""

from collections.abc import Callable, Iterable, Iterator, Set
from concurrent.futures import Future, ThreadPoolExecutor

from recsys.errors import UserError
from recsys.sources.platform.answers import Row, row_key
from recsys.sources.platform.api import Endpoint, PlatformApi
from recsys.sources.platform.client import Answer, Client, StoppedError

AGAIN = 3  # how often a page is asked for again that repeats an earlier one or is empty before others that are not

Numbered = Iterator[tuple[int, Answer]]  # number of a page, from 1, and the page


class Pager:
    """The pages of one endpoint.

    Args:
        endpoint: the endpoint.
        api: the platform.
        client: the connection to it.
        requests: the threads that ask, of all endpoints together.
    """

    def __init__(self, endpoint: Endpoint, api: PlatformApi, client: Client, requests: ThreadPoolExecutor) -> None:
        self._endpoint, self._api, self._client, self._requests = endpoint, api, client, requests

    def onward(self, first: int, met: set[int]) -> Numbered:
        """Pages from `first` on, up to the first of two without rows.

        Args:
            first: number of the first page.
            met: `identity` of the pages before, none of which may come again.

        Raises:
            UserError: a page cannot be had, or is not what it should be even when asked for again.
        """
        asked: dict[int, Future[Answer]] = {}
        number, ahead, size = first, 1, self._api.page_size
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
            if identity(answer.rows) in met:
                answer = self._again(
                    number,
                    lambda again: identity(again.rows) not in met,
                    "repeats an earlier page, as if the platform passed over the parameter page",
                )
                if not answer.rows:
                    return
            met.add(identity(answer.rows))
            yield number, answer
            # A platform may give less than it was asked for: then a page is full if it is as long as the one before.
            ahead = self._api.connections if len(answer.rows) >= size else 1
            number, size = number + 1, min(self._api.page_size, max(len(answer.rows), 2))

    def newest(self, known: Set[object], last: int) -> Numbered:
        """The newest pages where the oldest rows come first: back from page `last` to a known row, then onward.

        Args:
            known: keys of rows.
            last: number of the page that was the last one once.
        """
        met = set()
        for number in range(last, 0, -1):
            answer = self.page(number)
            if answer.rows:
                met.add(identity(answer.rows))
                yield number, answer
            if any(row_key(row) in known for row in answer.rows):
                break
        yield from self.onward(last + 1, met)

    def newest_first(self, known: Set[object]) -> Numbered:
        """The newest pages where the newest rows come first: from page 1 to a known row."""
        number = 1
        while (answer := self.page(number)).rows:
            yield number, answer
            if any(row_key(row) in known for row in answer.rows):
                return
            number += 1

    def page(self, number: int) -> Answer:
        """One page."""
        return self._ask(number).result()

    def _again(self, number: int, is_right: Callable[[Answer], bool], what: str) -> Answer:
        """The page after all, once it is as it should be."""
        for _ in range(AGAIN):
            answer = self.page(number)
            if is_right(answer):
                return answer
        raise UserError(
            f"{self._api.path(self._endpoint)} page {number} {what}: what was read is kept, so fetch again later to go "
            "on from there."
        )

    def _ask(self, number: int) -> Future[Answer]:
        try:
            return self._requests.submit(self._client.page, self._endpoint, number)
        except RuntimeError as error:  # the threads for requests have been shut down
            raise StoppedError from error


def identity(rows: Iterable[Row]) -> int:
    """Tells a page from others: its rows' keys in their order."""
    return hash(tuple(map(row_key, rows)))
