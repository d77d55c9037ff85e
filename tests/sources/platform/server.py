"""A generated platform and a real HTTP server that speaks its API, with faults on demand."""

import gzip
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd

TOKEN = "s3cret-token-of-the-tests"
TOKEN_VARIABLE = "RECSYS_PLATFORM_TOKEN"
PATHS = {
    "/posts/view": "views",
    "/posts/like": "likes",
    "/posts/inspire": "inspires",
    "/posts/rating": "ratings",
    "/posts/summary/get": "posts",
    "/users/get_all": "users",
}
START = pd.Timestamp("2024-03-01").value
MOODS = ("joy", "serenity", "hopefulness", "contemplative", "determination", "fear")
EVENTS = {"views": ("viewed_at", 0.7), "likes": ("liked_at", 0.15), "inspires": ("inspired_at", 0.05)}

Rows = list[dict[str, Any]]


def generate(seed: int = 0, num_users: int = 30, num_posts: int = 40, num_events: int = 300) -> dict[str, Rows]:
    """Rows of all endpoints, ids ascending with time, as the real platform gives them, oddities included."""
    rng = np.random.default_rng(seed)
    user, post = 100 + np.arange(num_users), 7 + 3 * np.arange(num_posts)
    hour = 3_600_000_000_000
    created = START + np.sort(rng.integers(0, 24 * 200, num_posts)) * hour
    rows: dict[str, Rows] = {"posts": _posts(rng, post, user, created), "users": [_user(rng, int(u)) for u in user]}
    shares = {**{name: share for name, (_, share) in EVENTS.items()}, "ratings": 0.1}
    for name, share in shares.items():
        count = max(3, int(share * num_events))
        at = np.sort(START + rng.integers(0, 24 * 300 * 3600, count) * 1_000_000_000)
        who, what = rng.choice(user, count), rng.choice(post, count)
        rows[name] = [
            {"id": i + 1, "post_id": int(p), "user_id": int(u), **_stamp(name, int(t), rng)}
            for i, (p, u, t) in enumerate(zip(what, who, at, strict=True))
        ]
    return rows


def _stamp(name: str, t: int, rng: np.random.Generator) -> dict[str, Any]:
    text = pd.Timestamp(t).strftime("%Y-%m-%d %H:%M:%S")
    if name == "ratings":
        return {"rating_percent": int(rng.integers(1, 101)), "rated_at": text}
    return {EVENTS[name][0]: text}


def _posts(rng: np.random.Generator, post: np.ndarray, user: np.ndarray, created: np.ndarray) -> Rows:
    rows: Rows = []
    for i, (id_, at) in enumerate(zip(post, created, strict=True)):
        moods = rng.choice(MOODS, int(rng.integers(1, 3)), replace=False).tolist()
        summary: Any = {"emotions": {"moods": moods}, "genre": "Educational/Nature"} if i % 4 else []
        rows.append(
            {
                "id": int(id_),
                "owner_id": int(user[0] if i % 2 else rng.choice(user)),
                "category": {"id": 2 + 3 * (i % 3), "name": f"Category {i % 3}"} if i % 7 else [],
                "view_count": int(rng.integers(5, 500)),
                "upvote_count": int(rng.integers(0, 5)),
                "comment_count": 0,
                "rating_count": int(rng.integers(1, 5)),
                "average_rating": int(rng.integers(1, 100)),
                "is_locked": False,
                "created_at": int(at // 1_000_000),
                "title_length": int(rng.integers(0, 90)),
                "hashtag_count": int(rng.integers(0, 5)),
                "post_summary": summary,
            }
        )
    return rows


def _user(rng: np.random.Generator, user: int) -> dict[str, Any]:
    counts = rng.integers(0, 30, 3) if user % 3 else np.zeros(3, dtype=int)
    names = ("post_count", "following_count", "follower_count")
    return {
        "id": user,
        "role": "U",
        "last_login": "" if user % 5 else "2024-05-01 00:00:00",
        "is_verified": False,
        **{name: int(count) for name, count in zip(names, counts, strict=True)},
    }


@dataclass
class Request:
    """One request as a fault sees it: which endpoint and page, and how often the page was asked for, from 1."""

    endpoint: str
    page: int
    times: int
    total: int


@dataclass
class Reply:
    """What a fault answers instead; `delay` s before, `cut` closes the connection in the middle of the body."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False
    content_type: str = "application/json"


Fault = Callable[[Request, "Server"], Reply | None]


class Server:
    """The server while it runs.

    Attributes:
        rows: endpoint -> its rows; a test may change them while it runs.
        fault: what goes wrong.
        asked: every request as (endpoint, page).
        url: its address.
    """

    def __init__(self, rows: dict[str, Rows], fault: Fault | None = None) -> None:
        self.rows, self.fault = rows, fault
        self.token: str | None = TOKEN
        self.newest_first = False
        self.needs_param: str | None = None
        self.delay = 0.0
        self.asked: list[tuple[str, int]] = []
        self.counts: Counter[tuple[str, int]] = Counter()
        self.lock = threading.Lock()
        self.url = ""

    def page(self, endpoint: str, page: int, size: int) -> bytes:
        """The right answer."""
        rows = self.rows[endpoint][::-1] if self.newest_first else self.rows[endpoint]
        part = rows[(page - 1) * size : page * size]
        return self.envelope(endpoint, part, page, size)

    @staticmethod
    def envelope(endpoint: str, part: Rows, page: int, size: int) -> bytes:
        key = "users" if endpoint == "users" else "posts"
        head = {"status": "success", "message": "fetched", "page": page, "page_size": len(part), "max_page_size": size}
        return json.dumps({**head, key: part}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # one packet an answer
    server: "_Http"

    def do_GET(self) -> None:
        state = self.server.state
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        endpoint = PATHS.get(address.path)
        if endpoint is None:
            self._send(Reply(404, b'{"status":"error"}'))
            return
        page, size = int(query["page"][0]), int(query["page_size"][0])
        with state.lock:
            state.asked.append((endpoint, page))
            state.counts[(endpoint, page)] += 1
            request = Request(endpoint, page, state.counts[(endpoint, page)], len(state.asked))
        if state.token is not None and self.headers.get("Authorization") != state.token:
            said = self.headers.get("Authorization", "")
            self._send(Reply(401, json.dumps({"status": "error", "message": f"bad token {said}"}).encode()))
            return
        reply = state.fault(request, state) if state.fault else None
        if reply is None:
            wrong = state.needs_param and state.needs_param not in query and endpoint != "users"
            with state.lock:
                body = (
                    Server.envelope(endpoint, state.rows["posts"][:size], page, size)
                    if wrong
                    else state.page(endpoint, page, size)
                )
            reply = Reply(body=body, delay=state.delay)
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        time.sleep(reply.delay)
        body = reply.body
        headers = {"Content-Type": reply.content_type, **reply.headers}
        if "gzip" in self.headers.get("Accept-Encoding", "") and reply.status == 200:
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        self.send_response(reply.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if reply.cut else body)
        if reply.cut:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    state: Server

    def handle_error(self, *_: object) -> None:
        """A client that is killed breaks its connections: no news."""


@contextmanager
def serving(rows: dict[str, Rows], fault: Fault | None = None, **state: Any) -> Iterator[Server]:
    """Run a server on a free port of this machine."""
    server = Server(rows, fault)
    for name, value in state.items():
        setattr(server, name, value)
    http = _Http(("127.0.0.1", 0), _Handler)
    http.state = server
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
