"""Popularity of the creator, event by event."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import UserError
from recsys.models.baselines.creator_popularity import CreatorPopularity
from tests.graph.logs import log_of
from tests.models.peers import mixed_log


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 138), st.sampled_from([None, 0.3]), st.sampled_from([None, 0.1]))
def test_counts_the_target_events_of_a_creators_contents(
    event: int, window: float | None, half_life: float | None
) -> None:
    log = mixed_log()
    log = replace(log, creator_of=np.where(np.arange(len(log.contents)) % 5 == 0, -1, log.creator_of))
    t = int(log.time[event])
    contents = np.arange(log.contents.count_before(t))
    scores = CreatorPopularity(log, window, half_life).score(np.array([0, 5]), contents, t)
    before = int((log.time < t).sum())
    first = 0 if window is None else before - round(window * before)
    expected = []
    for content in contents:
        worth = 0.0
        for e in range(first, before):
            if log.is_target[e] and log.creator_of[log.content[e]] == log.creator_of[content] >= 0:
                worth += 1.0 if half_life is None else 0.5 ** ((before - e) / before / half_life)
        expected.append(np.log(1 + worth))
    np.testing.assert_allclose(scores, [expected, expected], rtol=1e-6)


def test_a_new_content_has_its_creators_popularity() -> None:
    events = [(0, 0, "view", None, 10), (1, 0, "like", None, 11), (2, 1, "view", None, 12), (0, 2, "view", None, 101)]
    log = log_of(events, t_val=100, t_test=200, creator_of=[0, 1, 0], content_created={2: 50})
    scores = CreatorPopularity(log).score(np.array([2]), np.arange(3), 100)
    np.testing.assert_allclose(scores[0], np.log([3, 2, 3]), rtol=1e-6)


def test_a_log_without_creators_is_refused_in_one_sentence() -> None:
    log = log_of([(0, 0, "view", None, 10), (0, 1, "view", None, 20)], t_val=15, t_test=20)
    with pytest.raises(UserError, match="model=creator_popularity: no content of by hand has a creator"):
        CreatorPopularity(log)
