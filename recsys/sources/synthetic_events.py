"""What the users of the generated platform do: sessions, views drawn from the true click model, and reactions.

The users and contents come from `recsys.sources.synthetic_population`.
"""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from tqdm import tqdm

from recsys.errors import UserError
from recsys.sources.oracle import BASE_LOGIT, DAY, FOLLOW_WEIGHT, START, TASTE_WEIGHT, ClickModel, freshness, sigmoid
from recsys.sources.synthetic_population import MS, Population

SECOND = 10**9  # ns
# The steps of a visit to one content, in time order; the last is a view again, much later.
STEPS = ("view", "like", "inspire", "rating", "view")
VIEW, LIKE, INSPIRE, RATING, AGAIN = range(5)
NONE = -1  # time of a step that was not taken

VIEWS_PER_SESSION = 5.0
EVENTS_PER_VIEW = 1.5  # a little less than on a large platform, so that one wave is enough there
SLATE = 16  # contents shown at a time
MAX_SLATES = 12  # a user who has opened nothing by then gives up
VIEWS_PER_BIN = 500
MAX_BINS = 400
BLOCK = 1 << 20  # contents shown at a time over all users: bounds the memory
MAX_WAVES = 15


@dataclass(frozen=True)
class Visits:
    """Visits of users to contents, at most one a pair.

    Attributes:
        user, content: rows, int64, [n].
        time: when each of STEPS was taken, ns, NONE for never, int64, [n, 5]; ascending along a row.
        rating: 1..100, NaN without a rating, float32, [n].
    """

    user: np.ndarray
    content: np.ndarray
    time: np.ndarray
    rating: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    @property
    def num_events(self) -> int:
        """Number of steps taken."""
        return int((self.time != NONE).sum())

    def first_of_each_pair(self, num_contents: int) -> Self:
        """The first visit of each pair: what is left of drawing at every time from what the user has not seen yet."""
        order = np.argsort(self.time[:, VIEW], kind="stable")
        _, first = np.unique((self.user * num_contents + self.content)[order], return_index=True)
        return self.take(order[first])

    def take(self, rows: np.ndarray) -> Self:
        """The visits at `rows`."""
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def __add__(self, other: Self) -> Self:
        pairs = {f.name: [getattr(self, f.name), getattr(other, f.name)] for f in fields(self)}
        return type(self)(**{name: np.concatenate(pair) for name, pair in pairs.items()})


def draw_visits(rng: np.random.Generator, population: Population, num_events: int, end: int) -> Visits:
    """Visits with exactly `num_events` steps in [START, end), drawn in waves until there are enough.

    Raises:
        UserError: the users have seen nearly everything before there are enough.
    """
    num_contents = len(population.contents)
    num_views = round(num_events / EVENTS_PER_VIEW)
    visits = _draw_wave(rng, population, num_views, end, newcomers=True).first_of_each_pair(num_contents)
    gain = visits.num_events / num_views  # events a view that the last wave asked for
    for _ in range(MAX_WAVES):
        missing = num_events - visits.num_events
        if missing <= 0:
            return _cut(rng, visits, num_events)
        num_views = min(round(1.1 * missing / max(gain, 0.05)) + 20, num_events)
        wave = _draw_wave(rng, population, num_views, end, newcomers=False)
        visits = (visits + wave).first_of_each_pair(num_contents)
        gain = (visits.num_events - num_events + missing) / num_views
    raise UserError(
        f"The generated platform ran out of pairs at {visits.num_events} of {num_events} events:"
        f" ask for fewer events, or for more than {len(population.joined)} users and {num_contents} contents."
    )


def _draw_wave(rng: np.random.Generator, population: Population, num_views: int, end: int, newcomers: bool) -> Visits:
    """About `num_views` visits in sessions of their own; some pairs may come twice."""
    user, time = _draw_sessions(rng, population, num_views, end, newcomers)
    content = _draw_contents(rng, population.clicks, user, time)
    opened = content >= 0
    return _react(rng, population.clicks, user[opened], content[opened], time[opened], end=end)


