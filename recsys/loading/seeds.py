"""What training asks the model to predict: windows of the training period and their seed edges.

Each window of snapshot training repeats the situation of evaluation at an earlier time: a query time t, what exists at
t, and the new pairs that come after it. Static training knows one window only, whose pairs lie before its time.
`recsys.loading.snapshot_loader` and `static_loader` make batches of them.
"""

import logging
from dataclasses import dataclass, replace

import numpy as np

from recsys.checks import check_count, check_number
from recsys.data.event_log import EventLog
from recsys.data.interaction_index import InteractionIndex
from recsys.data.positions import positions
from recsys.errors import UserError

logger = logging.getLogger(__name__)

FEWEST_WINDOWS, USUAL_WINDOWS, MOST_WINDOWS = 12, 24, 48
# What becomes of a target event; of several windows that it lies in, the last counts unless it is a seed of one.
_FATES = (
    "before the first window",
    "of contents newer than their window",
    "of pairs met before their window",
    "of users with no content left as a negative",
    "that repeat a pair of their window",
    "that are seeds",
)
_EARLY, _UNBORN, _MET, _UNABLE, _REPEATED, _SEED = range(len(_FATES))
SMALL_LOG, LARGE_LOG = 20_000, 100_000  # events from which on there are fewer than most, and fewer than usual


@dataclass(frozen=True)
class Window:
    """Seeds of one training window: B distinct (user, content) pairs, sorted by user, then content.

    Attributes:
        time: the query time: the message graph is the log before it; ns.
        num_contents: contents that exist at `time`.
        num_users: users that exist at `time`; seeds of other users are newcomers'.
        user, content: rows in the log, int64, [B].
        label: the largest soft label over the pair's target events in the window, float32, [B].
    """

    time: int
    num_contents: int
    num_users: int
    user: np.ndarray
    content: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    @property
    def newcomers(self) -> np.ndarray:
        """Users of seeds who do not exist yet at `time`, rows in the log, ascending, int64."""
        return np.unique(self.user[self.user >= self.num_users])

    def place_of(self, user: np.ndarray, content: np.ndarray) -> np.ndarray:
        """Place of each (user, content) pair among the seeds, -1 for none; contents exist at `time`; both broadcast."""
        return place_in(user * self.num_contents + content, self.user * self.num_contents + self.content)


def training_windows(
    log: EventLog,
    index: InteractionIndex,
    *,
    snapshots: int | None = None,
    start_share: float = 0.3,
    reach: int | None = None,
) -> list[Window]:
    """Cut the training period [first event, t_val) into windows and find the seeds of each.

    The cuts lie at equal numbers of events between `start_share` of the training events and t_val; cuts that fall on
    one time are one. A window goes from its cut t to the `reach`-th cut after it, or to t_val if there are not so many:
    above 1 windows overlap. Its seeds are its target events as distinct (user, content) pairs whose content exists
    strictly before t and which the user had not met before t.

    Args:
        log: the event log.
        index: its interaction index.
        snapshots: number of windows; those without a seed are left out. None goes by the log (see `num_windows`).
        start_share: share of the training events that only serve as history, in [0, 1).
        reach: how many cuts on a window ends, at least 1. None for 1 with up to 12 cuts, as windows are long then, and
            2 with more; a log whose validation has joined training goes by the cuts that validation knew.

    Returns:
        The windows that have seeds, in time order.

    Raises:
        UserError: for arguments out of range, or if no window has a seed.
    """
    check_count("loader.reach", reach, 1, optional=True)
    snapshots = num_windows(log) if snapshots is None else snapshots
    cuts = cut_times(log, snapshots, start_share)
    if reach is None:
        reach = 1 if len(cut_times(_as_chosen(log), snapshots, start_share)) <= FEWEST_WINDOWS else 2
    stops = np.append(cuts, np.full(reach, log.boundaries.t_val))[reach:]
    fate = np.full(log.count_before(log.boundaries.t_val), _EARLY, dtype=np.int8)
    windows = [_window(log, index, int(t), int(stop), fate) for t, stop in zip(cuts, stops, strict=True)]
    number = np.bincount(fate[log.is_target[: len(fate)]], minlength=len(_FATES))
    logger.info(
        "%d training windows with %s seeds; target events before t_val that are no seed of a window: %s.",
        len(windows),
        ", ".join(str(len(window)) for window in windows),
        "; ".join(f"{number[reason]} {_FATES[reason]}" for reason in range(_SEED)),
    )
    windows = [window for window in windows if len(window)]
    if not windows:
        raise UserError(
            f"No training window of {log.name!r} has a seed: before validation, no target event is a user's first with "
            "a content that existed before the window; use more windows (loader.snapshots), start earlier "
            "(loader.start_share) or choose other target events (data.target)."
        )
    return windows


