"""The source as a whole: saved answers, downloads that are missing or old, and the settings."""

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recsys.data.event_log_files import read_log, write_log
from recsys.data.interaction_index import InteractionIndex
from recsys.data.preparation import LogSettings, prepare
from recsys.data.ranking_task import RankingTask
from recsys.errors import UserError
from recsys.sources.platform.api import PlatformApi
from recsys.sources.platform.download import fetch
from recsys.sources.platform.moods import MoodTable
from recsys.sources.platform.source import PlatformSource
from tests.sources.platform.results import expected, hurried, plain
from tests.sources.platform.server import PATHS, Rows, Server, generate, serving

MOODS = {"joyful": ["joy"], "calm": ["serenity"], "hopeful": ["hope"], "reflective": ["contemplation"]}


def source(folder: Path, api: PlatformApi | None = None, **options: Any) -> PlatformSource:
    return PlatformSource(api=api or PlatformApi(), folder=folder, moods=MOODS, **options)


def save(folder: Path, rows: dict[str, Rows], packed: bool, size: int = 20) -> None:
    """Answers as someone saves them who asks by hand: posts.view.page1.json, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, endpoint in PATHS.items():
        stem = ".".join(path.strip("/").split("/")[:2])
        for page in range(1, len(rows[endpoint]) // size + 2):
            body = Server(rows).page(endpoint, page, size)
            file = folder / f"{stem}.page{page}.json{'.gz' if packed else ''}"
            file.write_bytes(gzip.compress(body) if packed else body)


@pytest.mark.parametrize("packed", [True, False])
def test_saved_answers_are_read(packed: bool, tmp_path: Path) -> None:
    rows = generate()
    save(tmp_path, rows, packed)
    (tmp_path / "notes.txt").write_text("not an answer")
    tables = source(tmp_path / "none", raw=tmp_path).load()
    assert plain(tables) == expected(rows, MoodTable(MOODS))
    latest = max(row["viewed_at"] for row in rows["views"])
    others = [row[time] for name, time in (("likes", "liked_at"), ("ratings", "rated_at")) for row in rows[name]]
    posts = str(pd.Timestamp(max(row["created_at"] for row in rows["posts"]), unit="ms"))
    for frame in tables.readings.values():  # nothing that a total counts can be later
        assert set(frame["read_at"]) == {pd.Timestamp(max(latest, *others, posts)).value}


@pytest.mark.parametrize("escaped", [True, False])
def test_texts_cut_within_a_character_can_be_written(escaped: bool, tmp_path: Path) -> None:
    rows = generate()
    post = rows["posts"][3]
    post |= {"title": "cut \ud83d", "category": {"id": 1, "name": "\ude00 music"}, "identifier": "\U0001f600"}
    save(tmp_path / "raw", rows, packed=False, size=1000)
    if not escaped:
        for file in (tmp_path / "raw").glob("posts.summary*"):
            text = json.dumps(json.loads(file.read_bytes()), ensure_ascii=False)
            file.write_bytes(text.encode("utf-8", "surrogatepass"))
    log = prepare(source(tmp_path / "none", raw=tmp_path / "raw").load(), LogSettings()).log
    write_log(log, tmp_path / "log")
    contents = read_log(tmp_path / "log").contents
    row = contents.ids.tolist().index(post["id"])
    assert contents.attributes.loc[row, ["title", "category"]].tolist() == ["cut �", "� music"]


def test_totals_are_not_dated_before_events_whose_times_are_written_otherwise(tmp_path: Path) -> None:
    rows = generate()
    moments = pd.date_range("2026-01-01", periods=len(rows["views"]), freq="h")
    forms = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d %H:%M:%S+00:00")
    for place, (row, moment) in enumerate(zip(rows["views"], moments, strict=True)):
        row["viewed_at"] = moment.strftime(forms[min(place, 1 + place % 2)])
    save(tmp_path, rows, packed=False)
    for frame in source(tmp_path / "none", raw=tmp_path).load().readings.values():
        assert set(frame["read_at"]) == {moments[-1].value}


def test_the_time_of_reading_can_be_given(tmp_path: Path) -> None:
    save(tmp_path, generate(), packed=True)
    tables = source(tmp_path, raw=tmp_path, read_at="2026-01-31T18:30:00").load()
    assert set(tables.readings["users"]["read_at"]) == {pd.Timestamp("2026-01-31 18:30:00").value}
    with pytest.raises(UserError, match="leaky_totals is none: it must be true or false"):
        source(tmp_path, raw=tmp_path, leaky_totals="none")
    with pytest.raises(UserError, match="read_at=soon"):
        source(tmp_path, raw=tmp_path, read_at="soon").load()


def test_files_without_a_telling_name_tell_by_their_rows(tmp_path: Path) -> None:
    rows = generate()
    for i, (endpoint, part) in enumerate(rows.items()):
        (tmp_path / f"dump{i}.json").write_bytes(Server.envelope(endpoint, part, 1, 1000))
    assert plain(source(tmp_path, raw=tmp_path).load()) == expected(rows, MoodTable(MOODS))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("posts.view.page9.json", Server.envelope("posts", generate()["posts"], 1, 1000), "posts instead of views"),
        ("posts.like.page9.json", b"<html>", "HTML instead of JSON"),
        ("posts.rating.page9.json", b'{"status": "success", "posts": [{"id', "cut off"),
        ("users.page9.json.gz", b"not packed", "cannot be used"),
        ("users.page9.json", b'{"status": "error", "message": "no"}', "status 'error', 'no'"),
        ("dump.json", b'{"a": 1}', "holds no rows of views, likes"),
        ("dump.json", b"{", "cut off"),
    ],
    ids=["shape", "html", "cut off", "not packed", "error", "foreign", "broken"],
)
def test_an_answer_that_cannot_be_used_is_named(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    save(tmp_path, generate(), packed=False)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said) as raised:
        source(tmp_path, raw=tmp_path).load()
    assert name in str(raised.value)


def test_folders_without_answers_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no saved answers"):
        source(tmp_path, raw=tmp_path).load()
    with pytest.raises(UserError, match="There is no folder"):
        source(tmp_path, raw=tmp_path / "no").load()
    with pytest.raises(UserError, match=r"no address to download from.*data\.raw=DIR"):
        source(tmp_path / "missing").load()


def test_it_fetches_what_is_missing_and_refreshes_what_is_old(tmp_path: Path) -> None:
    rows = generate()
    with serving(dict(rows)) as server:
        api = hurried(server)
        assert plain(source(tmp_path, api).load()) == expected(rows, MoodTable(MOODS))
        server.asked.clear()
        source(tmp_path, api).load()
        source(tmp_path, api, max_age_hours=1).load()
        assert server.asked == []
        last = rows["views"][-1]
        server.rows["views"] = [*rows["views"], {**last, "id": last["id"] + 1, "post_id": 7777}]
        tables = source(tmp_path, api, max_age_hours=1e-9).load()
        assert 7777 in set(tables.interactions["content_id"])
    assert len(source(tmp_path).load().interactions) == len(tables.interactions), "the platform is no longer needed"


@pytest.mark.parametrize("inner", ["", "raw"])
def test_a_download_can_be_given_as_raw_if_it_is_complete(inner: str, tmp_path: Path) -> None:
    rows = generate()
    with serving(rows, lambda request, _: None) as server:
        fetch(hurried(server), tmp_path)
    assert plain(source(tmp_path / "x", raw=tmp_path / inner).load()) == expected(rows, MoodTable(MOODS))
    manifest = tmp_path / "raw" / "manifest.jsonl"
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match="is not complete"):
        source(tmp_path / "x", raw=tmp_path / inner).load()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": "example.com"}, "no address"),
        ({"base_url": "https://me:secret@example.com"}, "holds a login"),
        ({"paths": {"wiews": "/x"}}, "no entry 'wiews'"),
        ({"page_size": 0}, "page_size is 0"),
        ({"attempts": 1.5}, "attempts is 1.5"),
        ({"requests_per_second": -1}, "requests_per_second is -1"),
        ({"timeout": "long"}, "timeout is long"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_are_checked(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        PlatformApi(**options)
    assert "secret" not in str(raised.value)


@pytest.mark.data
def test_the_real_platform(real_data: Path) -> None:
    tables = source(Path("none"), raw=real_data / "social_platform").load()
    assert tables.interactions["type"].value_counts().to_dict() == {
        "view": 5_534, "rating": 2_803, "like": 1_234, "inspire": 210,
    }  # fmt: skip
    assert (len(tables.users), len(tables.contents)) == (1_207, 1_251)
    counted = {(table.removeprefix("platform "), reason): rows for table, _, reason, rows in tables.notes}
    assert counted["users", "posts, followers and following are all 0"] == 1_011
    assert counted["posts", "by one creator, 5368"] == 936
    assert counted["likes", "no view of the same user and post"] == 645  # 52%
    done = prepare(tables, LogSettings())
    assert done.report.rows("interactions", "merged") == 11
    assert len(RankingTask.build(done.log, InteractionIndex(done.log), "test", 0).user) == 73
    assert json.dumps(sorted(done.log.users.kinds)) == "[]", "nothing of a user was always so"
