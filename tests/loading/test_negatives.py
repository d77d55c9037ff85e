import logging
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from recsys.data.event_log import EventLog
from recsys.data.interaction_index import InteractionIndex
from recsys.errors import UserError
from recsys.loading import proposals
from recsys.loading.negatives import Hard, InBatch, NegativeRequest, NegativeSampler, Popularity, Uniform
from tests.loading.helpers import hand_log, random_log

SAMPLERS: dict[str, NegativeSampler] = {
    "uniform": Uniform(count=4),
    "popularity": Popularity(alpha=0.5, count=4),
    "in_batch": InBatch(count=4),
    "hard": Hard(pool=6, count=4),
}
# Contents 0 and 1 have no event; before t = 50 content 2 has 3 events and content 3 has one, later ones have more.
EVENTS = [(0, 2, 10), (1, 2, 20), (2, 3, 30), (2, 2, 40), (0, 3, 50), (1, 3, 60), (3, 4, 70), (3, 4, 80)]
LOG = hand_log(EVENTS, t_val=80)


def request(
    log: EventLog,
    positive: list[int],
    time: list[int],
    forbidden: Sequence[tuple[int, int]] = (),
    shared_by: int = 1,
) -> NegativeRequest:
    """Rows that must not get their own positive nor the contents of the (row, content) pairs in `forbidden`."""
    table = np.zeros((len(positive), len(log.contents)), dtype=bool)
    for row, content in [*enumerate(positive), *forbidden]:
        table[row, content] = True
    return NegativeRequest(log, np.array(positive), np.array(time), lambda row, content: table[row, content], shared_by)


def assert_drawn_by(weights: dict[int, float], drawn: np.ndarray) -> None:
    """Whether the contents were drawn in proportion to the weights, and no others, by a chi-square test."""
    counts = np.bincount(drawn, minlength=max(weights) + 1)
    assert set(np.flatnonzero(counts)) == set(weights)
    expected = np.array(list(weights.values())) * len(drawn) / sum(weights.values())
    assert chisquare(counts[list(weights)], expected).pvalue > 1e-3


@pytest.mark.parametrize("rounds", [0, 1, 8])
@pytest.mark.parametrize("name", SAMPLERS)
@given(seed=st.integers(0, 10_000), shared_by=st.sampled_from([1, 2, 100]))
@settings(deadline=None, max_examples=20)
def test_negatives_are_born_and_never_true_and_only_hopeless_rows_are_left_out(
    name: str, rounds: int, seed: int, shared_by: int
) -> None:
    rng = np.random.default_rng(seed)
    log = random_log(seed % 7)
    index = InteractionIndex(log)
    event = rng.choice(np.arange(1, len(log)), 10)
    # Each row's query time is any time up to its event's; some lie before anything exists.
    time = np.minimum(log.time[event], log.time[rng.integers(0, len(log), 10)] - rng.integers(0, 2))
    time[:5] = time[0]
    user, positive = log.user[event], log.content[event]
    pairs = set(zip(user.tolist(), positive.tolist(), strict=True))

    def is_forbidden(row: np.ndarray, content: np.ndarray) -> np.ndarray:
        row, content = np.broadcast_arrays(row, content)
        users = user[row]
        true = [(u, c) in pairs for u, c in zip(users.ravel().tolist(), content.ravel().tolist(), strict=True)]
        return index.seen_before(users, content, time[row]) | np.array(true, dtype=bool).reshape(row.shape)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proposals, "_ROUNDS", rounds)
        drawn = SAMPLERS[name].sample(NegativeRequest(log, positive, time, is_forbidden, shared_by), rng)

    valid = {
        row: {
            content
            for content in range(len(log.contents))
            if log.contents.exists_from[content] < time[row]
            and (user[row], content) not in pairs
            and not ((log.user == user[row]) & (log.content == content) & (log.time < time[row])).any()
        }
        for row in range(10)
    }
    assert drawn.row.tolist() == [row for row in range(10) if valid[row]]
    assert drawn.content.shape == (len(drawn.row), 6 if name == "hard" else 4)
    assert drawn.log_q.shape == (len(drawn.row), 7 if name == "hard" else 5)
    for row, contents in zip(drawn.row, drawn.content, strict=True):
        assert set(contents.tolist()) <= valid[row]


@pytest.mark.parametrize("shared_by", [1, 2, 100])
@pytest.mark.parametrize("rounds", [0, 8])
def test_uniform_draws_every_valid_content_alike(rounds: int, shared_by: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "_ROUNDS", rounds)
    ask = request(LOG, positive=[2, 2, 0], time=[35, 80, 80], forbidden=[(1, 3)], shared_by=shared_by)
    drawn = Uniform(count=3000).sample(ask, np.random.default_rng(0))
    assert_drawn_by({0: 1, 1: 1, 3: 1}, drawn.content[0])
    assert_drawn_by({0: 1, 1: 1, 4: 1}, drawn.content[1])
    assert_drawn_by({1: 1, 2: 1, 3: 1, 4: 1}, drawn.content[2])


