"""Asks the API for single pages, within a rate limit and again after a failure; `download` decides which pages."""

import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx
import tenacity

from recsys.errors import UserError
from recsys.secret_values import is_secret
from recsys.sources.platform.answers import AnswerError, Row, rows_of
from recsys.sources.platform.api import Endpoint, PlatformApi

MASK = "***"
MOST_WAIT = 300.0  # s; a server that asks for more is left for another day
LEAST_TOKEN = 6  # characters; anything shorter could not be masked without harm to other text
SCHEMES = ("bearer", "digest", "apikey")  # words before a token that are as long, and no secret
LONGEST_BACKOFF = 60.0  # s

logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request would bury everything else


class StoppedError(Exception):
    """The download ends because another part of it has failed."""


@dataclass(frozen=True)
class Answer:
    """One page as the server gave it.

    Attributes:
        body: the JSON, without the token and other secrets should the server have repeated them.
        rows: its rows.
        read_at: when it had arrived, ns.
    """

    body: bytes
    rows: list[Row]
    read_at: int


class Client:
    """A connection to one platform that several threads may use; a context manager.

    Args:
        api: the platform.
        stop: once set, nothing more is asked and all waiting ends with `StoppedError`.

    Raises:
        UserError: there is no address, or the token cannot be one.
    """

    def __init__(self, api: PlatformApi, stop: threading.Event) -> None:
        if api.base_url is None:
            raise UserError(
                "There is no address to download from: give api.base_url, or a folder of saved answers as data.raw=DIR."
            )
        self._api, self._stop = api, stop
        self._token = _token(api.token_variable)
        self._secrets = _secrets(self._token, api.params or {})
        self._pace = _Pace(api.requests_per_second, stop)
        self._http = httpx.Client(
            base_url=api.base_url,
            headers={"Accept": "application/json"} | ({api.token_header: self._token} if self._token else {}),
            params=dict(api.params or {}),
            timeout=api.timeout,
            limits=httpx.Limits(max_connections=api.connections),
            follow_redirects=False,  # the token goes to no other address
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def page(self, endpoint: Endpoint, number: int) -> Answer:
        """One page, after as many attempts as the settings allow.

        Raises:
            UserError: it cannot be had; the message says why and what to do.
            StoppedError: the download was stopped meanwhile.
        """
        where = f"{self._api.path(endpoint)} page {number}"
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(AnswerError),
            stop=tenacity.stop_after_attempt(self._api.attempts),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._ask, endpoint, number, where)
        except AnswerError as error:
            # The cause is left out: what httpx raises holds the request, and with it the token.
            raise UserError(
                f"{where} failed {self._api.attempts} times ({self._masked(str(error))}): what was read is kept, so "
                "fetch again later to go on from there."
            ) from None

    def _ask(self, endpoint: Endpoint, number: int, where: str) -> Answer:
        self._pace.wait()
        try:
            response = self._http.get(
                self._api.path(endpoint), params={"page": number, "page_size": self._api.page_size}
            )
        except httpx.HTTPError as error:
            raise AnswerError(_failure(error)) from None
        read_at = time.time_ns()
        self._check_status(response, where)
        body = response.content
        for secret in self._secrets:
            body = body.replace(secret.encode(), MASK.encode())
        return Answer(body, rows_of(body, endpoint, where), read_at)

    def _check_status(self, response: httpx.Response, where: str) -> None:
        code = response.status_code
        if code == httpx.codes.OK:
            return
        if code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            state = "expired or wrong" if self._token else "missing"
            raise UserError(
                f"{where} was refused (HTTP {code}), since the token is {state}: set ${self._api.token_variable} and "
                "fetch again; what was read is kept."
            )
        if code == httpx.codes.TOO_MANY_REQUESTS or code >= httpx.codes.INTERNAL_SERVER_ERROR:
            wait = _retry_after(response.headers)
            if wait is not None and wait > MOST_WAIT:
                raise UserError(
                    f"{where} asks to wait {wait:,.0f} s (HTTP {code}): fetch again after that; what was read is kept."
                )
            if wait is not None:
                self._pace.pause(wait)
            raise AnswerError(f"HTTP {code}", wait)
        if code == httpx.codes.REQUEST_TIMEOUT:
            raise AnswerError(f"HTTP {code}")
        raise UserError(
            f"{where} was answered with HTTP {code}: check api.base_url, api.paths and api.params; what was read is "
            "kept."
        )

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Back-off with jitter, and never less than the server asks for."""
        backoff = tenacity.wait_random_exponential(multiplier=self._api.backoff, max=LONGEST_BACKOFF)(state)
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, AnswerError) and error.retry_after is not None else 0.0
        return asked + backoff

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise StoppedError

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


class _Pace:
    """Lets requests begin at an even pace, and none at all while the server asks for a pause."""

    def __init__(self, per_second: float, stop: threading.Event) -> None:
        self._step, self._stop = 1.0 / per_second, stop
        self._lock, self._next = threading.Lock(), time.monotonic()

    def wait(self) -> None:
        """Return when the next request may begin."""
        with self._lock:
            begin = max(self._next, time.monotonic())
            self._next = begin + self._step
        while (left := begin - time.monotonic()) > 0 or self._stop.is_set():
            if self._stop.wait(max(left, 0.0)):
                raise StoppedError

    def pause(self, seconds: float) -> None:
        """Let no request begin for so long."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


def _token(variable: str) -> str:
    """The token in the environment, empty for none."""
    token = os.environ.get(variable, "").strip()
    if token and (not _words(token) or not token.isascii() or not token.isprintable()):
        raise UserError(f"The value of ${variable} is no token: give at least {LEAST_TOKEN} plain characters.")
    return token


def _words(token: str) -> list[str]:
    """The words of a token that are secret, so not the scheme in "Bearer abcdef"."""
    return [word for word in token.split() if len(word) >= LEAST_TOKEN and word.lower() not in SCHEMES]


def _secrets(token: str, params: Mapping[str, Any]) -> list[str]:
    """What must not be kept of an answer, longest first: the token, its words, and secret query parameters."""
    given = (str(value) for name, value in params.items() if is_secret(name))
    secrets = {token, *_words(token), *(value for value in given if len(value) >= LEAST_TOKEN)}
    return sorted(secrets - {""}, key=len, reverse=True)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header, which states them or a date; None where there is none."""
    stated = headers.get("Retry-After", "").strip()
    try:
        return max(0.0, float(stated))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(stated) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _failure(error: httpx.HTTPError) -> str:
    reasons = {
        httpx.ConnectTimeout: "no connection in time",
        httpx.ConnectError: "no connection",
        httpx.TimeoutException: "no answer in time",
        httpx.DecodingError: "a compressed answer that is cut off or damaged",
        httpx.RemoteProtocolError: "an answer that is cut off",
    }
    return next((reason for kind, reason in reasons.items() if isinstance(error, kind)), type(error).__name__)
