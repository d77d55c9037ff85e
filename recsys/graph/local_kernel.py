"""The compiled part of `local_walks`: who a user's last contents lead to, what those lead to, and the way back.

It runs without the interpreter's lock on queries [first, last).
"""

from typing import NamedTuple

import numpy as np

from recsys.compiled import outer
from recsys.graph.path_kernel import Adjacency, Breadth, degree_before, target_degree_before

# Where the ages of pairs are told apart, as shares of the events so far.
AGES = (0.01, 0.05, 0.2)
KINDS = 2 * (len(AGES) + 1)  # of a pair: its age, from the latest on, without and with a target event


class Reach(NamedTuple):
    """The first half of the walks of Q queries: from H pairs of their histories over E edges to R users.

    Attributes:
        offset: where each query's pairs, edges and users begin, int64, [Q + 1, 3].
        pair: pairs of the histories, rows of the users' `Adjacency`, a query's from the latest on, int64, [H].
        source: pair that each edge comes from, int64, [E].
        to: user that it leads to, int64, [E].
        kind: kind of the (content, user) pair that it is, int64, [E].
        scale: 1 / sqrt(degree) of its content over target pairs and over all, float32, [E, 2].
        user: users that are reached, int64, [R].
        degree: their degrees over target pairs and over all, at least 1, float32, [R, 2].
    """

    offset: np.ndarray
    pair: np.ndarray
    source: np.ndarray
    to: np.ndarray
    kind: np.ndarray
    scale: np.ndarray
    user: np.ndarray
    degree: np.ndarray


@outer
def write_reach(
    user: np.ndarray,
    num_events: np.ndarray,
    users: Adjacency,
    contents: Adjacency,
    breadth: Breadth,
    is_counting: bool,
    reach: Reach,
    first: int,
    last: int,
) -> None:
    """Fill a `Reach` whose offsets are known, or only count: then reach.offset[q + 1] gets the sizes of query q.

    Args:
        user: the user of each query, int64, [Q].
        num_events: how many events of the log it may see, int64, [Q].
        users: pairs of the users.
        contents: pairs of the contents.
        breadth: how far to walk.
        is_counting: whether to count only.
        reach: written to.
        first: first query.
        last: the query after the last.
    """
    slot = np.full(users.offset.shape[0] - 1, -1, np.int64)
    reached = np.empty(users.offset.shape[0] - 1, np.int64)
    for q in range(first, last):
        n = num_events[q]
        begin = users.offset[user[q]]
        end = begin + degree_before(users, user[q], n)
        num_pairs, num_edges, count = 0, 0, 0
        for start in range(end - 1, max(begin, end - breadth.history) - 1, -1):
            c = users.other[start]
            c_begin = contents.offset[c]
            c_degree = degree_before(contents, c, n)
            c_target_degree = max(target_degree_before(contents, c, n), 1)
            for i in range(max(c_begin, c_begin + c_degree - breadth.users), c_begin + c_degree):
                v = contents.other[i]
                if v == user[q]:
                    continue
                if slot[v] < 0:
                    slot[v] = count
                    reached[count] = v
                    count += 1
                if not is_counting:
                    edge = reach.offset[q, 1] + num_edges
                    reach.source[edge] = reach.offset[q, 0] + num_pairs
                    reach.to[edge] = reach.offset[q, 2] + slot[v]
                    reach.kind[edge] = _kind(contents.event[i], contents.target[i], n)
                    reach.scale[edge, 0] = 1 / np.sqrt(c_target_degree)
                    reach.scale[edge, 1] = 1 / np.sqrt(c_degree)
                num_edges += 1
            if not is_counting:
                reach.pair[reach.offset[q, 0] + num_pairs] = start
            num_pairs += 1
        for i in range(count):
            v = reached[i]
            slot[v] = -1
            if not is_counting:
                row = reach.offset[q, 2] + i
                reach.user[row] = v
                reach.degree[row, 0] = max(target_degree_before(users, v, n), 1)
                reach.degree[row, 1] = degree_before(users, v, n)
        if is_counting:
            reach.offset[q + 1, 0] = num_pairs
            reach.offset[q + 1, 1] = num_edges
            reach.offset[q + 1, 2] = count


