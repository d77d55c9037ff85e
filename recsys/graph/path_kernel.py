"""The compiled part of `pair_paths`: it walks from a user's last contents over their users to other contents.

It runs without the interpreter's lock on queries [first, last).
"""

from typing import NamedTuple

import numpy as np

from recsys.compiled import outer

# The signals of paths, in order; `pair_paths` says what they are.
PATH_SIGNALS = (
    "target_paths",
    "all_paths",
    "all_paths_of_late",
    "late_paths_of_late",
    "target_cosine",
    "all_cosine",
    "next",
    "next_after_last",
)
DECAYS = 4096  # steps in which the age of an event is told apart


class Adjacency(NamedTuple):
    """The (user, content) pairs of every node, each as of the first event between the two, in time order.

    Attributes:
        offset: where each node's pairs begin, int64, [nodes + 1].
        event: number of the pair's first event in the log, ascending for each node, int32, [pairs].
        target: number of its first target event, a number beyond the log if it has none, int32, [pairs].
        other: the node at the other end, int32, [pairs].
        place: where the same pair is in the list of the node at the other end, int32, [pairs].
        target_offset: where each node's targets begin, int64, [nodes + 1].
        targets: `target` of the pairs that have one, ascending for each node, int32, [pairs with targets].
    """

    offset: np.ndarray
    event: np.ndarray
    target: np.ndarray
    other: np.ndarray
    place: np.ndarray
    target_offset: np.ndarray
    targets: np.ndarray


class Breadth(NamedTuple):
    """How far a walk goes.

    Attributes:
        history: contents of the user it starts from, the latest met.
        users: users of each of these, the latest to meet it.
        contents: contents of each of these users, the latest met.
        steps: how many contents later one still counts as next.
    """

    history: int
    users: int
    contents: int
    steps: int


class Groups(NamedTuple):
    """The groups (creators, tags of one kind) that contents belong to, both ways; what contents have none of is empty.

    Attributes:
        of_content: groups of each content: offsets int64 [contents + 1] and groups int32.
        members: contents of each group, ascending: offsets int64 [groups + 1] and contents int32.
    """

    offset: np.ndarray
    group: np.ndarray
    member_offset: np.ndarray
    member: np.ndarray