def training_pairs(log: EventLog, index: InteractionIndex) -> Window:
    """All (user, content) pairs with a target event in the training period [first event, t_val): one window at t_val.

    Raises:
        UserError: if there is none whose user has a content left as a negative.
    """
    t_val = log.boundaries.t_val
    num_contents = log.contents.count_before(t_val)
    user, content, label, _ = _pairs(log, np.flatnonzero(log.is_target[: log.count_before(t_val)]))
    users, place = np.unique(user, return_inverse=True)
    # The pairs are part of their users' histories.
    able = np.bincount(index.history(users, t_val)[0], minlength=len(users))[place] < num_contents
    if not able.any():
        raise UserError(
            f"The training period of {log.name!r} has no pair to learn from: before validation, no user with a target "
            "event has a content left as a negative; choose other target events (data.target) or a larger "
            "data.train_share."
        )
    logger.info("%d training pairs; %d of users with no content left as a negative.", able.sum(), (~able).sum())
    return Window(
        time=t_val,
        num_contents=num_contents,
        num_users=log.users.count_before(t_val),
        user=user[able],
        content=content[able],
        label=label[able],
    )


def num_windows(log: EventLog) -> int:
    """How many windows suit the log: 24, up to 48 with fewer than 20,000 events before validation, 12 with 200,000.

    A window is a training step: in a small log two dozen of them teach little, and more cost little time; in a large
    one each takes long. A log whose validation has joined training keeps the number that validation knew, as it is
    trained for the epochs chosen there.
    """
    known = _as_chosen(log)
    num_events = max(known.count_before(known.boundaries.t_val), 1)
    affordable = min(USUAL_WINDOWS * LARGE_LOG // num_events, USUAL_WINDOWS)
    suited = max(USUAL_WINDOWS * SMALL_LOG // num_events, affordable)
    return min(max(suited, FEWEST_WINDOWS), MOST_WINDOWS)


def cut_times(log: EventLog, snapshots: int, start_share: float) -> np.ndarray:
    """Distinct times at equal numbers of events between `start_share` of the training events and t_val; ns, [K].

    Raises:
        UserError: for arguments out of range, or if nothing happened before t_val.
    """
    check_count("loader.snapshots", snapshots, 1)
    check_number("loader.start_share", start_share, 0, 1, below=True)
    num_events = log.count_before(log.boundaries.t_val)
    if not num_events:
        raise UserError(f"The training period of {log.name!r} has no event: use a larger data.train_share.")
    start = int(start_share * num_events)
    return np.unique(log.time[start + (num_events - start) * np.arange(snapshots) // snapshots])


def _as_chosen(log: EventLog) -> EventLog:
    """The log with the training part that validation has chosen for."""
    chosen_at = log.boundaries.chosen_at
    return log if chosen_at is None else replace(log, boundaries=replace(log.boundaries, t_val=chosen_at))


def _window(log: EventLog, index: InteractionIndex, t: int, stop: int, fate: np.ndarray) -> Window:
    """The seeds of [t, stop); notes in `fate` what becomes of its target events, int8, [events before t_val]."""
    num_contents = log.contents.count_before(t)
    event = log.count_before(t) + np.flatnonzero(log.is_target[log.count_before(t) : log.count_before(stop)])

    def becomes(reason: int, events: np.ndarray) -> None:
        fate[events[fate[events] != _SEED]] = reason

    unborn = log.content[event] >= num_contents
    becomes(_UNBORN, event[unborn])
    event = event[~unborn]
    met = index.seen_before(log.user[event], log.content[event], t)
    becomes(_MET, event[met])
    event = event[~met]

    user, content, label, pair = _pairs(log, event)
    able = _num_negatives(index, user, num_contents, t) > 0
    becomes(_UNABLE, event[~able[pair]])
    becomes(_REPEATED, event[able[pair]])
    _, first = np.unique(pair, return_index=True)
    fate[event[first[able]]] = _SEED
    return Window(
        time=t,
        num_contents=num_contents,
        num_users=log.users.count_before(t),
        user=user[able],
        content=content[able],
        label=label[able],
    )


def _pairs(log: EventLog, event: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distinct (user, content) pairs of events, sorted: user, content, largest label, and the pair of each event."""
    keys, pair = np.unique(log.user[event] * len(log.contents) + log.content[event], return_inverse=True)
    label = np.zeros(len(keys), dtype=np.float32)
    np.maximum.at(label, pair, log.label[event])
    user, content = np.divmod(keys, len(log.contents))
    return user, content, label, pair


def _num_negatives(index: InteractionIndex, user: np.ndarray, num_contents: int, t: int) -> np.ndarray:
    """Contents that exist at t and are neither history nor a positive of each pair's user, int64, [P]."""
    users, place, positives = np.unique(user, return_inverse=True, return_counts=True)
    history = np.bincount(index.history(users, t)[0], minlength=len(users))
    return (num_contents - history - positives)[place]


def place_in(keys: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """Place of each key among the ascending ones, -1 where it is none of them; int64 of the keys' shape."""
    if not len(ascending):
        return np.full(keys.shape, -1)
    place = np.minimum(positions(ascending, keys), len(ascending) - 1)
    return np.where(ascending[place] == keys, place, -1)
