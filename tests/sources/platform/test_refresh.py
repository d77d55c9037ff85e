"""A refresh fetches what is new, keeps what is gone, and sees what has changed."""

from pathlib import Path

import pandas as pd
import pytest

from recsys.sources.platform.download import fetch
from recsys.sources.platform.moods import MoodTable
from recsys.sources.platform.pages import PageStore
from recsys.sources.platform.tables import build_tables
from tests.sources.platform.results import downloaded, expected, hurried
from tests.sources.platform.server import Rows, generate, serving


def more(rows: Rows, count: int) -> Rows:
    return [{**rows[-1], "id": rows[-1]["id"] + 1 + i, "post_id": 1000 + i} for i in range(count)]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(("added", "pruned"), [(0, 0), (1, 0), (45, 0), (0, 60), (5, 100), (45, 205)], ids=str)
def test_new_rows_come_and_pruned_ones_stay(
    added: int, pruned: int, newest_first: bool, tmp_path: Path, moods: MoodTable
) -> None:
    rows = generate()
    everything = {**rows, "views": rows["views"] + more(rows["views"], added)}
    with serving(dict(rows), newest_first=newest_first) as server:
        fetch(hurried(server), tmp_path)
        server.rows["views"] = everything["views"][pruned:]
        server.asked.clear()
        fetch(hurried(server), tmp_path, refresh=True)
        assert downloaded(tmp_path, moods)["interactions"] == expected(everything, moods)["interactions"]
        assert PageStore(tmp_path).pruned["views"] == (0 if newest_first else pruned)
        views = [page for endpoint, page in server.asked if endpoint == "views"]
        if not pruned and added < 20:  # of 11 pages, each time the one with a known row, what follows, and two empty
            assert len(views) <= (2 if newest_first else 9)


def test_a_refresh_goes_on_from_a_refresh(tmp_path: Path, moods: MoodTable) -> None:
    rows = generate()
    everything = {**rows, "views": list(rows["views"]), "likes": list(rows["likes"])}
    with serving(rows) as server:
        fetch(hurried(server), tmp_path)
        for _ in range(3):
            for name, count in (("views", 25), ("likes", 1)):
                added = more(everything[name], count)
                everything[name] += added
                server.rows[name] = server.rows[name][7:] + added
            fetch(hurried(server, page_size=15), tmp_path, refresh=True)
    assert downloaded(tmp_path, moods)["interactions"] == expected(everything, moods)["interactions"]


def test_a_changed_rating_counts_with_its_newest_value_and_keeps_its_history(tmp_path: Path, moods: MoodTable) -> None:
    rows = generate()
    first, second = rows["ratings"][0], rows["ratings"][1]
    assert 1 <= first["rating_percent"] <= 100
    with serving({name: [dict(row) for row in part] for name, part in rows.items()}) as server:
        fetch(hurried(server), tmp_path)
        served = server.rows["ratings"]
        served[0].update(rating_percent=first["rating_percent"] % 100 + 1, rated_at="2025-03-01 10:00:00")
        served[1].update(rating_percent=second["rating_percent"] % 100 + 1)  # no word about when
        before = pd.Timestamp.now()
        fetch(hurried(server), tmp_path, refresh=True)
    pages = list(PageStore(tmp_path).read_pages())
    tables = build_tables(pages, moods)
    ratings = tables.interactions[tables.interactions["type"] == "rating"].reset_index(drop=True)
    assert len(ratings) == len(rows["ratings"])
    assert ratings["value"].iloc[0] == first["rating_percent"] % 100 + 1
    assert ratings["timestamp"].iloc[0] == "2025-03-01 10:00:00"
    # The second one's new value cannot have been known at its old time: it counts since it was read.
    assert ratings["value"].iloc[1] == second["rating_percent"] % 100 + 1
    assert before - pd.Timedelta(minutes=1) < pd.Timestamp(ratings["timestamp"].iloc[1]) < pd.Timestamp.now()
    assert ("platform ratings", "merged", "older version of a row that was changed", 2) in tables.notes
    assert ("platform ratings", "kept", "changed without a new time: counts since it was read", 1) in tables.notes
    history = [
        (row["rating_percent"], row["rated_at"])
        for page in pages
        if page.endpoint == "ratings"
        for row in page.rows
        if row["id"] == first["id"]
    ]
    assert history == [
        (first["rating_percent"], first["rated_at"]),
        (first["rating_percent"] % 100 + 1, "2025-03-01 10:00:00"),
    ]


def test_totals_become_readings_at_the_times_they_were_read(tmp_path: Path, moods: MoodTable) -> None:
    rows = generate()
    post = rows["posts"][3]["id"]
    with serving({name: [dict(row) for row in part] for name, part in rows.items()}) as server:
        moments = [pd.Timestamp.now(tz="UTC").value]
        for views in (11, 12):
            server.rows["posts"][3]["view_count"] = views
            fetch(hurried(server), tmp_path, refresh=True)
            moments.append(pd.Timestamp.now(tz="UTC").value)
    readings = build_tables(PageStore(tmp_path).read_pages(), moods).readings["contents"]
    of_post = readings[readings["content_id"] == post]
    assert of_post["view_count"].tolist() == [11, 12]
    for read_at, after, until in zip(of_post["read_at"], moments, moments[1:], strict=False):
        assert after < read_at < until
    assert len(readings) == len(rows["posts"]) + 1, "what did not change is not read twice"
