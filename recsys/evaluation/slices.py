"""Which users and contents are cold at the query time, and which mood a cold user would have stated.

`recsys.evaluation.protocol` ranks and measures by these.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from recsys.data.event_log import EventLog
from recsys.data.ranking_task import RankingTask
from recsys.sources.base import CATEGORY


def audience_of(log: EventLog, t: int) -> np.ndarray:
    """Distinct users with an event on each content that exists at `t` (ns), before `t`; int64, [contents at t].

    A content with no audience is cold.
    """
    past = log.count_before(t)
    pairs = np.unique(log.user[:past] * len(log.contents) + log.content[:past])
    return np.bincount(pairs % len(log.contents), minlength=log.contents.count_before(t))


def content_attributes(log: EventLog, t: int) -> csr_array | None:
    """1 where a content that exists at `t` (ns) has a tag, mood, category or creator, [contents at t, attributes].

    None if no content has any.
    """
    num_contents = log.contents.count_before(t)
    content, tag = log.content_tags[:, log.content_tags[0] < num_contents]
    codes = [log.creator_of[:num_contents]]
    if CATEGORY in log.contents.attributes and "category" not in set(log.tags.attributes["kind"]):
        codes.append(pd.factorize(log.contents.attributes[CATEGORY].iloc[:num_contents])[0])
    rows, columns, width = [content], [tag], len(log.tags)
    for code in codes:
        known = np.flatnonzero(code >= 0)
        rows.append(known)
        columns.append(width + code[known])
        width += int(code.max(initial=-1)) + 1
    row, column = np.concatenate(rows), np.concatenate(columns)
    return csr_array((np.ones(len(row)), (row, column)), shape=(num_contents, width)) if len(row) else None


def content_categories(log: EventLog, t: int) -> csr_array | None:
    """1 where a content that exists at `t` (ns) has a category, [contents at t, categories].

    Where no content has a category, the tags of kind "tag" (such as genres) stand for them; None without these too.
    """
    num_contents = log.contents.count_before(t)
    content, tag = log.content_tags[:, log.content_tags[0] < num_contents]
    kind = log.tags.attributes["kind"].to_numpy(dtype=object)[tag]
    pairs = [(content[kind == name], tag[kind == name]) for name in ("category", "tag")]
    if CATEGORY in log.contents.attributes:
        codes = pd.factorize(log.contents.attributes[CATEGORY].iloc[:num_contents])[0]
        known = np.flatnonzero(codes >= 0)
        pairs.insert(1, (known, codes[known]))
    row, column = next((of for of in pairs if len(of[0])), pairs[-1])
    if not len(row):
        return None
    return csr_array((np.ones(len(row)), (row, column)), shape=(num_contents, int(column.max()) + 1))


@dataclass(frozen=True)
class MoodUsers:
    """The cold users that the mood path can be judged on.

    A cold user's first positive of the period stands for the mood it would have stated: of that content's moods
    the one on most contents at the query time (ties: the first in `log.moods`). The mood path is judged on the user's
    other positives, and that first content is no candidate.

    Attributes:
        row: places of these users in `task.user`, ascending, int64, [M].
        mood: position in `log.moods`, int64, [M].
        first: the content that gave the mood, int64, [M].
        without_mood: cold users left out because they have no first positive within reach or it has no mood.
        without_rest: cold users left out because they have no other positive within reach.
    """

    row: np.ndarray
    mood: np.ndarray
    first: np.ndarray
    without_mood: int
    without_rest: int


def mood_users(log: EventLog, task: RankingTask, cold: np.ndarray) -> MoodUsers:
    """The mood of each cold user of `task`; `cold` says which users are, bool, [len(task.user)]."""
    row, content = task.positive
    by_time = np.lexsort((content, task.first_time, row))
    rows, place = np.unique(row[by_time], return_index=True)
    first = content[by_time[place]]
    rest = np.bincount(row, minlength=len(task.user))[rows] > 1
    mood = _commonest_mood(log, task.num_contents)[first]
    kept = cold[rows] & rest & (mood >= 0)
    without_rest = int((cold[rows] & (mood >= 0) & ~rest).sum())
    return MoodUsers(
        row=rows[kept],
        mood=mood[kept],
        first=first[kept],
        without_mood=int(cold.sum() - kept.sum()) - without_rest,
        without_rest=without_rest,
    )


def _commonest_mood(log: EventLog, num_contents: int) -> np.ndarray:
    """Of each content's moods the one on most of the contents, as position in `log.moods`, -1 for none, [C]."""
    position = np.full(len(log.tags), -1)
    position[log.moods] = np.arange(len(log.moods))
    content, mood = log.content_tags[0], position[log.content_tags[1]]
    known = (mood >= 0) & (content < num_contents)
    content, mood = content[known], mood[known]
    spread = np.bincount(mood, minlength=len(log.moods))
    best_first = np.lexsort((mood, -spread[mood], content))
    contents, place = np.unique(content[best_first], return_index=True)
    commonest = np.full(num_contents, -1)
    commonest[contents] = mood[best_first[place]]
    return commonest