@outer
def write_spread(
    user: np.ndarray,
    num_events: np.ndarray,
    candidate: np.ndarray,
    place: np.ndarray,
    reach: Reach,
    state: np.ndarray,
    weight: np.ndarray,
    of_targets: np.ndarray,
    users: Adjacency,
    contents: Adjacency,
    breadth: Breadth,
    out: np.ndarray,
    largest: np.ndarray,
    best: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Spread the states of the users reached to their contents; the largest of the contents not met becomes 1.

    Args:
        user: as for `write_reach`.
        num_events: as for `write_reach`.
        candidate: contents of all queries, int64, [N].
        place: where each query's candidates begin and end in `candidate`, and where in `out`, int64, [Q, 3].
        reach: the users reached.
        state: their states, float32, [R, K].
        weight: of each kind of pair, float32, [KINDS, K].
        of_targets: whether a state counts degrees over target pairs, bool, [K].
        users: as for `write_reach`.
        contents: as for `write_reach`.
        breadth: as for `write_reach`.
        out: written to, float32, [sum of candidates, K].
        largest: written to: the largest value before the division, float32, [Q, K].
        best: written to: the content that has it, -1 for none, int64, [Q, K].
        first: as for `write_reach`.
        last: as for `write_reach`.
    """
    num_contents, width = contents.offset.shape[0] - 1, state.shape[1]
    total = np.zeros((num_contents, width), np.float32)
    is_touched = np.zeros(num_contents, np.bool_)
    touched = np.empty(num_contents, np.int64)
    for q in range(first, last):
        n = num_events[q]
        count = 0
        for row in range(reach.offset[q, 2], reach.offset[q + 1, 2]):
            begin = users.offset[reach.user[row]]
            end = begin + degree_before(users, reach.user[row], n)
            for i in range(max(begin, end - breadth.contents), end):
                d = users.other[i]
                if not is_touched[d]:
                    is_touched[d] = True
                    touched[count] = d
                    count += 1
                kind = _kind(users.event[i], users.target[i], n)
                for k in range(width):
                    total[d, k] += state[row, k] * weight[kind, k]
        # What the user has met is no candidate, and would be the nearest to itself.
        begin = users.offset[user[q]]
        for i in range(begin, begin + degree_before(users, user[q], n)):
            total[users.other[i]] = 0.0
        largest[q] = 0.0
        best[q] = -1
        for i in range(count):
            d = touched[i]
            by_target, by_all = _scales(contents, d, n)
            for k in range(width):
                total[d, k] *= by_target if of_targets[k] else by_all
                if total[d, k] > largest[q, k]:
                    largest[q, k] = total[d, k]
                    best[q, k] = d
        for i in range(place[q, 1] - place[q, 0]):
            for k in range(width):
                value = total[candidate[place[q, 0] + i], k]
                out[place[q, 2] + i, k] = value / largest[q, k] if value > 0 else 0.0
        for i in range(count):
            total[touched[i]] = 0.0
            is_touched[touched[i]] = False


@outer
def write_gradients(
    user: np.ndarray,
    num_events: np.ndarray,
    candidate: np.ndarray,
    place: np.ndarray,
    reach: Reach,
    state: np.ndarray,
    weight: np.ndarray,
    of_targets: np.ndarray,
    users: Adjacency,
    contents: Adjacency,
    breadth: Breadth,
    out: np.ndarray,
    largest: np.ndarray,
    best: np.ndarray,
    gradient: np.ndarray,
    of_state: np.ndarray,
    of_weight: np.ndarray,
    first: int,
    last: int,
) -> None:
    """From the gradient of `out` of `write_spread` to those of the states and weights.

    Args:
        user: as for `write_spread`.
        num_events: as for `write_spread`.
        candidate: as for `write_spread`.
        place: as for `write_spread`.
        reach: as for `write_spread`.
        state: as for `write_spread`.
        weight: as for `write_spread`.
        of_targets: as for `write_spread`.
        users: as for `write_spread`.
        contents: as for `write_spread`.
        breadth: as for `write_spread`.
        out: as for `write_spread`.
        largest: as for `write_spread`.
        best: as for `write_spread`.
        gradient: of `out`, float32, [sum of candidates, K].
        of_state: written to, float32, [R, K].
        of_weight: written to, float32, [Q, KINDS, K]; its sum over queries is the gradient.
        first: as for `write_reach`.
        last: as for `write_reach`.
    """
    num_contents, width = contents.offset.shape[0] - 1, state.shape[1]
    total = np.zeros((num_contents, width), np.float32)  # the gradient of what a content collects
    is_asked = np.zeros(num_contents, np.bool_)
    by_largest = np.zeros(width, np.float32)
    for q in range(first, last):
        n = num_events[q]
        by_largest[:] = 0.0
        for i in range(place[q, 1] - place[q, 0]):
            d, row = candidate[place[q, 0] + i], place[q, 2] + i
            is_asked[d] = True
            by_target, by_all = _scales(contents, d, n)
            for k in range(width):
                if out[row, k] > 0:
                    by_largest[k] -= gradient[row, k] * out[row, k]
                if largest[q, k] > 0:
                    total[d, k] += gradient[row, k] * (by_target if of_targets[k] else by_all) / largest[q, k]
        for k in range(width):
            if best[q, k] >= 0:
                d = best[q, k]
                is_asked[d] = True
                by_target, by_all = _scales(contents, d, n)
                total[d, k] += by_largest[k] * (by_target if of_targets[k] else by_all) / largest[q, k]
        begin = users.offset[user[q]]
        for i in range(begin, begin + degree_before(users, user[q], n)):
            is_asked[users.other[i]] = False
            total[users.other[i]] = 0.0
        of_weight[q] = 0.0
        for row in range(reach.offset[q, 2], reach.offset[q + 1, 2]):
            of_state[row] = 0.0
            begin = users.offset[reach.user[row]]
            end = begin + degree_before(users, reach.user[row], n)
            for i in range(max(begin, end - breadth.contents), end):
                d = users.other[i]
                if is_asked[d]:
                    kind = _kind(users.event[i], users.target[i], n)
                    for k in range(width):
                        of_state[row, k] += total[d, k] * weight[kind, k]
                        of_weight[q, kind, k] += total[d, k] * state[row, k]
        for i in range(place[q, 0], place[q, 1]):
            is_asked[candidate[i]] = False
            total[candidate[i]] = 0.0
        for k in range(width):
            if best[q, k] >= 0:
                is_asked[best[q, k]] = False
                total[best[q, k]] = 0.0


@outer
def _kind(event: int, target: int, n: int) -> int:
    """Kind of a pair seen from event `n` on: how many AGES it is at least old, and beyond those with a target event."""
    age = n - 1 - event
    kind = 0
    for share in AGES:
        kind += age >= share * n
    return kind + (len(AGES) + 1 if target < n else 0)


@outer
def _scales(contents: Adjacency, d: int, n: int) -> tuple[np.float32, np.float32]:
    """1 / sqrt(degree) of a content over target pairs and over all."""
    by_target = np.float32(1 / np.sqrt(max(target_degree_before(contents, d, n), 1)))
    return by_target, np.float32(1 / np.sqrt(max(degree_before(contents, d, n), 1)))
