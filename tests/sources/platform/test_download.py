"""Downloads from a real server: whole when it errs, resumable when it does not mend, and no trace of the token."""

import gzip
import json
import logging
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.errors import UserError
from recsys.sources.platform.download import fetch
from recsys.sources.platform.moods import MoodTable
from recsys.sources.platform.pages import MANIFEST
from tests.sources.platform.results import downloaded, expected, hurried
from tests.sources.platform.server import TOKEN, TOKEN_VARIABLE, Fault, Reply, Request, Server, generate, serving


def once(reply: Reply) -> Fault:
    """The first request for each page goes wrong."""
    return lambda request, _: reply if request.times == 1 else None


def at_views(page: int, reply: Callable[[Server], Reply]) -> Fault:
    """One page of views goes wrong however often it is asked for."""
    return lambda request, server: reply(server) if (request.endpoint, request.page) == ("views", page) else None


def cut_json(request: Request, server: Server) -> Reply | None:
    body = server.page(request.endpoint, request.page, 20)
    return Reply(body=body[: len(body) // 2]) if request.times == 1 else None


def a_page_late(request: Request, server: Server) -> Reply | None:
    """The first answer for page n is that for page n - 1."""
    if request.times == 1 and request.page > 1:
        return Reply(body=server.page(request.endpoint, request.page - 1, 20))
    return None


MENDING: dict[str, Fault] = {
    "429": once(Reply(429)),
    "429 with Retry-After": once(Reply(429, headers={"Retry-After": "0.05"})),
    "429 with a date": once(Reply(429, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})),
    "500": once(Reply(500, b"<h1>oops</h1>")),
    "503": once(Reply(503, headers={"Retry-After": "0"})),
    "slow": once(Reply(body=b"{}", delay=0.5)),
    "connection cut off": once(Reply(body=b"x" * 500, cut=True)),
    "JSON cut off": cut_json,
    "HTML": once(Reply(body=b"<html>Maintenance</html>", content_type="text/html")),
    "no JSON object": once(Reply(body=b"[1, 2]")),
    "status error": once(Reply(body=b'{"status": "error", "message": "try again"}')),
    "no rows key": once(Reply(body=b'{"status": "success", "page": 1}')),
    "rows are no objects": once(Reply(body=b'{"status": "success", "posts": [1], "users": ["a"]}')),
    "a page that repeats": a_page_late,
    "an empty page before others": lambda request, _: (
        Reply(body=b'{"status":"success","posts":[],"users":[]}') if request.times == 1 and request.page == 2 else None
    ),
}


@pytest.mark.parametrize("name", MENDING)
def test_a_fault_that_mends_costs_no_row(name: str, tmp_path: Path, moods: MoodTable) -> None:
    rows = generate()
    with serving(rows, MENDING[name]) as server:
        fetch(hurried(server, timeout=0.2 if name == "slow" else 5.0), tmp_path)
    assert downloaded(tmp_path, moods) == expected(rows, moods)


LASTING: dict[str, tuple[Fault, str]] = {
    "429": (at_views(3, lambda _: Reply(429)), "/posts/view page 3 failed 4 times (HTTP 429)"),
    "asks for too long a wait": (at_views(3, lambda _: Reply(429, headers={"Retry-After": "9000"})), "wait 9,000 s"),
    "500": (at_views(3, lambda _: Reply(500)), "HTTP 500"),
    "404": (at_views(1, lambda _: Reply(404)), "HTTP 404"),
    "redirect": (at_views(1, lambda _: Reply(302, headers={"Location": "http://127.0.0.1:9/"})), "HTTP 302"),
    "HTML": (at_views(2, lambda _: Reply(body=b" <html>no</html>")), "HTML instead of JSON"),
    "connection cut off": (at_views(2, lambda _: Reply(body=b"x" * 500, cut=True)), "cut off"),
    "refusal": (at_views(2, lambda _: Reply(body=b'{"status":"error","message":"no\\nsuch"}')), "'no such'"),
    "wrong shape": (
        at_views(1, lambda server: Reply(body=server.page("posts", 1, 20))),
        "gave posts instead of views: they lack post_id, user_id, viewed_at",
    ),
    "one page for ever": (
        lambda request, server: Reply(body=server.page(request.endpoint, 1, 20)),
        "repeats an earlier page",
    ),
    "a hole": (at_views(2, lambda _: Reply(body=b'{"status":"success","posts":[]}')), "is empty though a later page"),
    "token expires": (lambda request, _: Reply(401) if request.total > 9 else None, "token is expired or wrong"),
}  # fmt: skip


@pytest.mark.parametrize("name", LASTING)
def test_a_fault_that_lasts_is_one_sentence_and_the_next_call_goes_on(
    name: str, tmp_path: Path, moods: MoodTable
) -> None:
    rows = generate()
    fault, said = LASTING[name]
    with serving(rows, fault) as server:
        with pytest.raises(UserError) as raised:
            fetch(hurried(server), tmp_path)
        assert said in str(raised.value)
        assert "\n" not in str(raised.value)
        server.fault = None
        fetch(hurried(server), tmp_path)
    assert downloaded(tmp_path, moods) == expected(rows, moods)


def test_a_download_that_was_stopped_does_not_ask_again_for_what_it_has(tmp_path: Path) -> None:
    rows = generate()
    with serving(rows, at_views(9, lambda _: Reply(500))) as server:
        with pytest.raises(UserError):
            fetch(hurried(server, connections=1), tmp_path)
        server.fault = None
        server.asked.clear()
        fetch(hurried(server, connections=1), tmp_path)
        views = [page for endpoint, page in server.asked if endpoint == "views"]
        assert views == [*range(9, 14), *range(1, 14)], (
            "the rest of the first sweep, then the check; 11 pages and 2 empty"
        )
        server.asked.clear()
        fetch(hurried(server), tmp_path)
        assert server.asked == [], "a complete download asks for nothing"


def test_an_endless_empty_envelope_ends(tmp_path: Path, moods: MoodTable) -> None:
    rows = {**generate(), "inspires": []}
    with serving(rows) as server:
        fetch(hurried(server), tmp_path)
        assert max(page for endpoint, page in server.asked if endpoint == "inspires") == 2
    assert downloaded(tmp_path, moods) == expected(rows, moods)


def test_short_pages_are_not_the_end(tmp_path: Path, moods: MoodTable) -> None:
    """A server that gives fewer rows than asked for on every page."""
    rows = generate()
    with serving(rows) as server:
        page = server.page
        server.page = lambda endpoint, number, size: page(endpoint, number, 7)
        fetch(hurried(server), tmp_path)
    assert downloaded(tmp_path, moods) == expected(rows, moods)


@pytest.mark.parametrize("removed", [slice(0, 30), slice(100, 101), slice(0, 1)], ids=["many", "middle", "first"])
def test_rows_that_shift_while_paging_are_not_missed(removed: slice, tmp_path: Path, moods: MoodTable) -> None:
    """Rows are deleted just as page 8 of the views is asked for, so that later ones slip to pages already read."""
    rows = generate()
    deleted = rows["views"][removed]

    def fault(request: Request, server: Server) -> None:
        if (request.endpoint, request.page, request.times) == ("views", 8, 1):
            with server.lock:
                del server.rows["views"][removed]

    everything = {**rows, "views": list(rows["views"])}
    with serving(rows, fault) as server:
        fetch(hurried(server, connections=1), tmp_path)
    assert downloaded(tmp_path, moods)["interactions"] == expected(everything, moods)["interactions"]
    assert deleted


def test_rows_that_come_while_paging_are_met_and_none_comes_twice(tmp_path: Path, moods: MoodTable) -> None:
    rows = generate()

    def fault(request: Request, server: Server) -> None:
        with server.lock:
            last = server.rows["likes"][-1]
            if len(server.rows["likes"]) < 60:
                server.rows["likes"].append({**last, "id": last["id"] + 1, "post_id": last["post_id"] + 3})

    for newest_first in (False, True):
        with serving({**rows, "likes": list(rows["likes"])}, fault, newest_first=newest_first) as server:
            folder = tmp_path / str(newest_first)
            fetch(hurried(server), folder)
            found = downloaded(folder, moods)["interactions"]
        assert len(found) == len(set(found))
        assert set(expected(rows, moods)["interactions"]) <= set(found)


def test_pace_and_retry_after_are_kept(tmp_path: Path) -> None:
    rows = {name: [] for name in generate()}
    with serving(rows) as server:
        began = time.monotonic()
        fetch(hurried(server, requests_per_second=50), tmp_path / "even")
        assert time.monotonic() - began > (len(server.asked) - 1) / 50
    with serving(rows, once(Reply(429, headers={"Retry-After": "0.4"}))) as server:
        began = time.monotonic()
        fetch(hurried(server), tmp_path / "asked")
        assert time.monotonic() - began > 0.4


def test_a_missing_parameter_is_a_clear_error(tmp_path: Path, moods: MoodTable) -> None:
    rows = generate()
    with serving(rows, needs_param="algorithm") as server:
        with pytest.raises(UserError, match=r"gave posts instead of .*api\.params"):
            fetch(hurried(server), tmp_path)
        assert not list((tmp_path / "raw").glob("views*"))
        fetch(hurried(server, params={"algorithm": "abc"}), tmp_path / "with")
    assert downloaded(tmp_path / "with", moods) == expected(rows, moods)


def test_other_paths_and_header_and_no_token_at_all(
    tmp_path: Path, moods: MoodTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = generate()
    with serving(rows) as server:
        with pytest.raises(UserError, match="HTTP 404"):
            fetch(hurried(server, paths={"views": "/no/such"}), tmp_path / "path")
        with pytest.raises(UserError, match="token is expired or wrong"):
            fetch(hurried(server, token_header="X-Token"), tmp_path / "header")
        monkeypatch.delenv(TOKEN_VARIABLE)
        with pytest.raises(UserError, match=rf"token is missing: set \${TOKEN_VARIABLE}"):
            fetch(hurried(server), tmp_path / "none")
        server.token = None
        fetch(hurried(server), tmp_path / "open")
        monkeypatch.setenv("ANOTHER", TOKEN)
        server.token = TOKEN
        fetch(hurried(server, token_variable="ANOTHER"), tmp_path / "another")
    assert downloaded(tmp_path / "open", moods) == downloaded(tmp_path / "another", moods) == expected(rows, moods)


def test_the_token_appears_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not in a page, though the server repeats it in its answers, not in the log, nor in an error with all locals."""
    rows = generate()
    caplog.set_level(logging.DEBUG)
    rows["users"][0]["note"] = f"your token is {TOKEN}"
    shown = []
    faults: list[Fault] = [
        lambda _, __: Reply(body=json.dumps({"status": "error", "message": f"who is {TOKEN}?"}).encode()),
        lambda request, _: Reply(401, f"{TOKEN}".encode()) if request.total > 5 else None,
        lambda _, __: Reply(body=f"<html>{TOKEN}</html>".encode()),
        lambda _, __: Reply(body=b"x" * 99, cut=True),
    ]
    with serving(rows) as server:
        logging.getLogger("httpx").setLevel(logging.DEBUG)
        for fault in faults:
            server.fault = fault
            with pytest.raises(UserError) as raised:
                fetch(hurried(server), tmp_path)
            shown.append("".join(traceback.format_exception(raised.value)))
        server.fault = None
        fetch(hurried(server), tmp_path)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    unpacked = [gzip.decompress(path.read_bytes()) for path in tmp_path.rglob("*.gz")]
    assert any(b"your token is ***" in content for content in unpacked)
    assert not any(TOKEN.encode() in content for content in (*written, *unpacked))
    assert "who is ***?" in shown[0]
    assert not any(TOKEN in text for text in (*shown, caplog.text))


def test_neither_words_of_a_token_nor_secret_parameters_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = generate()
    rows["users"][0]["note"] = f"{TOKEN}, the Bearer of {TOKEN}; api_key=hunter2 of theme"
    monkeypatch.setenv(TOKEN_VARIABLE, f"Bearer {TOKEN}")
    with serving(rows) as server:
        server.token = f"Bearer {TOKEN}"
        fetch(hurried(server, params={"api_key": "hunter2", "set": "of theme"}), tmp_path)
    unpacked = b"".join(gzip.decompress(path.read_bytes()) for path in tmp_path.rglob("*.gz"))
    assert b"***, the Bearer of ***; api_key=*** of theme" in unpacked
    assert not any(secret in unpacked for secret in (TOKEN.encode(), b"hunter2"))


@pytest.mark.parametrize(
    "token", ["abc", "Bearer abc", "mit Umlaut ä", "two\nlines"], ids=["short", "short word", "umlaut", "lines"]
)
def test_what_cannot_be_a_token_is_refused_without_showing_it(
    token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    with serving(generate()) as server, pytest.raises(UserError) as raised:
        fetch(hurried(server), tmp_path)
    assert token not in str(raised.value)
    assert TOKEN_VARIABLE in str(raised.value)


def test_a_folder_belongs_to_one_platform_and_one_process(tmp_path: Path) -> None:
    rows = generate()
    with serving(rows, at_views(3, lambda _: Reply(500))) as server:
        with pytest.raises(UserError, match="HTTP 500"):
            fetch(hurried(server), tmp_path)
        server.fault = None
        with pytest.raises(UserError, match="page_size=20"):
            fetch(hurried(server, page_size=30), tmp_path)
        with pytest.raises(UserError, match="another platform"):
            fetch(hurried(server, params={"a": "b"}), tmp_path)

        def meanwhile(_: Request, server: Server) -> None:
            server.fault = None
            with pytest.raises(UserError, match="Another process"):
                fetch(hurried(server), tmp_path)
            seen.append(True)

        seen: list[bool] = []
        server.fault = meanwhile
        fetch(hurried(server), tmp_path)
        assert seen


def test_damage_and_unwritable_folders_are_one_sentence(tmp_path: Path, moods: MoodTable) -> None:
    (tmp_path / "file").write_text("")
    with serving(generate()) as server:
        with pytest.raises(UserError, match="choose another folder"):
            fetch(hurried(server), tmp_path / "file")
        fetch(hurried(server), tmp_path)
    page = next((tmp_path / "raw").glob("views*"))
    page.write_bytes(page.read_bytes()[:50])
    with pytest.raises(UserError, match=r"views.*missing or damaged"):
        downloaded(tmp_path, moods)
    with (tmp_path / "raw" / MANIFEST).open("a") as manifest:
        manifest.write('{"step": "page"}\n')
    with pytest.raises(UserError, match=r"manifest\.jsonl is damaged"):
        downloaded(tmp_path, moods)