def _draw_sessions(
    rng: np.random.Generator, population: Population, num_views: int, end: int, newcomers: bool
) -> tuple[np.ndarray, np.ndarray]:
    """User and time (ns, ascending) of about `num_views` views; with `newcomers`, most begin as they register."""
    num_sessions = max(round(num_views / VIEWS_PER_SESSION), 1)
    starter = np.empty(0, dtype=np.int64)
    if newcomers:
        new = np.flatnonzero(population.joined >= START)
        starter = new[rng.random(len(new)) < min(0.9, 0.3 * num_sessions / len(new))]
    begin = (np.maximum(population.joined, START) - START) / DAY
    stop = (np.minimum(population.leaves, end) - START) / DAY
    rush_begin, rush_stop = _rush(begin), _rush(stop)
    share = np.cumsum(population.activity * (rush_stop - rush_begin))
    num_others = max(num_sessions - len(starter), 1)
    other = np.searchsorted(share, rng.random(num_others) * share[-1], side="right")
    clock = rush_begin[other] + rng.random(num_others) * (rush_stop - rush_begin)[other]
    user = np.concatenate([starter, other])
    start = np.concatenate([population.joined[starter], START + (_unrush(clock, stop.max()) * DAY).astype(np.int64)])
    start = np.maximum(start, population.joined[user])  # interpolation may be some seconds early

    length = rng.geometric(1.0 / VIEWS_PER_SESSION, len(user))
    pause = rng.exponential(45.0, length.sum()) + 2.0
    elapsed = np.cumsum(pause)
    elapsed -= np.repeat(elapsed[np.cumsum(length) - length] - pause[np.cumsum(length) - length], length)
    user = np.repeat(user, length)
    time = (np.repeat(start, length) + (elapsed * SECOND).astype(np.int64)) // MS * MS
    order = np.argsort(time, kind="stable")
    order = order[time[order] < end]
    return user[order], time[order]


def _rush(days: np.ndarray) -> np.ndarray:
    """Traffic since START at each time (days), when a day's traffic is 1, its peak at 20:00 and its low at 8:00."""
    phase = 2 * np.pi * (days - 20 / 24)
    traffic: np.ndarray = days + 0.7 / (2 * np.pi) * (np.sin(phase) + np.sin(2 * np.pi * 20 / 24))
    return traffic


def _unrush(traffic: np.ndarray, days: float) -> np.ndarray:
    """Inverse of `_rush` on [0, days], by interpolation between quarter hours."""
    grid = np.linspace(0.0, days, int(np.ceil(days * 96)) + 1)
    return np.asarray(np.interp(traffic, _rush(grid), grid))


