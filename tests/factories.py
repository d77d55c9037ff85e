"""Small valid tables and logs for the tests of every room, and the change of their future."""

from dataclasses import replace

import numpy as np
import pandas as pd

from recsys.data.event_log import EventLog
from recsys.data.preparation import LogSettings, prepare
from recsys.sources.base import Tables

START = 1_704_067_200  # 2024-01-01, unix seconds
TYPES = ("view", "like", "inspire", "rating")
CATEGORIES = ("music", "sport", "travel")
TAGS = ("cat", "dog", "joy", "sea")
MOODS = ("calm", "joy", "sad")
COUNTRIES = ("DE", "FR", "IN")


def tiny_tables(seed: int = 0, num_users: int = 8, num_contents: int = 12, num_events: int = 60) -> Tables:
    """Tables with everything a platform has: four event types, categories, creators, tags, moods and numbers.

    User ids are ints and content ids strings. The last two contents have a creation time but no event, the last
    user only acts in the last quarter, some creation times and attributes are missing, one content is missing in the
    contents table. Totals of users and contents are read at four times, before, during and after the log. Validation
    and test have positives for every seed (of any type).
    """
    rng = np.random.default_rng(seed)
    user_ids = 100 + rng.permutation(num_users)
    content_ids = np.array([f"c{i:02d}" for i in rng.permutation(num_contents)], dtype=object)
    time = START + np.cumsum(rng.integers(0, 7200, num_events))
    return Tables(
        name="tiny",
        interactions=_interactions(rng, user_ids, content_ids[:-2], time),
        users=_users(rng, user_ids, time),
        contents=_contents(rng, user_ids, content_ids, time),
        content_tags=pd.DataFrame({"content_id": content_ids[:2], "tag": ["sea", "calm"], "kind": ["tag", "mood"]}),
        readings={
            "users": _readings(rng, "user_id", user_ids, time, ("follower_count", "post_count")),
            "contents": _readings(rng, "content_id", content_ids, time, ("view_count",)),
        },
    )


