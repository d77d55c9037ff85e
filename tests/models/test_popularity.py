from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.preparation import LogSettings, prepare
from recsys.errors import UserError
from recsys.models.baselines.popularity import Popularity
from recsys.models.scorer import MoodScorer, Scorer
from tests.factories import tiny_tables, with_future_changed
from tests.models.helpers import small_log


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 149), st.sampled_from([None, 0.05, 0.5, 1.0]))
def test_counts_target_events_before_the_time(event: int, window: float | None) -> None:
    log = replace(small_log(), is_target=np.arange(len(small_log())) % 3 > 0)
    t = int(log.time[event % len(log)])
    contents = np.arange(log.contents.count_before(t))

    scores = Popularity(log, window).score(np.array([0, 5]), contents, t)

    before = [e for e in range(len(log)) if log.time[e] < t]
    recent = before if window is None else before[len(before) - round(window * len(before)) :]
    expected = [sum(log.content[e] == c and log.is_target[e] for e in recent) for c in contents]
    assert scores.shape == (2, len(contents))
    assert scores[0].tolist() == scores[1].tolist() == expected


def test_cold_contents_score_zero() -> None:
    log = small_log()
    t = log.boundaries.t_test
    existing = np.arange(log.contents.count_before(t))
    cold = np.setdiff1d(existing, log.content[log.time < t])
    assert len(cold)
    assert not Popularity(log).score(np.array([0]), cold, t).any()


def test_is_a_scorer_that_only_ranks() -> None:
    peer = Popularity(small_log(), 0.1)
    assert isinstance(peer, Scorer)
    assert not isinstance(peer, MoodScorer)
    assert not peer.gives_logits


@pytest.mark.parametrize("window", [0, -0.1, 1.5, 30])
def test_the_window_is_a_share(window: float) -> None:
    with pytest.raises(UserError, match="share"):
        Popularity(small_log(), window)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000), st.sampled_from([None, 0.2]))
def test_the_future_changes_no_score(seed: int, window: float | None) -> None:
    tables = tiny_tables(seed % 5)
    boundaries = prepare(tables, LogSettings()).log.boundaries
    fixed = LogSettings(boundaries=[np.datetime64(t, "ns").astype(str) for t in (boundaries.t_val, boundaries.t_test)])
    changed = with_future_changed(tables, boundaries.t_val, np.random.default_rng(seed))
    logs = [prepare(each, fixed).log for each in (tables, changed)]
    contents = np.arange(logs[0].contents.count_before(boundaries.t_val))
    scores = [Popularity(log, window).score(np.array([0]), contents, boundaries.t_val) for log in logs]
    assert torch.equal(*scores)