@outer
def write_paths(
    user: np.ndarray,
    num_events: np.ndarray,
    candidate: np.ndarray,
    place: np.ndarray,
    users: Adjacency,
    contents: Adjacency,
    breadth: Breadth,
    kept: float,
    decay: np.ndarray,
    out: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Signals of each query's candidates; each signal's largest value over all contents the user has not met is 1.

    Args:
        user: the user of each query, int64, [Q].
        num_events: how many events of the log it may see, int64, [Q].
        candidate: contents of all queries, int64, [N].
        place: where each query's candidates begin and end in `candidate`, and where in `out`, int64, [Q, 3].
        users: pairs of the users.
        contents: pairs of the contents.
        breadth: how far to walk.
        kept: weight that a content of the history has beside the one after it.
        decay: weight of an event by its age as a share of the log, float32, [DECAYS + 1].
        out: written to from column 0 on, float32 [sum of candidates, signals].
        first: first query.
        last: the query after the last.
    """
    num_contents = contents.offset.shape[0] - 1
    signals = len(PATH_SIGNALS)
    total = np.zeros((num_contents, signals), np.float32)
    largest = np.zeros(signals, np.float32)
    is_touched = np.zeros(num_contents, np.bool_)
    touched = np.empty(num_contents, np.int64)
    for q in range(first, last):
        n = num_events[q]
        count = _walk(user[q], n, users, contents, breadth, kept, decay, total, is_touched, touched)
        largest[:] = 0.0
        for i in range(count):
            c = touched[i]
            by_all = np.float32(1 / np.sqrt(max(degree_before(contents, c, n), 1)))
            by_target = np.float32(1 / np.sqrt(max(target_degree_before(contents, c, n), 1)))
            for k in range(signals):
                total[c, k] *= by_target if k in (0, 4) else by_all
        # What the user has met is no candidate, and would be the nearest to itself.
        begin = users.offset[user[q]]
        for i in range(begin, begin + degree_before(users, user[q], n)):
            total[users.other[i]] = 0.0
        for i in range(count):
            for k in range(signals):
                largest[k] = max(largest[k], total[touched[i], k])
        for k in range(signals):
            largest[k] = 1 / largest[k] if largest[k] > 0 else 0.0
        row = place[q, 2]
        for i in range(place[q, 0], place[q, 1]):
            c = candidate[i]
            for k in range(signals):
                out[row, k] = total[c, k] * largest[k]
            row += 1
        for i in range(count):
            total[touched[i]] = 0.0
            is_touched[touched[i]] = False


@outer
def _walk(
    user: int,
    n: int,
    users: Adjacency,
    contents: Adjacency,
    breadth: Breadth,
    kept: float,
    decay: np.ndarray,
    total: np.ndarray,
    is_touched: np.ndarray,
    touched: np.ndarray,
) -> int:
    """Add up all walks of a user into `total`; lists the contents that they end at and gives their number."""
    count = 0
    begin = users.offset[user]
    end = begin + degree_before(users, user, n)
    if end == begin:
        return 0
    age = np.float32(DECAYS / n)
    of_late = np.float32(1.0)
    for start in range(end - 1, max(begin, end - breadth.history) - 1, -1):
        c = users.other[start]
        c_begin, c_degree = contents.offset[c], degree_before(contents, c, n)
        c_end = c_begin + c_degree
        cosine = np.float32(1 / np.sqrt(c_degree))
        target_cosine = np.float32(0.0)
        if users.target[start] < n:
            target_cosine = np.float32(1 / np.sqrt(target_degree_before(contents, c, n)))
        for i in range(max(c_begin, c_end - breadth.users), c_end):
            v = contents.other[i]
            if v == user:
                continue
            here, v_begin, v_degree = contents.place[i], users.offset[v], degree_before(users, v, n)
            v_end = v_begin + v_degree
            late = decay[int((n - 1 - contents.event[i]) * age)]
            path = cosine / v_degree
            recent_path = path * of_late
            late_path = recent_path * late
            by_target = target_cosine if contents.target[i] < n else np.float32(0.0)
            target_path = by_target / max(target_degree_before(users, v, n), 1)
            for m in range(max(v_begin, v_end - breadth.contents), v_end):
                d = users.other[m]
                if not is_touched[d]:
                    is_touched[d] = True
                    touched[count] = d
                    count += 1
                if users.target[m] < n:
                    total[d, 0] += target_path
                    total[d, 4] += by_target
                total[d, 1] += path
                total[d, 2] += recent_path
                total[d, 3] += late_path * decay[int((n - 1 - users.event[m]) * age)]
                total[d, 5] += cosine
            for m in range(here + 1, min(here + 1 + breadth.steps, v_end)):
                d = users.other[m]
                if not is_touched[d]:
                    is_touched[d] = True
                    touched[count] = d
                    count += 1
                near = cosine * late / np.float32(m - here)
                total[d, 6] += near * of_late
                if start == end - 1:
                    total[d, 7] += near
        of_late *= kept
    return count


@outer
def write_affinities(
    user: np.ndarray,
    num_events: np.ndarray,
    num_contents: np.ndarray,
    candidate: np.ndarray,
    place: np.ndarray,
    users: Adjacency,
    groups: Groups,
    history: int,
    column: int,
    out: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Cosine of the user's profile over groups with each candidate's own groups.

    A profile counts the groups of the contents that the user met last, each weighted by log(1 + contents / contents of
    the group).

    Args:
        user: as for `write_paths`.
        num_events: as for `write_paths`.
        num_contents: contents that exist at each query's time, int64, [Q].
        candidate: as for `write_paths`.
        place: as for `write_paths`.
        users: as for `write_paths`.
        groups: the groups of contents.
        history: contents behind a profile.
        column: of `out`.
        out: as for `write_paths`.
        first: as for `write_paths`.
        last: as for `write_paths`.
    """
    num_groups = groups.member_offset.shape[0] - 1
    profile = np.zeros(num_groups, np.float32)
    known = np.empty(num_groups, np.int64)
    for q in range(first, last):
        begin = users.offset[user[q]]
        end = begin + degree_before(users, user[q], num_events[q])
        count = 0
        for i in range(max(begin, end - history), end):
            c = users.other[i]
            size = groups.offset[c + 1] - groups.offset[c]
            for j in range(groups.offset[c], groups.offset[c + 1]):
                g = groups.group[j]
                if profile[g] == 0.0:
                    known[count] = g
                    count += 1
                profile[g] += np.float32(1.0 / np.sqrt(size))
        norm = 0.0
        for i in range(count):
            g = known[i]
            stop = _place(groups.member, groups.member_offset[g], groups.member_offset[g + 1], num_contents[q])
            profile[g] *= np.log1p(num_contents[q] / max(stop - groups.member_offset[g], 1))
            norm += profile[g] * profile[g]
        inverse = 1 / np.sqrt(norm) if norm > 0 else 0.0
        row = place[q, 2]
        for i in range(place[q, 0], place[q, 1]):
            c = candidate[i]
            value = 0.0
            for j in range(groups.offset[c], groups.offset[c + 1]):
                value += profile[groups.group[j]]
            out[row, column] = value * inverse / np.sqrt(max(groups.offset[c + 1] - groups.offset[c], 1))
            row += 1
        for i in range(count):
            profile[known[i]] = 0.0


@outer
def degree_before(nodes: Adjacency, v: int, n: int) -> int:
    """Pairs of a node among the first `n` events."""
    degree: int = _place(nodes.event, nodes.offset[v], nodes.offset[v + 1], n) - nodes.offset[v]
    return degree


@outer
def target_degree_before(nodes: Adjacency, v: int, n: int) -> int:
    """Pairs of a node with a target event among the first `n` events."""
    begin = nodes.target_offset[v]
    degree: int = _place(nodes.targets, begin, nodes.target_offset[v + 1], n) - begin
    return degree


@outer
def _place(item: np.ndarray, begin: int, end: int, n: int) -> int:
    """First place in item[begin:end], ascending, whose item is at least `n`; `end` if there is none."""
    while begin < end:
        middle = (begin + end) // 2
        if item[middle] < n:
            begin = middle + 1
        else:
            end = middle
    return begin