def _readings(
    rng: np.random.Generator, key: str, ids: np.ndarray, time: np.ndarray, names: tuple[str, ...]
) -> pd.DataFrame:
    moments = [time[len(time) // 4], time[len(time) // 2], time[int(0.8 * len(time))], time[-1] + 60]
    read_at = np.repeat(moments, len(ids))
    numbers = {
        name: np.where(rng.random(len(read_at)) < 0.8, rng.integers(0, 90, len(read_at)), np.nan) for name in names
    }
    return pd.DataFrame({key: np.tile(ids, len(moments)), "read_at": read_at, **numbers})


def _interactions(
    rng: np.random.Generator, user_ids: np.ndarray, content_ids: np.ndarray, time: np.ndarray
) -> pd.DataFrame:
    num_events, num_contents = len(time), len(content_ids)
    # The last user stays away until late, and two late events are surely new pairs of an old content.
    pairs = np.resize(rng.permutation((len(user_ids) - 1) * num_contents), num_events)
    user, content = pairs // num_contents, pairs % num_contents
    repeat = rng.random(num_events) < 0.2
    earlier = (rng.random(num_events) * np.arange(num_events)).astype(int)
    user, content = np.where(repeat, user[earlier], user), np.where(repeat, content[earlier], content)
    content[0] = 0
    for late in (int(0.75 * num_events), num_events - 1):
        user[late], content[late] = len(user_ids) - 1, 0 if late < num_events - 1 else 1
    content[1] = 1
    kind = rng.choice(len(TYPES), num_events, p=[0.5, 0.25, 0.1, 0.15])
    kind[: len(TYPES)] = range(len(TYPES))
    value = np.where(kind == TYPES.index("rating"), rng.integers(1, 6, num_events), np.nan)
    value[TYPES.index("rating")] = 1.0
    return pd.DataFrame(
        {
            "user_id": user_ids[user],
            "content_id": content_ids[content],
            "type": np.array(TYPES, dtype=object)[kind],
            "value": value,
            "timestamp": time,
        }
    )


def _users(rng: np.random.Generator, user_ids: np.ndarray, time: np.ndarray) -> pd.DataFrame:
    age = rng.integers(18, 70, len(user_ids)).astype(float)
    age[0] = np.nan
    country = rng.choice(np.array(COUNTRIES, dtype=object), len(user_ids))
    return pd.DataFrame(
        {"user_id": user_ids, "age": age, "country": country, "created_at": _created(rng, len(user_ids), time)}
    )


def _contents(
    rng: np.random.Generator, user_ids: np.ndarray, content_ids: np.ndarray, time: np.ndarray
) -> pd.DataFrame:
    count = len(content_ids)
    created = _created(rng, count, time)
    created[-2:] = [_iso(time[0]), _iso(time[len(time) // 2])]
    table = pd.DataFrame(
        {
            "content_id": content_ids,
            "title": np.array([f"About {id_}" for id_ in content_ids], dtype=object),
            "category": rng.choice(np.array([*CATEGORIES, None], dtype=object), count),
            "creator_id": rng.choice(user_ids[: max(2, len(user_ids) // 2)], count),
            "created_at": created,
            "tags": [sorted(rng.choice(TAGS, rng.integers(0, 3), replace=False).tolist()) for _ in range(count)],
            "moods": [sorted(rng.choice(MOODS, rng.integers(0, 3), replace=False).tolist()) for _ in range(count)],
            "duration": rng.gamma(2.0, 30.0, count),
        }
    )
    table.at[0, "moods"], table.at[1, "moods"] = ["joy"], ["calm", "joy"]
    return table.drop(index=2).reset_index(drop=True)


def _created(rng: np.random.Generator, count: int, time: np.ndarray) -> np.ndarray:
    seconds = rng.integers(time[0] - 3600, time[-1], count)
    return np.where(rng.random(count) < 0.3, None, np.array([_iso(s) for s in seconds], dtype=object))


def _iso(seconds: int) -> str:
    return str(pd.Timestamp(int(seconds), unit="s"))


def tiny_log(
    seed: int = 0, num_users: int = 8, num_contents: int = 12, num_events: int = 60, settings: LogSettings | None = None
) -> EventLog:
    """The log of `tiny_tables`; every event type is a target unless `settings` say otherwise."""
    return prepare(tiny_tables(seed, num_users, num_contents, num_events), settings or LogSettings()).log


def with_future_changed(tables: Tables, t: int, rng: np.random.Generator) -> Tables:
    """The same tables up to `t` (ns), with the rest changed, deleted or added, and all rows shuffled.

    Events at or after `t` are dropped and added (of a new type too). Users and contents that do
    not exist before `t` (neither by creation time nor by an event) are dropped and changed, new ones are added. What
    was read at or after `t` is dropped, changed and added.
    Nothing strictly before `t` is touched. Anything fitted is fitted before T_val, so take `t` >= T_val to test it.
    """
    interactions = tables.interactions
    early = interactions["timestamp"].to_numpy() * 1_000_000_000 < t
    new_users = 900 + np.arange(3)
    new_contents = np.array(["a_new", "m_new", "z_new"], dtype=object)
    users = _changed_nodes(tables.users, "user_id", interactions[early], t, rng, {"age": 1e6, "country": "XX"})
    contents = _changed_nodes(
        tables.contents, "content_id", interactions[early], t, rng, {"duration": 1e9, "category": "new"}
    )
    users = pd.concat([users, pd.DataFrame({"user_id": new_users, "age": [1.0, np.nan, 9e9], "country": "ZZ"})])
    added = pd.DataFrame(
        {
            "content_id": new_contents,
            "title": "Entirely new words",
            "category": ["music", "new", None],
            "creator_id": [100, 900, 901],
            "created_at": [None, _iso(t // 1_000_000_000 + 1), _iso(t // 1_000_000_000 + 7)],
            "tags": [["new"], ["joy", "cat"], []],
            "moods": [["wild"], ["sad"], ["joy"]],
            "duration": [np.nan, 1e9, 0.0],
        }
    )
    contents = pd.concat([contents, added])
    future = _changed_events(interactions[~early], t, rng, users, contents)
    tags = tables.content_tags
    old = tags["content_id"].isin(interactions.loc[early, "content_id"]) | ~tags["content_id"].isin(
        _unborn(tables.contents, "content_id", interactions[early], t)
    )
    tags = pd.concat(
        [tags[old], pd.DataFrame({"content_id": new_contents, "tag": ["sea", "new", "joy"], "kind": "tag"})]
    )

    def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.iloc[rng.permutation(len(frame))].reset_index(drop=True)

    return replace(
        tables,
        interactions=shuffled(pd.concat([interactions[early], future])),
        users=shuffled(users),
        contents=shuffled(contents),
        content_tags=shuffled(tags),
        readings={name: shuffled(_changed_readings(frame, t, rng)) for name, frame in tables.readings.items()},
    )


def _changed_readings(readings: pd.DataFrame, t: int, rng: np.random.Generator) -> pd.DataFrame:
    later = readings["read_at"].to_numpy() * 1_000_000_000 >= t
    future = readings[later & (rng.random(len(readings)) < 0.5)].copy()
    future[future.columns[2:]] = 1e6
    added = readings.iloc[:3].assign(read_at=-(-t // 1_000_000_000), never_read_before=7.0)
    return pd.concat([readings[~later], future, added])


def _unborn(table: pd.DataFrame, key: str, early: pd.DataFrame, t: int) -> np.ndarray:
    """Ids in `table` that do not exist before `t`."""
    created = pd.to_datetime(table["created_at"], utc=True).dt.as_unit("ns")
    unborn = ~table[key].isin(early[key]) & ~(created < pd.Timestamp(t, tz="UTC"))
    return table.loc[unborn, key].to_numpy()


def _changed_nodes(
    table: pd.DataFrame, key: str, early: pd.DataFrame, t: int, rng: np.random.Generator, other: dict[str, object]
) -> pd.DataFrame:
    unborn = table[key].isin(_unborn(table, key, early, t)).to_numpy()
    changed = table[~(unborn & (rng.random(len(table)) < 0.5))].copy()
    unborn = changed[key].isin(_unborn(table, key, early, t))
    for column, value in other.items():
        changed.loc[unborn, column] = value
    return changed


def _changed_events(
    future: pd.DataFrame, t: int, rng: np.random.Generator, users: pd.DataFrame, contents: pd.DataFrame
) -> pd.DataFrame:
    kept = future[rng.random(len(future)) < 0.7]
    added = rng.integers(1, 12)
    first = -(-t // 1_000_000_000)
    last = max(int(future["timestamp"].max()), first) if len(future) else first
    new = pd.DataFrame(
        {
            "user_id": rng.choice(users["user_id"], added),
            "content_id": rng.choice(contents["content_id"], added),
            "type": rng.choice(np.array([*TYPES, "new_type"], dtype=object), added),
            "value": rng.choice([np.nan, -50.0, 3.0, 1e6], added),
            "timestamp": rng.integers(first, last + 100_000, added),
        }
    )
    return pd.concat([kept, new])