@pytest.mark.parametrize("shared_by", [1, 2, 100])
@pytest.mark.parametrize("rounds", [0, 8])
@pytest.mark.parametrize("alpha", [0.0, 0.75, 1.0])
def test_popularity_counts_events_before_each_rows_own_time(
    rounds: int, alpha: float, shared_by: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposals, "_ROUNDS", rounds)
    ask = request(LOG, positive=[0, 0, 0, 3], time=[50, 71, 15, 71], forbidden=[(1, 2)], shared_by=shared_by)
    drawn = Popularity(alpha=alpha, count=3000).sample(ask, np.random.default_rng(1))
    # (1 + events so far) ** alpha: content 2 has three events before 50, content 3 one; before 71 both have three.
    assert_drawn_by({1: 1, 2: 4**alpha, 3: 2**alpha}, drawn.content[0])
    assert_drawn_by({1: 1, 3: 4**alpha, 4: 2**alpha}, drawn.content[1])
    assert_drawn_by({1: 1, 2: 2**alpha}, drawn.content[2])
    assert_drawn_by({0: 1, 1: 1, 2: 4**alpha, 4: 2**alpha}, drawn.content[3])


@pytest.mark.parametrize("shared_by", [1, 2, 100])
@pytest.mark.parametrize("rounds", [0, 8])
def test_in_batch_draws_other_positives_as_often_as_they_occur(
    rounds: int, shared_by: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposals, "_ROUNDS", rounds)
    # The last row's content is not born at the first row's time, and the first row must not get content 1.
    ask = request(LOG, positive=[0, 1, 1, 2, 3, 3, 3, 4], time=[70] + [80] * 7, forbidden=[(0, 1)], shared_by=shared_by)
    drawn = InBatch(count=3000).sample(ask, np.random.default_rng(2))
    assert_drawn_by({2: 1, 3: 3}, drawn.content[0])
    assert_drawn_by({0: 1, 2: 1, 3: 3, 4: 1}, drawn.content[1])
    assert_drawn_by({0: 1, 1: 2, 2: 1, 4: 1}, drawn.content[4])


@pytest.mark.parametrize("name", SAMPLERS)
def test_rows_of_one_time_share_what_none_must_not_get(name: str) -> None:
    # Rows 0 to 2 have one time, and content 1 none of them must get: they differ where one's positive was proposed.
    ask = request(LOG, positive=[0, 0, 2, 3], time=[80, 80, 80, 75], forbidden=[(0, 1), (1, 1), (2, 1)], shared_by=3)
    some = {**SAMPLERS, "in_batch": InBatch(count=6)}[name].sample(ask, np.random.default_rng(0))
    assert (some.content[0] == some.content[1]).all()
    common = ~np.isin(some.content[0], [0, 2]) & ~np.isin(some.content[2], [0, 2])
    assert (some.content[0] == some.content[2])[common].all()
    assert len({tuple(row) for row in some.content.tolist()}) == 3
    ask = request(LOG, positive=[0, 0, 0, 0], time=[80] * 4, shared_by=2)
    one, two = Uniform(count=50).sample(ask, np.random.default_rng(0)).content.reshape(2, 2, 50)
    assert (one[0] == one[1]).all()
    assert (two[0] == two[1]).all()
    assert (one != two).any()


def test_log_q_is_the_log_of_the_proposals_probability() -> None:
    ask = request(LOG, positive=[0, 2], time=[50, 80])
    rng = np.random.default_rng(3)
    uniform = Uniform(count=5).sample(ask, rng)
    np.testing.assert_allclose(uniform.log_q, np.log([[1 / 4] * 6, [1 / 5] * 6]), rtol=1e-6)

    popular = Popularity(alpha=1.0, count=50).sample(ask, rng)
    probability = np.array([[1, 1, 4, 2, 0], [1, 1, 4, 4, 2]]) / [[8], [12]]
    for row in range(2):
        columns = [ask.positive[row], *popular.content[row]]
        np.testing.assert_allclose(popular.log_q[row], np.log(probability[row, columns]), rtol=1e-6)

    ask = request(LOG, positive=[0, 2, 2, 3], time=[80] * 4)
    in_batch = InBatch(count=50).sample(ask, rng)
    probability = np.array([1, 0, 2, 1]) / 4
    for row in range(4):
        columns = [ask.positive[row], *in_batch.content[row]]
        np.testing.assert_allclose(in_batch.log_q[row], np.log(probability[columns]), rtol=1e-6)
    assert uniform.log_q.dtype == popular.log_q.dtype == in_batch.log_q.dtype == np.float32