def _draw_contents(rng: np.random.Generator, clicks: ClickModel, user: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Content that each user opens at each time (ns, ascending), -1 where he gives up; int64, [n].

    Exact rejection sampling from the click model: contents are shown in proportion to attention, and the first one
    that appeals is opened. So that one cumulative sum serves many views, a bin of consecutive views shows contents by
    their attention at the bin's beginning, and passes over what has faded or is not uploaded yet.
    """
    content = np.full(len(user), -1, dtype=np.int64)
    num_bins = int(np.clip(len(user) // VIEWS_PER_BIN, 1, MAX_BINS))
    for rows in tqdm(np.array_split(np.arange(len(user)), num_bins), desc="events", disable=len(user) < 10**6):
        if not len(rows):
            continue
        known = int(np.searchsorted(clicks.created, time[rows[-1]], side="left"))
        age = np.maximum(time[rows[0]] - clicks.created[:known], 0) / DAY
        bound = clicks.reach[:known] * freshness(age, clicks.fade[:known])
        total = np.cumsum(bound)
        waiting = rows
        for _ in range(MAX_SLATES):
            for block in np.array_split(waiting, -(-len(waiting) * SLATE // BLOCK)):
                content[block] = _open_first(rng, clicks, user[block], time[block], bound=bound, total=total)
            waiting = waiting[content[waiting] < 0]
            if not len(waiting):
                break
    return content


def _open_first(
    rng: np.random.Generator,
    clicks: ClickModel,
    user: np.ndarray,
    time: np.ndarray,
    *,
    bound: np.ndarray,
    total: np.ndarray,
) -> np.ndarray:
    """Show a slate to each user, drawn by `bound` (cumulative sum: `total`); the first content he opens, or -1, [n]."""
    shape = (len(user), SLATE)
    shown = np.searchsorted(total, rng.random(shape) * total[-1], side="right").clip(max=len(bound) - 1)
    noticed = (clicks.attention(shown, time[:, None]) / bound[shown]).astype(np.float32)
    logit = np.einsum("nf,nsf->ns", clicks.taste(user, time), clicks.flavour[shown])
    logit = TASTE_WEIGHT * logit + np.float32(BASE_LOGIT)
    luck = rng.random(shape, dtype=np.float32)
    opened = luck < noticed * sigmoid(logit)
    # Following matters only to those whom it would win: look up no one else.
    row, place = np.nonzero(~opened & (luck < noticed * sigmoid(logit + np.float32(FOLLOW_WEIGHT))))
    opened[row, place] = clicks.follows(user[row], clicks.creator[shown[row, place]], time[row])
    first = np.argmax(opened, axis=1)
    chosen = shown[np.arange(len(user)), first]
    return np.where(opened.any(axis=1), chosen, -1)


def _react(
    rng: np.random.Generator, clicks: ClickModel, user: np.ndarray, content: np.ndarray, time: np.ndarray, *, end: int
) -> Visits:
    """What follows each view: a like if it pleased, an inspire after a like, a rating, rarely a second view."""
    count = len(user)
    match = np.einsum("nf,nf->n", clicks.taste(user, time), clicks.flavour[content])
    pleasure = TASTE_WEIGHT * match + FOLLOW_WEIGHT * clicks.follows(user, clicks.creator[content], time)
    pleasure = pleasure.astype(np.float32) + rng.standard_normal(count, dtype=np.float32)
    taken = np.zeros((count, len(STEPS)), dtype=bool)
    taken[:, VIEW] = True
    taken[:, LIKE] = rng.random(count) < sigmoid(pleasure - 7.8)
    taken[:, INSPIRE] = taken[:, LIKE] & (rng.random(count) < sigmoid(pleasure - 9.0))
    taken[:, RATING] = rng.random(count) < 0.1 + 0.15 * taken[:, LIKE] + 0.25 * taken[:, INSPIRE]
    taken[:, AGAIN] = rng.random(count) < 0.02
    rating = np.clip(np.rint(8.0 * pleasure + 6.0 * rng.standard_normal(count)), 1, 100)

    delay = np.zeros((count, len(STEPS)))
    for step, seconds in ((LIKE, 15.0), (INSPIRE, 30.0), (RATING, 60.0), (AGAIN, 2 * 86_400.0)):
        delay[:, step] = 0.001 + rng.lognormal(np.log(seconds), 0.8, count)
    elapsed = np.cumsum(np.where(taken, delay, 0.0), axis=1)
    times = time[:, None] + (elapsed * 1000).astype(np.int64) * MS
    taken &= times < end
    return Visits(
        user=user,
        content=content,
        time=np.where(taken, times, NONE),
        rating=np.where(taken[:, RATING], rating, np.nan).astype(np.float32),
    )


def _cut(rng: np.random.Generator, visits: Visits, num_events: int) -> Visits:
    """Random visits of exactly `num_events` steps; the last of them loses its last steps if need be."""
    visits = visits.take(rng.permutation(len(visits)))
    taken = visits.time != NONE
    length = taken.sum(axis=1)
    allowed = np.clip(num_events - (np.cumsum(length) - length), 0, length)
    kept = taken & (np.cumsum(taken, axis=1) <= allowed[:, None])
    visits = Visits(
        visits.user,
        visits.content,
        np.where(kept, visits.time, NONE),
        np.where(kept[:, RATING], visits.rating, np.nan).astype(np.float32),
    )
    return visits.take(np.flatnonzero(kept[:, VIEW]))
