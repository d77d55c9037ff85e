"""Content-based filtering: contents like those that the user met, whoever else met them."""

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, hstack
from sklearn.feature_extraction.text import TfidfVectorizer

from recsys.checks import check_number
from recsys.data.event_log import EventLog
from recsys.data.kinds import exploded_words
from recsys.errors import UserError
from recsys.models.baselines.past import interactions, known_rows, shares, unit_rows
from recsys.models.baselines.personal_peer import PersonalPeer
from recsys.models.baselines.settings import check_events, check_half_life

MAX_WORDS = 50_000


class ContentBased(PersonalPeer):
    """Cosine of the mean of the user's history and a content, in a space of attributes.

    A content's vector has four parts: its categories, its creator, its tags and lists, and the words of its texts. In
    each part a value counts by its inverse document frequency among the contents that exist at t, the part has length
    1 (0 where the content has no such value) and is multiplied by a setting. So the cosine of two contents that have
    all parts is the mean of the parts' cosines, weighted by the settings' squares.

    Users whose history has no attribute count as cold.

    Args:
        log: the event log.
        category, creator, tags, text: how much each part counts, at least 0.
        events: which events make up a history: "target" or "all".
        history_half_life: age, as a share of the events before t, at which an event of the history counts half; None
            for never.
        cold_window: see `PersonalPeer`.

    Raises:
        UserError: for settings that mean nothing, or when it is fitted for validation or later and no content has
            anything that the settings count.
    """

    name = "content_based"

    def __init__(
        self,
        log: EventLog,
        *,
        category: float = 1.0,
        creator: float = 1.0,
        tags: float = 1.0,
        text: float = 1.0,
        events: str = "target",
        history_half_life: float | None = 0.1,
        cold_window: float | None = 0.1,
    ) -> None:
        parts = {"category": category, "creator": creator, "tags": tags, "text": text}
        for part, weight in parts.items():
            check_number(f"model.{part}", weight, 0, 1e3)
        check_events(events)
        check_half_life("history_half_life", history_half_life)
        more = {"events": events, "history_half_life": history_half_life, "cold_window": cold_window}
        super().__init__(log, {**parts, **more})

    def _learn(self, t: int) -> np.ndarray:
        of = self.settings
        parts = content_parts(self.log, self.log.contents.count_before(t))
        self._contents = unit_rows(hstack([of[name] * part for name, part in parts.items()], format="csr"))
        if not self._contents.nnz and t >= self.log.boundaries.t_val:
            counted = ", ".join(name for name in parts if of[name])
            raise UserError(
                f"model={self.name} has nothing to compare the contents of {self.log.name} by: they lack all that its "
                f"settings count ({counted or 'no part'}); choose another model, or give contents such columns."
            )
        history = shares(interactions(self.log, t, of["events"], of["history_half_life"]))
        self._profiles = unit_rows(history @ self._contents)
        return known_rows(self._profiles)

    def _personal(self, users: np.ndarray, contents: np.ndarray) -> np.ndarray:
        profiles = self._profiles[users].T.toarray()
        scores: np.ndarray = (self._contents[contents] @ profiles).T
        return scores


def content_parts(log: EventLog, count: int) -> dict[str, csr_array]:
    """The parts of the vectors of the first `count` contents, each row of length 1 or 0; [count, values] each."""
    table, kinds = log.contents.attributes.iloc[:count], log.contents.kinds
    category, tags = [], []
    for name, kind in kinds.items():
        if kind == "category":
            codes = pd.factorize(table[name])[0]
            category.append(_hot(np.flatnonzero(codes >= 0), codes[codes >= 0], count))
        elif kind == "list":
            rows, items = exploded_words(table[name], name)
            tags.append(_hot(rows, pd.factorize(items)[0], count))
    content, tag = log.content_tags
    is_word = (log.tags.attributes["kind"].to_numpy(dtype=object) != "category")[tag] & (content < count)
    tags.append(_hot(content[is_word], tag[is_word], count))
    creator = log.creator_of[:count]
    has_creator = np.flatnonzero(creator >= 0)
    return {
        "category": _weighted(category, count),
        "creator": _weighted([_hot(has_creator, creator[has_creator], count)], count),
        "tags": _weighted(tags, count),
        "text": _words([table[name] for name, kind in kinds.items() if kind == "text"], count),
    }


def _hot(rows: np.ndarray, values: np.ndarray, count: int) -> csr_array:
    """1 for each pair of a row and a value, [count, number of values]."""
    width = int(values.max(initial=-1)) + 1
    return csr_array((np.ones(len(rows)), (rows, values)), shape=(count, width)).sign()


def _weighted(parts: list[csr_array], count: int) -> csr_array:
    """The parts side by side, by inverse document frequency, each row of length 1 or 0."""
    hot = hstack([csr_array((count, 0)), *parts], format="csr")
    frequency = np.bincount(hot.indices, minlength=hot.shape[1])
    weights = np.log((1 + count) / (1 + frequency)) + 1  # smoothed as scikit-learn does it for words
    return unit_rows(hot.multiply(weights).tocsr())


def _words(columns: list[pd.Series], count: int) -> csr_array:
    """TF-IDF of the words of all texts of a content, each row of length 1 or 0."""
    texts = [" ".join(text for text in of_content if text) for of_content in zip(*columns, strict=True)]
    try:
        return csr_array(TfidfVectorizer(min_df=2, max_features=MAX_WORDS).fit_transform(texts))
    except ValueError:  # no word is left
        return csr_array((count, 0))
