"""iALS solves its least squares, BPR ranks what was met first."""

import numpy as np
import pytest

from recsys.models.baselines.bpr import Bpr
from recsys.models.baselines.ials import Ials
from tests.graph.logs import log_of
from tests.models.peers import dense_interactions, mixed_log


@pytest.mark.parametrize(("events", "half_life"), [("target", None), ("all", 0.2)])
def test_ials_solves_the_weighted_regression_of_every_content(events: str, half_life: float | None) -> None:
    log, alpha, penalty, t = mixed_log(), 4.0, 0.5, mixed_log().boundaries.t_test
    peer = Ials(log, factors=3, alpha=alpha, regularization=penalty, iterations=200, events=events, half_life=half_life)
    met = dense_interactions(log, t, events, half_life)
    warm = np.flatnonzero(met.any(axis=1))
    scores = peer.score(warm, np.arange(met.shape[1]), t).numpy().astype(np.float64)

    # Scores have rank 3, so their left singular vectors span the users' vectors, whichever basis these are in.
    users = peer._users[warm].astype(np.float64)
    for content in range(met.shape[1]):
        confidence = np.where(met[warm, content] > 0, 1 + alpha * met[warm, content], 1.0)
        label = (met[warm, content] > 0).astype(float)
        gram = (users * confidence[:, None]).T @ users + penalty * np.eye(3)
        vector = np.linalg.solve(gram, users.T @ (confidence * label))
        np.testing.assert_allclose(scores[:, content], users @ vector, atol=2e-3)


def test_bpr_ranks_what_alike_users_met_first() -> None:
    # Two groups of six users and six contents; each user misses one content of its group.
    pairs = [(u, c) for u in range(12) for c in range(12) if u // 6 == c // 6 and u != c]
    first = [(0, 1), *((u, 0) for u in range(1, 6)), *((u, 7) for u in (6, *range(8, 12))), (7, 6)]
    order = [*first, *(pair for pair in pairs if pair not in first)]
    numbers = {u: i for i, u in enumerate(dict.fromkeys(u for u, _ in order))}
    contents = {c: i for i, c in enumerate(dict.fromkeys(c for _, c in order))}
    events = [(numbers[u], contents[c], "view", None, 10 + time) for time, (u, c) in enumerate(order)]
    log = log_of(events, t_val=100, t_test=101)
    scores = (
        Bpr(log, factors=4, iterations=500, regularization=0.01, window=None)
        .score(np.arange(12), np.arange(12), 100)
        .numpy()
    )
    for user in range(12):
        unmet = [c for c in range(12) if user // 6 != c // 6]
        assert scores[numbers[user], contents[user]] > max(scores[numbers[user], contents[c]] for c in unmet)
