"""Numbers of users and contents by their first events, counted by hand; what comes later leaves them alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.graph.met_nodes import MetNodes
from recsys.graph.schema import CONTENT, USER
from tests.factories import tiny_log
from tests.graph.logs import log_of, with_other_future

ROWS = [(1, 2, 10), (0, 2, 20), (1, 0, 20), (3, 4, 30)]  # user, content, time


def test_numbers_by_hand() -> None:
    """Content 1 and user 2 exist without an event, contents 0 and 1 from early on."""
    created = {"content_created": {0: 1, 1: 2, 2: 3, 3: 25}, "user_created": {0: 4, 1: 5, 2: 15}}
    log = log_of([(u, c, "view", None, at) for u, c, at in ROWS], t_val=25, t_test=40, **created)
    met = MetNodes(log)
    assert met.num_met == {USER: 2, CONTENT: 2}
    users, contents = np.arange(4), np.arange(5)
    assert met.before(USER, users, 20).tolist() == [0, 1, 0, 0]
    assert met.before(USER, users, 21).tolist() == [2, 1, 0, 0]
    assert met.before(USER, users, 31).tolist() == [2, 1, 0, 3]
    assert met.before(CONTENT, contents, 31).tolist() == [2, 0, 1, 0, 3]
    assert met.before(CONTENT, contents[[4, 2, 2]], np.array([30, 10, 11])).tolist() == [0, 0, 1]


@pytest.mark.parametrize("node_type", [USER, CONTENT])
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 1.0))
def test_numbers_do_not_depend_on_what_happens_at_or_after_the_time(node_type: str, seed: int, share: float) -> None:
    rng, log = np.random.default_rng(seed), tiny_log(seed % 5)
    t = int(log.time[0] + share * (log.time[-1] - log.time[0]))
    nodes = log.users if node_type == USER else log.contents
    rows = np.arange(nodes.count_before(t))
    found = MetNodes(log).before(node_type, rows, t)
    assert np.array_equal(found, MetNodes(with_other_future(log, t, rng)).before(node_type, rows, t))
    of_event = (log.user if node_type == USER else log.content)[log.time < t]
    in_order = list(dict.fromkeys(of_event.tolist()))
    assert found.tolist() == [in_order.index(row) + 1 if row in in_order else 0 for row in rows]
