"""The generated platform, the default source: a social content platform whose true preferences are known.

`recsys.sources.synthetic_population` draws who and what is there, `recsys.sources.synthetic_events` what happens, and
`recsys.sources.oracle` holds the truth behind both.
"""

import logging
import math
from numbers import Integral, Real

import numpy as np
import pandas as pd

from recsys.errors import UserError
from recsys.sources import base
from recsys.sources.base import Tables
from recsys.sources.oracle import DAY, START
from recsys.sources.synthetic_events import NONE, STEPS, Visits, draw_visits
from recsys.sources.synthetic_population import MS, draw_population

logger = logging.getLogger(__name__)

MAX_DAYS = 365  # the log begins on 2025-01-01 and must not reach into the future
MAX_DENSITY = 0.25  # events a (user, content) pair


class SyntheticPlatform:
    """A simulator of a social content platform, seeded and bit-reproducible.

    Users with drifting tastes come back in sessions (power-law activity, a daily rhythm) and open contents in
    proportion to attention x appeal: see `recsys.sources.oracle.ClickModel`, which `load` gives as `Tables.oracle`.
    Contents have a category, a creator, tags and moods that betray their flavour, a power-law reach and a life cycle.
    Views are followed by likes, likes by inspires, and any of them by a rating of 1..100 that grows with the match; a
    pair's events have strictly ascending times. Users and contents arrive all the time; some never see an event.
    Nothing in the tables knows anything later than its own creation time or event.

    Args:
        num_users: number of users, at least 20.
        num_contents: number of contents, at least 20.
        num_events: exact number of events, at least 100 and at most a quarter of users x contents.
        seed: the same seed gives the same bits, another seed other bits.
        days: span of the log from 2025-01-01 on, 1 to 365.
        drift: mean angle by which a user's taste turns over the span, radians.
        half_life: median age at which a content has lost half its attention, days.

    Raises:
        UserError: an argument is out of its range.
    """

    def __init__(
        self,
        *,
        num_users: int = 2000,
        num_contents: int = 3000,
        num_events: int = 60_000,
        seed: int = 0,
        days: float = 60.0,
        drift: float = 0.5,
        half_life: float = 6.0,
    ) -> None:
        self.num_users = _whole("num_users", num_users, 20)
        self.num_contents = _whole("num_contents", num_contents, 20)
        self.num_events = _whole("num_events", num_events, 100)
        self.seed = _whole("seed", seed, 0)
        self.days = _real("days", days, 1.0, MAX_DAYS)
        self.drift = _real("drift", drift, 0.0, 2 * math.pi)
        self.half_life = _real("half_life", half_life, 0.01, 10_000.0)
        most = int(MAX_DENSITY * self.num_users * self.num_contents)
        if self.num_events > most:
            raise UserError(
                f"num_events={num_events} of the generated platform is too many for {num_users} users and"
                f" {num_contents} contents: ask for at most {most}, or for more users and contents."
            )

    def load(self) -> Tables:
        """Generate the tables; times are unix milliseconds.

        Returns:
            Tables "synthetic" with interactions in time order, users, contents and the oracle.

        Raises:
            UserError: the events are too many for so few users and contents.
        """
        people, acts = np.random.default_rng(self.seed).spawn(2)
        population = draw_population(
            people,
            num_users=self.num_users,
            num_contents=self.num_contents,
            days=self.days,
            drift=self.drift,
            half_life=self.half_life,
        )
        end = START + int(self.days * DAY)
        visits = draw_visits(acts, population, self.num_events, end)
        logger.info("generated %d events, %d users, %d contents", self.num_events, self.num_users, self.num_contents)
        return Tables(
            name="synthetic",
            interactions=_interactions(visits),
            users=population.users,
            contents=population.contents,
            kinds={
                "users": {"age_band": "category", "country": "category", "following_count": "number"},
                "contents": {"duration_s": "number"},
            },
            oracle=population.clicks,
        )


def _interactions(visits: Visits) -> pd.DataFrame:
    """One row a step taken, in time order."""
    row, step = np.nonzero(visits.time != NONE)
    time = visits.time[row, step]
    order = np.argsort(time, kind="stable")
    row, step, time = row[order], step[order], time[order]
    is_rating = np.array([name == "rating" for name in STEPS])[step]
    return pd.DataFrame(
        {
            base.USER: visits.user[row] + 1,
            base.CONTENT: visits.content[row] + 1,
            base.TYPE: pd.Series(STEPS, dtype="str").take(step).array,
            base.VALUE: np.where(is_rating, visits.rating[row], np.float32(np.nan)),
            base.TIME: time // MS,
        }
    )


def _whole(name: str, value: object, least: int) -> int:
    """`value` as an int, or a UserError."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise UserError(f"{name}={value!r} of the generated platform must be a whole number of at least {least}.")
    return int(value)


def _real(name: str, value: object, least: float, most: float) -> float:
    """`value` as a float, or a UserError."""
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= float(value) <= most:
        raise UserError(f"{name}={value!r} of the generated platform must be a number from {least:g} to {most:g}.")
    return float(value)