def test_in_batch_gives_uniform_negatives_to_rows_without_any_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Row 1 must not get the only other positive.
    ask = request(LOG, positive=[0, 2, 2], time=[80] * 3, forbidden=[(1, 0), (2, 0)])
    sampler = InBatch(count=1000)
    with caplog.at_level(logging.INFO, logger="recsys.loading.negatives"):
        drawn = sampler.sample(ask, np.random.default_rng(4))
        sampler.sample(ask, np.random.default_rng(4))
    assert [record.getMessage() for record in caplog.records] == [
        "In-batch negatives: 2 of 3 rows have no valid positive of another row in their batch and get uniform "
        "negatives (said once)."
    ]
    assert drawn.row.tolist() == [0, 1, 2]
    assert set(drawn.content[0]) == {2}
    np.testing.assert_allclose(drawn.log_q[0], np.log([1 / 3] + [2 / 3] * 1000), rtol=1e-6)
    for row in (1, 2):
        assert_drawn_by({1: 1, 3: 1, 4: 1}, drawn.content[row])
        np.testing.assert_allclose(drawn.log_q[row], np.log([1 / 5] * 1001), rtol=1e-6)


def test_hard_draws_a_pool_and_keeps_fewer() -> None:
    drawn = Hard(pool=7, count=2).sample(request(LOG, positive=[0], time=[80]), np.random.default_rng(5))
    assert drawn.content.shape == (1, 7)
    assert drawn.keep == 2
    assert Uniform(count=7).sample(request(LOG, positive=[0], time=[80]), np.random.default_rng(5)).keep == 7


@pytest.mark.parametrize("name", SAMPLERS)
def test_rows_without_any_valid_content_and_empty_requests(name: str) -> None:
    everything = [(1, content) for content in range(5)]
    # Nothing exists at the last row's time.
    ask = request(LOG, positive=[0, 1, 2, 3], time=[80, 80, 80, 0], forbidden=everything)
    assert SAMPLERS[name].sample(ask, np.random.default_rng(6)).row.tolist() == [0, 2]
    ask = request(LOG, positive=[0, 1], time=[0, 0])
    assert SAMPLERS[name].sample(ask, np.random.default_rng(6)).content.shape == (0, 6 if name == "hard" else 4)
    nothing = NegativeRequest(LOG, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), lambda row, _: row > 0)
    empty = SAMPLERS[name].sample(nothing, np.random.default_rng(6))
    assert empty.content.shape == (0, 6 if name == "hard" else 4)
    assert empty.log_q.shape == (0, 7 if name == "hard" else 5)


@pytest.mark.parametrize("shared_by", [1, 2, 100])
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_generator_draws_the_same(name: str, shared_by: int) -> None:
    ask = request(LOG, positive=[0, 1, 2, 3, 4] * 4, time=[80] * 20, shared_by=shared_by)
    first, again, other = (SAMPLERS[name].sample(ask, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert (first.content == again.content).all()
    assert (first.log_q == again.log_q).all()
    assert (first.content != other.content).any()


def test_popularity_follows_the_log_it_is_asked_about() -> None:
    sampler = Popularity(alpha=1.0, count=5)
    sampler.sample(request(LOG, positive=[0], time=[80]), np.random.default_rng(9))
    other = hand_log([(0, 1, 10), (0, 1, 20), (0, 1, 30)], t_val=30)
    drawn = sampler.sample(request(other, positive=[1], time=[30]), np.random.default_rng(9))
    np.testing.assert_allclose(drawn.log_q, np.log([[3 / 4] + [1 / 4] * 5]), rtol=1e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Uniform(count=0), "negatives.count is 0"),
        (lambda: Uniform(count=2.5), "negatives.count is 2.5: it must be a whole number of at least 1"),
        (lambda: Popularity(alpha="a"), "negatives.alpha is a: it must be a number of at least 0"),
        (lambda: InBatch(count=-1), "negatives.count is -1"),
        (lambda: Popularity(count=0), "negatives.count is 0"),
        (lambda: Popularity(alpha=-0.1), "negatives.alpha is -0.1"),
        (lambda: Popularity(alpha=float("nan")), "negatives.alpha is nan"),
        (lambda: Hard(pool=5, count=6), "negatives.pool is 5"),
        (lambda: Hard(pool=5, count=0), "negatives.count is 0"),
    ],
)
def test_arguments_out_of_range(build: Callable[[], NegativeSampler], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build()
