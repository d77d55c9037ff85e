"""The generated platform: exact, reproducible, built like a platform, drawn from the very model its oracle tells."""

import itertools
import math
import time
import tracemalloc
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import UserError
from recsys.sources.base import Tables
from recsys.sources.oracle import BASE_LOGIT, DAY, FOLLOW_WEIGHT, START, TASTE_WEIGHT, ClickModel
from recsys.sources.synthetic import SyntheticPlatform
from recsys.sources.synthetic_words import CATEGORIES, MOODS, TAGS

MS_A_DAY = 86_400_000
START_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z


@pytest.fixture(scope="module")
def tables() -> Tables:
    """The default platform."""
    return SyntheticPlatform().load()


@pytest.fixture(scope="module")
def clicks(tables: Tables) -> ClickModel:
    """Its truth."""
    assert isinstance(tables.oracle, ClickModel)
    return tables.oracle


def frames(tables: Tables) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Interactions, users and contents, all of them there."""
    assert tables.users is not None
    assert tables.contents is not None
    return tables.interactions, tables.users, tables.contents


def created(nodes: pd.DataFrame, ids: pd.Series) -> np.ndarray:
    """Creation time of each id; the first column of `nodes` is the id."""
    return nodes.set_index(nodes.columns[0])["created_at"].loc[ids].to_numpy()


# --- size, form, reproducibility ---


def test_default_has_the_sizes_that_were_asked_for(tables: Tables) -> None:
    events, users, contents = frames(tables)
    assert (tables.name, len(events), len(users), len(contents)) == ("synthetic", 60_000, 2000, 3000)
    assert list(events.columns) == ["user_id", "content_id", "type", "value", "timestamp"]
    assert set(events["type"]) == {"view", "like", "inspire", "rating"}
    assert users["user_id"].is_unique
    assert contents["content_id"].is_unique
    assert events["user_id"].isin(users["user_id"]).all()
    assert events["content_id"].isin(contents["content_id"]).all()


def test_times_are_milliseconds_in_order_and_within_the_span(tables: Tables) -> None:
    times = tables.interactions["timestamp"]
    assert times.dtype == np.int64
    assert times.is_monotonic_increasing
    assert times.min() >= START_MS
    assert times.max() < START_MS + 60 * MS_A_DAY
    assert times.max() / 1000 < time.time()
    assert times.max() - times.min() > 59 * MS_A_DAY


def test_ratings_and_only_they_have_a_value(tables: Tables) -> None:
    events = tables.interactions
    is_rating = events["type"] == "rating"
    values = events["value"][is_rating]
    assert events["value"][~is_rating].isna().all()
    assert values.between(1, 100).all()
    assert (values % 1 == 0).all()
    assert values.std() > 10


def test_same_seed_same_bits_other_seed_other_bits() -> None:
    size = {"num_users": 100, "num_contents": 150, "num_events": 2000}
    platform = SyntheticPlatform(**size, seed=5)
    one, again, other = (
        platform.load(),
        SyntheticPlatform(**size, seed=5).load(),
        SyntheticPlatform(**size, seed=6).load(),
    )
    for left, right, different in zip(frames(one), frames(again), frames(other), strict=True):
        pd.testing.assert_frame_equal(left, right, check_exact=True)
        assert not left.equals(different)
    pd.testing.assert_frame_equal(one.interactions, platform.load().interactions, check_exact=True)
    for field in fields(ClickModel):
        np.testing.assert_array_equal(getattr(one.oracle, field.name), getattr(again.oracle, field.name))


@settings(deadline=None, max_examples=12)
@given(
    num_users=st.integers(20, 80),
    num_contents=st.integers(20, 80),
    share=st.floats(0.0, 0.1),
    seed=st.integers(0, 10**6),
    days=st.floats(1.0, 365.0),
)
def test_any_size_keeps_count_order_and_births(
    num_users: int, num_contents: int, share: float, seed: int, days: float
) -> None:
    num_events = max(100, int(share * num_users * num_contents))
    platform = SyntheticPlatform(
        num_users=num_users, num_contents=num_contents, num_events=num_events, seed=seed, days=days
    )
    events, users, contents = frames(platform.load())
    times = events["timestamp"].to_numpy()
    assert len(events) == num_events
    assert (np.diff(times) >= 0).all()
    assert times[0] >= START_MS
    assert times[-1] < START_MS + days * MS_A_DAY
    assert (times > created(users, events["user_id"])).all()
    assert (times > created(contents, events["content_id"])).all()


# --- structure of the platform ---


def test_funnel_has_its_steps_in_strict_order(tables: Tables) -> None:
    events = tables.interactions
    first = events.pivot_table(index=["user_id", "content_id"], columns="type", values="timestamp", aggfunc="min")
    liked, inspired, rated = (first[first[name].notna()] for name in ("like", "inspire", "rating"))
    assert first["view"].notna().all()
    assert (liked["view"] < liked["like"]).all()
    assert (inspired["like"] < inspired["inspire"]).all()
    assert (rated[["view", "like", "inspire"]].max(axis=1) < rated["rating"]).all()
    gaps = events.groupby(["user_id", "content_id"])["timestamp"].diff().dropna()
    assert (gaps > 0).all()
    shares = events["type"].value_counts(normalize=True)
    assert shares["view"] > shares["like"] > shares["inspire"] > 0.03
    assert shares["rating"] > 0.05


def test_a_pair_is_rarely_viewed_again(tables: Tables) -> None:
    views = tables.interactions[tables.interactions["type"] == "view"]
    again = views.duplicated(["user_id", "content_id"]).mean()
    assert 0 < again < 0.05


def test_nothing_happens_before_its_user_content_or_creator_is_there(tables: Tables) -> None:
    events, users, contents = frames(tables)
    assert (events["timestamp"] > created(users, events["user_id"])).all()
    assert (events["timestamp"] > created(contents, events["content_id"])).all()
    owned = contents[contents["creator_id"].isin(users["user_id"])]
    assert 0.3 < len(owned) / len(contents) < 1  # the rest is by publishers, who are no users
    assert (owned["created_at"] > created(users, owned["creator_id"])).all()


def test_users_and_contents_arrive_all_the_time(tables: Tables) -> None:
    for nodes in frames(tables)[1:]:
        day = (nodes["created_at"] - START_MS) / MS_A_DAY
        counts = np.histogram(day, bins=6, range=(0, 60))[0]
        assert (day < 0).any()
        assert counts.min() > 0.08 * len(nodes)
    events, users, contents = frames(tables)
    late = events.iloc[int(0.7 * len(events)) :]
    boundary = late["timestamp"].iloc[0]
    assert (created(users, late["user_id"].drop_duplicates()) >= boundary).mean() > 0.15
    assert (created(contents, late["content_id"].drop_duplicates()) >= boundary).mean() > 0.15
    assert 0.005 < 1 - events["content_id"].nunique() / len(contents) < 0.2
    assert 0.005 < 1 - events["user_id"].nunique() / len(users) < 0.2


def test_popularity_and_activity_are_concentrated(tables: Tables) -> None:
    views = tables.interactions.query("type == 'view'")
    for column, count in (("content_id", 3000), ("user_id", 2000)):
        top = views[column].value_counts().head(count // 10).sum() / len(views)
        assert top > 0.3  # evenly spread events would give about 0.15
    creators = frames(tables)[2]["creator_id"].value_counts(normalize=True)
    assert creators.head(len(creators) // 10).sum() > 0.3
    assert creators.iloc[0] < 0.2


def test_users_come_in_sessions_and_mostly_in_the_evening(tables: Tables) -> None:
    views = tables.interactions.query("type == 'view'")
    gaps = views.groupby("user_id")["timestamp"].diff().dropna() / 1000
    assert (gaps < 600).mean() > 0.6
    assert (gaps > 86_400).mean() > 0.05
    hour = views["timestamp"] // 3_600_000 % 24
    assert hour.isin(range(18, 22)).sum() > 2 * hour.isin(range(6, 10)).sum()


def test_attention_decays_after_upload(tables: Tables) -> None:
    events, _, contents = frames(tables)
    views = events[events["type"] == "view"]
    age = (views["timestamp"].to_numpy() - created(contents, views["content_id"])) / MS_A_DAY
    observed = START_MS + 60 * MS_A_DAY - contents["created_at"].to_numpy() >= 24 * MS_A_DAY
    observed &= contents["created_at"].to_numpy() >= START_MS
    counts = np.histogram(age[observed[views["content_id"].to_numpy() - 1]], bins=[0, 6, 12, 18, 24])[0]
    assert (np.diff(counts) < 0).all()
    assert counts[0] > 1.7 * counts[1]


def test_metadata_betrays_flavour(tables: Tables, clicks: ClickModel) -> None:
    _, _, contents = frames(tables)
    assert set(contents["category"]) <= set(CATEGORIES)
    assert contents["tags"].map(lambda tags: 2 <= len(tags) == len(set(tags)) and set(tags) <= set(TAGS)).all()
    assert contents["title"].str.len().between(8, 60).all()
    assert contents["title"].nunique() > 1000
    assert contents["moods"].map(len).between(0, 3).all()
    assert (contents["moods"].map(len) > 0).mean() > 0.7
    for factor, mood in enumerate(MOODS):
        has = contents["moods"].map(lambda moods, mood=mood: mood in moods).to_numpy()
        assert has.sum() > 20
        assert clicks.flavour[has, factor].min() > 0.35 > clicks.flavour[~has, factor].mean() + 0.2
    everywhere = clicks.flavour - clicks.flavour.mean(axis=0)
    for column in ("category", "creator_id"):
        codes = pd.factorize(contents[column])[0]
        means = pd.DataFrame(clicks.flavour).groupby(codes).transform("mean").to_numpy()
        assert 1 - ((clicks.flavour - means) ** 2).sum() / (everywhere**2).sum() > 0.4
    tagged = pd.DataFrame({"tag": contents["tags"].explode()})
    means = pd.DataFrame(clicks.flavour[tagged.index]).groupby(tagged["tag"].to_numpy()).transform("mean").to_numpy()
    assert 1 - ((clicks.flavour[tagged.index] - means) ** 2).sum() / (everywhere[tagged.index] ** 2).sum() > 0.2


def test_user_attributes_say_a_little(tables: Tables, clicks: ClickModel) -> None:
    users = frames(tables)[1]
    likeness = clicks.taste_from @ clicks.taste_from.T
    for column in ("age_band", "country"):
        same = users[column].to_numpy()[:, None] == users[column].to_numpy()
        np.fill_diagonal(same, False)
        assert 0.02 < likeness[same].mean() - likeness[~same].mean() < 0.4
    assert 0.05 < users["following_count"].isna().mean() < 0.15


def test_following_count_knows_only_the_day_of_registration(tables: Tables, clicks: ClickModel) -> None:
    users = frames(tables)[1]
    follower = clicks.follow_key // clicks.num_creators
    at_signup = clicks.follow_time == users["created_at"].to_numpy()[follower] * 10**6
    counts = np.bincount(follower[at_signup], minlength=len(users))
    known = users["following_count"].notna().to_numpy()
    np.testing.assert_array_equal(users["following_count"][known], counts[known])
    assert 0.2 < at_signup.mean() < 0.8
    assert (clicks.follow_time >= users["created_at"].to_numpy()[follower] * 10**6).all()


def test_ratings_and_likes_grow_with_the_match(tables: Tables, clicks: ClickModel) -> None:
    events = tables.interactions
    users, contents = events["user_id"].to_numpy() - 1, events["content_id"].to_numpy() - 1
    match = np.einsum("nf,nf->n", clicks.taste(users, events["timestamp"].to_numpy() * 10**6), clicks.flavour[contents])
    by_type = pd.Series(match).groupby(events["type"].to_numpy()).mean()
    assert by_type["view"] + 0.03 < by_type["like"] < by_type["inspire"]
    rated = (events["type"] == "rating").to_numpy()
    assert np.corrcoef(match[rated], events["value"][rated])[0, 1] > 0.5


# --- the oracle ---


def naive_chance(clicks: ClickModel, contents: pd.DataFrame, user_id: int, content_id: int, t: int) -> float:
    """The formula of ClickModel for one pair, from plain numbers."""
    user, content = user_id - 1, content_id - 1
    age = (t - int(contents["created_at"][content]) * 10**6) / DAY
    if age <= 0:
        return 0.0
    angle = float(clicks.turn[user]) * (t - START) / DAY
    taste = [
        math.cos(angle) * float(a) + math.sin(angle) * float(b)
        for a, b in zip(clicks.taste_from[user], clicks.taste_to[user], strict=True)
    ]
    logit = BASE_LOGIT + TASTE_WEIGHT * sum(x * float(y) for x, y in zip(taste, clicks.flavour[content], strict=True))
    for key, since in zip(clicks.follow_key.tolist(), clicks.follow_time.tolist(), strict=True):
        if key == user * clicks.num_creators + int(clicks.creator[content]) and since < t:
            logit += FOLLOW_WEIGHT
    attention = float(clicks.reach[content]) * (1 + age / float(clicks.fade[content])) ** -1.5
    return float(attention / (1 + math.exp(-logit)))


def test_oracle_is_its_formula_for_every_pair() -> None:
    tables = SyntheticPlatform(num_users=40, num_contents=60, num_events=300, seed=2).load()
    clicks, (_, users, contents) = tables.oracle, frames(tables)
    assert isinstance(clicks, ClickModel)
    t = START + 30 * DAY
    user_ids, content_ids = np.arange(40, 0, -3), np.arange(1, 61, 2)
    chance = clicks.probability(user_ids, content_ids, t)
    assert chance.shape == (len(user_ids), len(content_ids))
    assert chance.dtype == np.float32
    expected = [[naive_chance(clicks, contents, u, c, t) for c in content_ids.tolist()] for u in user_ids.tolist()]
    np.testing.assert_allclose(chance, expected, rtol=1e-4)
    assert (np.array(expected) == 0).any()
    assert chance.max() <= 1
    assert (users["created_at"][user_ids - 1] * 10**6 > t).any()  # newcomers have a taste, too


def test_tastes_are_unit_vectors_that_drift_as_much_as_asked() -> None:
    clicks = SyntheticPlatform(num_users=500, num_events=2000, drift=0.8).load().oracle
    assert isinstance(clicks, ClickModel)
    users = np.arange(500)
    first, last = clicks.taste(users, START), clicks.taste(users, START + 60 * DAY)
    for taste in (first, last):
        np.testing.assert_allclose(np.linalg.norm(taste, axis=1), 1, atol=1e-5)
    angle = np.arccos(np.clip((first * last).sum(axis=1), -1, 1))
    assert angle.mean() == pytest.approx(0.8, abs=0.05)
    assert angle.min() > 0.39
    assert angle.max() < 1.21


def test_a_content_is_born_just_after_its_upload(clicks: ClickModel) -> None:
    content = np.array([2500])
    upload = int(clicks.created[2500])
    user = np.array([1])
    assert clicks.probability(user, content + 1, upload)[0, 0] == 0
    assert clicks.probability(user, content + 1, upload + 1)[0, 0] > 0
    assert clicks.attention(content, upload + 1)[0] == pytest.approx(clicks.reach[2500])


def test_following_counts_from_the_moment_it_begins(clicks: ClickModel) -> None:
    late = np.flatnonzero(clicks.follow_time > START + 20 * DAY)
    owned = np.isin(clicks.follow_key[late] % clicks.num_creators, clicks.creator[:500])
    place = late[owned][0]
    user, creator = divmod(int(clicks.follow_key[place]), clicks.num_creators)
    content = np.flatnonzero(clicks.creator == creator)[:1]
    since = int(clicks.follow_time[place])
    before, after = (
        clicks.probability(np.array([user + 1]), content + 1, t)[0, 0] / clicks.attention(content, t)[0]
        for t in (since, since + 1)
    )
    assert math.log(after / (1 - after)) - math.log(before / (1 - before)) == pytest.approx(FOLLOW_WEIGHT, abs=1e-3)


def test_views_are_drawn_from_the_oracle() -> None:
    """The oracle's chances over their sum are the true distribution of the next view: calibrated in every bin."""
    tables = SyntheticPlatform(num_users=3000, num_contents=400, num_events=8000, seed=3, half_life=2.0).load()
    assert tables.oracle is not None
    views = tables.interactions.query("type == 'view'").drop_duplicates(["user_id", "content_id"])
    new = np.ones((3001, 401), dtype=bool)
    expected, chosen = [], []
    for user, content, t in zip(views["user_id"], views["content_id"], views["timestamp"], strict=True):
        chance = tables.oracle.probability(np.array([user]), np.arange(1, 401), int(t) * 10**6)[0] * new[user, 1:]
        new[user, content] = False
        expected.append(chance / chance.sum(dtype=float))
        chosen.append(np.arange(1, 401) == content)
    share, hit = np.concatenate(expected), np.concatenate(chosen)
    assert len(views) > 4000
    assert not hit[share == 0].any()
    edges = [0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1]
    for low, high in itertools.pairwise(edges):
        inside = (share > low) & (share <= high)
        mean, spread = share[inside].sum(), math.sqrt((share[inside] * (1 - share[inside])).sum())
        assert abs(hit[inside].sum() - mean) < 3.5 * spread, (low, high)


