"""Creators and tags of the contents as nodes of their own, and the moods a newcomer can choose from."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys.data.event_log import NodeTable
from recsys.data.ids import Ids
from recsys.data.kinds import exploded_words
from recsys.data.nodes import existence_order, first_times
from recsys.sources.base import CATEGORY, MOODS, TAGS

MOOD_KINDS = ("mood", "tag", "category")  # what plays the part of moods: the first of these that there is


@dataclass(frozen=True)
class Words:
    """Which content carries which word.

    Attributes:
        content: the content of each pair, int64, [m].
        word: str objects, [m].
        kind: "tag", "mood" or "category", str objects, [m].
    """

    content: np.ndarray
    word: np.ndarray
    kind: np.ndarray


def content_words(table: pd.DataFrame, row_nodes: np.ndarray, tags: pd.DataFrame) -> Words:
    """Words of the columns `tags` and `moods` of the contents table, and of the content_tags table.

    Args:
        table: clean rows of contents.
        row_nodes: the content of each row of `table`, int64.
        tags: rows of content_tags with content (its number in the log), tag and kind.
    """
    parts = [tuple(tags[column].to_numpy() for column in ("content", "tag", "kind"))]
    for column, kind in ((TAGS, "tag"), (MOODS, "mood")):
        if column in table:
            rows, words = exploded_words(table[column], f"{column} of contents")
            parts.append((row_nodes[rows], words, np.full(len(words), kind, dtype=object)))
    content, word, kinds = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Words(content.astype(np.int64), word, kinds)


def build_tags(words: Words, contents: NodeTable, t_val: int) -> tuple[NodeTable, np.ndarray]:
    """Tags as nodes that exist from their first content on, and the (content, tag) pairs, int64, [2, num_pairs].

    Where no content that exists before `t_val` (ns) carries a word, the contents' categories are tags too.
    """
    if CATEGORY in contents.attributes and not (words.content < contents.count_before(t_val)).any():
        category = contents.attributes[CATEGORY]
        rows = np.flatnonzero(category.notna().to_numpy(dtype=bool))
        words = Words(
            np.concatenate([words.content, rows]),
            np.concatenate([words.word, category.to_numpy(dtype=object)[rows]]),
            np.concatenate([words.kind, np.full(len(rows), "category", dtype=object)]),
        )
    # Numbered by word, then kind: the order of ties.
    named = pd.DataFrame({"word": words.word, "kind": words.kind}, dtype=object)
    codes = named.groupby(["word", "kind"], sort=True).ngroup().to_numpy()
    distinct = named.drop_duplicates().sort_values(["word", "kind"])
    exists_from = first_times(codes, contents.exists_from[words.content], len(distinct))
    order = existence_order(exists_from)
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    word, kind = (distinct[column].to_numpy(dtype=object)[order] for column in ("word", "kind"))
    attributes = pd.DataFrame({"kind": pd.Series(kind, dtype=object)})
    pairs = np.unique(words.content * max(len(order), 1) + number[codes])
    nodes = NodeTable(word, exists_from[order], attributes, {"kind": "category"})
    return nodes, np.stack(np.divmod(pairs, max(len(order), 1))).astype(np.int64)


def build_creators(
    creators: Ids, row_nodes: np.ndarray, contents: NodeTable, users: NodeTable
) -> tuple[NodeTable, np.ndarray, np.ndarray]:
    """Creators as nodes that exist from their first content on.

    Args:
        creators: creator of each row of the contents table.
        row_nodes: the content of each of these rows, int64.
        contents: the contents.
        users: the users, some of whom are creators.

    Returns:
        The creators; the creator of each content, -1 for none, int64, [num_contents]; the user with each creator's
        id, -1 for none, int64, [num_creators].
    """
    known = np.flatnonzero(~creators.missing)
    codes, ids = creators.codes[known], creators.distinct
    exists_from = first_times(codes, contents.exists_from[row_nodes[known]], len(ids))
    order = existence_order(exists_from)
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    creator_of = np.full(len(contents), -1, dtype=np.int64)
    creator_of[row_nodes[known]] = number[codes]
    ids = ids[order]
    # As text where one of the two is, since a single later id makes text of a whole column.
    same_kind = ids.dtype == users.ids.dtype
    user_ids, creator_ids = (found if same_kind else found.astype(str).astype(object) for found in (users.ids, ids))
    user_of = pd.Index(user_ids).get_indexer(pd.Index(creator_ids))
    nodes = NodeTable(ids, exists_from[order], pd.DataFrame(index=pd.RangeIndex(len(ids))), {})
    return nodes, creator_of, user_of.astype(np.int64)


def choose_moods(tags: NodeTable, content_tags: np.ndarray, contents: NodeTable, t_val: int, most: int) -> np.ndarray:
    """The `most` moods on most contents that exist before `t_val` (ns), ties by index; rows in `tags`, ascending.

    Moods are the tags of kind "mood" that exist before `t_val`; where there are none, the tags; else the categories.
    """
    num_tags = tags.count_before(t_val)
    kinds = tags.attributes["kind"].to_numpy(dtype=object)[:num_tags]
    early = content_tags[1, content_tags[0] < contents.count_before(t_val)]
    carried = np.bincount(early, minlength=num_tags)
    for kind in MOOD_KINDS:
        of_kind = np.flatnonzero(kinds == kind)
        if len(of_kind):
            best = of_kind[np.argsort(-carried[of_kind], kind="stable")][:most]
            return np.sort(best).astype(np.int64)
    return np.empty(0, dtype=np.int64)
