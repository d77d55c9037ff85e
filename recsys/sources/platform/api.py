"""What is asked of a platform: its endpoints, and the settings that differ from platform to platform."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from recsys.checks import check_count, check_number
from recsys.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One list of rows that the API gives page by page.

    Attributes:
        name: what the project calls it.
        path: where it is unless the settings say otherwise.
        words: words in the name of a file of saved answers that tell its endpoint.
        rows: key of the rows in an answer.
        fields: what a row must have; `id` besides, but a row without one is read all the same.
        event: type of event that its rows are, None for users and posts.
        time, value: fields of an event.
        grows_only: whether rows never change, so that a refresh need only read the newest.
    """

    name: str
    path: str
    words: tuple[str, ...]
    rows: str
    fields: tuple[str, ...]
    event: str | None = None
    time: str = ""
    value: str | None = None
    grows_only: bool = False


def _events(name: str, event: str, time: str, value: str | None = None) -> Endpoint:
    return Endpoint(
        name=name,
        path=f"/posts/{event}",
        words=(event, name),
        rows="posts",
        fields=("post_id", "user_id", time),
        event=event,
        time=time,
        value=value,
        grows_only=value is None,
    )


ENDPOINTS = {
    endpoint.name: endpoint
    for endpoint in (
        _events("views", "view", "viewed_at"),
        _events("likes", "like", "liked_at"),
        _events("inspires", "inspire", "inspired_at"),
        _events("ratings", "rating", "rated_at", "rating_percent"),
        Endpoint(
            name="posts",
            path="/posts/summary/get",
            words=("summary",),
            rows="posts",
            fields=("id", "owner_id", "created_at"),
        ),
        Endpoint(name="users", path="/users/get_all", words=("users",), rows="users", fields=("id", "post_count")),
    )
}


@dataclass(frozen=True, kw_only=True)
class PlatformApi:
    """How one platform is reached.

    Attributes:
        base_url: such as https://api.example.com; None where nothing is to be downloaded.
        token_variable: environment variable that holds the token; the token itself is never a setting.
        token_header: header that carries the token.
        paths: endpoint -> path, where it differs from the usual.
        params: further query parameters of every request.
        page_size: rows asked for on a page.
        requests_per_second: most requests begun in a second, over all endpoints.
        connections: most requests under way at once.
        timeout: s without a sign of the server after which a request has failed.
        attempts: how often a request is tried.
        backoff: s; waits between attempts are random up to this, then twice, four times, ... as much.
    """

    base_url: str | None = None
    token_variable: str = "RECSYS_PLATFORM_TOKEN"
    token_header: str = "Authorization"
    paths: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    page_size: int = 1000
    requests_per_second: float = 10.0
    connections: int = 4
    timeout: float = 30.0
    attempts: int = 6
    backoff: float = 0.5

    def __post_init__(self) -> None:
        address = urlsplit(self.base_url or "")
        if self.base_url is not None and (address.scheme not in ("http", "https") or not address.hostname):
            raise UserError("api.base_url is no address: give one such as https://api.example.com.")
        if address.username or address.password:
            raise UserError(f"api.base_url holds a login: leave it out and put the token into ${self.token_variable}.")
        unknown = (self.paths or {}).keys() - ENDPOINTS.keys()
        if unknown:
            raise UserError(f"api.paths has no entry {min(unknown)!r}: its entries are {', '.join(ENDPOINTS)}.")
        for name in ("page_size", "connections", "attempts"):
            check_count(f"api.{name}", getattr(self, name), 1)
        for name in ("requests_per_second", "timeout", "backoff"):
            check_number(f"api.{name}", getattr(self, name), 0, above=True)

    @classmethod
    def from_plain(cls, plain: object, where: str) -> Self:
        """The settings under `api` of a configuration file; `where` names the file in messages."""
        settings = plain.get("api") if isinstance(plain, Mapping) else None
        if not isinstance(settings, Mapping):
            raise UserError(f"{where} has no entry 'api': put base_url and the other settings of the platform there.")
        known = cls.__dataclass_fields__.keys()
        given = {str(name): value for name, value in settings.items() if name != "_target_"}
        unknown = given.keys() - known
        if unknown:
            raise UserError(f"{where} has the setting api.{min(unknown)}: the settings are {', '.join(known)}.")
        return cls(**given)

    def path(self, endpoint: Endpoint) -> str:
        """Where an endpoint is."""
        return "/" + str((self.paths or {}).get(endpoint.name, endpoint.path)).lstrip("/")