def ndcg_at_10(scores: np.ndarray, candidate: np.ndarray, positive: np.ndarray) -> float:
    """Mean NDCG@10 over users, one row each."""
    gain = 1 / np.log2(np.arange(2, 12))
    values = []
    for row, may, good in zip(scores, candidate, positive, strict=True):
        top = np.argsort(-np.where(may, row, -np.inf), kind="stable")[:10]
        values.append((good[top] * gain).sum() / gain[: good.sum()].sum())
    return float(np.mean(values))


def ndcg_of_simple_rankings(seed: int) -> dict[str, float]:
    """NDCG@10 on the last tenth of a platform: new pairs with contents that are there when it begins."""
    tables = SyntheticPlatform(num_users=800, num_contents=1200, num_events=24_000, seed=seed).load()
    events, users, contents = frames(tables)
    t = int(events["timestamp"].iloc[int(0.9 * len(events))])
    past, future = events[events["timestamp"] < t], events[events["timestamp"] >= t]
    seen, positive = np.zeros((2, len(users), len(contents)), dtype=bool)
    seen[past["user_id"] - 1, past["content_id"] - 1] = True
    positive[future["user_id"] - 1, future["content_id"] - 1] = True
    candidate = ~seen & (contents["created_at"] < t).to_numpy()
    positive &= candidate
    rows = np.flatnonzero(positive.any(axis=1))
    assert len(rows) > 100

    assert tables.oracle is not None
    count = np.bincount(past["content_id"] - 1, minlength=len(contents)).astype(float)
    recent = np.bincount(past.tail(len(events) // 20)["content_id"] - 1, minlength=len(contents)) + 1e-3 * count
    category = pd.get_dummies(contents["category"]).to_numpy(float)
    moods = np.array([[mood in row for mood in MOODS] for row in contents["moods"]], dtype=float)
    traits = np.hstack([category, moods])
    habit = seen[rows] @ traits + 1.0
    habit /= habit.sum(axis=1, keepdims=True)
    personal = (habit @ traits.T) ** 2 * (recent + 0.5)
    every = np.ones((len(rows), 1))
    scores = {
        "random": np.random.default_rng(seed).random(personal.shape),
        "popular": every * count,
        "recent": every * recent,
        "personal": personal,
        "oracle": tables.oracle.probability(rows + 1, np.arange(1, len(contents) + 1), t * 10**6),
    }
    return {name: ndcg_at_10(score, candidate[rows], positive[rows]) for name, score in scores.items()}


def test_oracle_beats_taste_from_history_beats_recent_popularity_beats_chance() -> None:
    ndcg = pd.DataFrame([ndcg_of_simple_rankings(seed) for seed in range(4)]).mean()
    assert ndcg["popular"] > 2 * ndcg["random"], ndcg
    assert ndcg["recent"] > 1.3 * ndcg["popular"], ndcg
    assert ndcg["personal"] > 1.1 * ndcg["recent"], ndcg
    assert ndcg["oracle"] > 1.5 * ndcg["personal"], ndcg


# --- limits ---


@pytest.mark.parametrize("ids", [[0], [2001], ["7"], [1.0]])
def test_the_oracle_refuses_ids_it_does_not_know(clicks: ClickModel, ids: list[Any]) -> None:
    with pytest.raises(UserError, match=r"no such user: the ids of this generated platform are 1\.\.2000"):
        clicks.probability(np.array(ids), np.array([1]), START)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("num_users", 19),
        ("num_users", 100.5),
        ("num_contents", 0),
        ("num_events", 99),
        ("num_events", True),
        ("seed", -1),
        ("seed", "7"),
        ("days", 0.5),
        ("days", 366),
        ("days", math.nan),
        ("drift", -0.1),
        ("half_life", 0),
        ("half_life", math.inf),
    ],
)
def test_bad_arguments_are_one_clear_sentence(argument: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"^{argument}={value!r} of the generated platform must be .*\.$"):
        SyntheticPlatform(**{argument: value})


def test_more_events_than_pairs_can_bear_are_refused() -> None:
    with pytest.raises(UserError, match="ask for at most 250"):
        SyntheticPlatform(num_users=20, num_contents=50, num_events=251)


def test_an_exhausted_platform_says_so() -> None:
    with pytest.raises(UserError, match=r"ran out of pairs at \d+ of 5000 events: ask for fewer events"):
        SyntheticPlatform(num_users=1000, num_contents=20, num_events=5000, half_life=0.01).load()


def test_default_generates_within_two_seconds() -> None:
    began = time.process_time()
    SyntheticPlatform(seed=1).load()
    assert time.process_time() - began < 2


def test_memory_grows_with_events_not_with_pairs() -> None:
    tracemalloc.start()
    SyntheticPlatform(num_users=20_000, num_contents=20_000, num_events=20_000).load()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6  # one bit a pair would take 50 MB, one float 1.6 GB
