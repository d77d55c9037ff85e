"""Content-based filtering against TF-IDF by hand."""

import math
from collections import Counter

import numpy as np
import pytest

from recsys.data.event_log import EventLog
from recsys.errors import UserError
from recsys.models.baselines.content_based import ContentBased
from tests.graph.logs import log_of
from tests.models.peers import dense_interactions, mixed_log


def words_of(log: EventLog, content: int) -> dict[str, Counter[str]]:
    """What each part knows of a content."""
    attributes, kinds = log.contents.attributes.iloc[content], log.contents.kinds
    tags = [int(tag) for c, tag in log.content_tags.T if c == content]
    texts = [attributes[name] or "" for name, kind in kinds.items() if kind == "text"]
    creator = log.creator_of[content]
    return {
        "category": Counter(
            f"{n}={attributes[n]}" for n, kind in kinds.items() if kind == "category" and attributes[n] is not None
        ),
        "creator": Counter([str(creator)] if creator >= 0 else []),
        "tags": Counter(str(tag) for tag in tags),
        "text": Counter(word for text in texts for word in text.lower().split() if len(word) > 1),
    }


def unit(vector: dict[object, float]) -> dict[object, float]:
    length = math.sqrt(sum(value**2 for value in vector.values()))
    return {key: value / length for key, value in vector.items() if length > 0}


def vectors(log: EventLog, count: int, weights: dict[str, float]) -> list[dict[object, float]]:
    """Every content's vector as a sparse dictionary."""
    contents = [words_of(log, content) for content in range(count)]
    found: list[dict[object, float]] = []
    for words in contents:
        whole: dict[object, float] = {}
        for part, weight in weights.items():
            frequency = Counter(word for other in contents for word in other[part])
            part_vector: dict[object, float] = {
                (part, word): times * (math.log((1 + count) / (1 + frequency[word])) + 1)
                for word, times in words[part].items()
                if part != "text" or frequency[word] >= 2
            }
            whole |= {key: weight * value for key, value in unit(part_vector).items() if weight}
        found.append(unit(whole))
    return found


@pytest.mark.parametrize(
    ("weights", "events", "half_life"),
    [
        ({"category": 1.0, "creator": 1.0, "tags": 1.0, "text": 1.0}, "target", None),
        ({"category": 0.5, "creator": 2.0, "tags": 0.0, "text": 3.0}, "all", 0.2),
        ({"category": 0.0, "creator": 0.0, "tags": 1.0, "text": 0.0}, "all", None),
    ],
)
def test_scores_are_cosines_of_profile_and_content(
    weights: dict[str, float], events: str, half_life: float | None
) -> None:
    log = mixed_log()
    t = log.boundaries.t_test
    history = dense_interactions(log, t, events, half_life)
    count = history.shape[1]
    of_content = vectors(log, count, weights)
    assert sum(len(vector) > 0 for vector in of_content) > count / 2
    peer = ContentBased(log, **weights, events=events, history_half_life=half_life)
    scores = peer.score(np.arange(len(history)), np.arange(count), t).numpy()
    compared = 0
    for user in range(len(history)):
        profile: Counter[object] = Counter()
        for content in np.flatnonzero(history[user]):
            for key, value in of_content[content].items():
                profile[key] += value * history[user, content]
        if profile:
            compared += 1
            mean = unit(dict(profile))
            expected = [sum(mean.get(key, 0) * value for key, value in vector.items()) for vector in of_content]
            np.testing.assert_allclose(scores[user], expected, atol=1e-6)
    assert compared > 5


def test_a_log_without_attributes_is_refused_in_one_sentence() -> None:
    events = [(user, content, "view", None, 10 + user + content) for user in range(3) for content in range(3)]
    log = log_of(sorted(events, key=lambda event: event[-1]), t_val=13, t_test=14)
    with pytest.raises(
        UserError, match="model=content_based has nothing to compare the contents of by hand by"
    ) as error:
        ContentBased(log).fit(log.boundaries.t_val)
    assert "\n" not in str(error.value)
    assert "(category, creator, tags, text)" in str(error.value)
    assert not ContentBased(log).score(np.arange(2), np.arange(0), 10).numel(), "earlier nothing is known of anything"


def test_settings_that_count_nothing_are_refused() -> None:
    log = mixed_log()
    nothing = ContentBased(log, category=0, creator=0, tags=0, text=0)
    with pytest.raises(UserError, match=r"settings count \(no part\)"):
        nothing.fit(log.boundaries.t_val)
