"""Who and what the generated platform consists of: users, creators, follows and contents, without any event.

`recsys.sources.synthetic_events` lets the users act; `recsys.sources.oracle` holds the tastes drawn here.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys.sources import base
from recsys.sources.oracle import DAY, FADE_POWER, START, ClickModel
from recsys.sources.synthetic_words import ADJECTIVES, AGE_BANDS, CATEGORIES, COUNTRIES, MOODS, TAGS

MS = 10**6  # ns; all generated times are whole milliseconds
FACTORS = len(MOODS)  # factor f of tastes and flavours is mood f
VETERANS, OLD_CONTENTS = 0.25, 0.15  # shares of users and contents that are there before the log begins
CREATORS, PUBLISHERS = 0.08, 0.02  # creators that are users, and those that are not, as shares of the users
TYPICAL_REACH = 0.02  # attention of the least noticed contents at upload
MAX_TAGS = 5
BLOCK = 20_000  # contents whose tags are drawn at a time


@dataclass(frozen=True)
class Population:
    """Everything on the platform but the events.

    Attributes:
        clicks: the true click model.
        users, contents: the tables, in order of creation.
        joined: registration, ns, int64, [num_users].
        leaves: when each user stops coming back, ns, int64, [num_users].
        activity: sessions a day, up to one common factor, float64, [num_users].
    """

    clicks: ClickModel
    users: pd.DataFrame
    contents: pd.DataFrame
    joined: np.ndarray
    leaves: np.ndarray
    activity: np.ndarray


@dataclass(frozen=True)
class _Creators:
    """Creators: some of the users, then publishers. Attributes are [num_creators]; `style` is [num_creators, F]."""

    ids: np.ndarray
    since: np.ndarray
    style: np.ndarray
    audience: np.ndarray


def draw_population(
    rng: np.random.Generator, *, num_users: int, num_contents: int, days: float, drift: float, half_life: float
) -> Population:
    """Draw users and contents that arrive all through `days`.

    Args:
        rng: source of all randomness.
        num_users: number of users.
        num_contents: number of contents.
        days: span of the log.
        drift: mean angle by which a taste turns over the span, radians.
        half_life: median age at which a content's attention has halved, days.
    """
    joined = _arrivals(rng, num_users, VETERANS, 180.0, days)
    age_band = rng.choice(len(AGE_BANDS), num_users, p=[0.15, 0.3, 0.25, 0.2, 0.1])
    country = rng.choice(len(COUNTRIES), num_users, p=_zipf(len(COUNTRIES)))
    centre = _unit(rng.standard_normal((len(CATEGORIES), FACTORS)))
    taste_from, taste_to = _draw_tastes(rng, age_band, country, centre)

    creators = _draw_creators(rng, joined, taste_from)
    follow_key, follow_time = _draw_follows(rng, joined, taste_from, creators)
    at_signup = follow_time == joined[follow_key // len(creators.ids)]
    following = np.bincount(follow_key[at_signup] // len(creators.ids), minlength=num_users)
    created = _arrivals(rng, num_contents, OLD_CONTENTS, 30.0, days)
    creator, category, flavour = _draw_flavours(rng, created, creators, centre)
    reach = TYPICAL_REACH * _pareto(rng, num_contents, 1.2) * np.sqrt(creators.audience[creator])
    clicks = ClickModel(
        taste_from=taste_from.astype(np.float32),
        taste_to=taste_to.astype(np.float32),
        turn=(drift / days * rng.uniform(0.5, 1.5, num_users)).astype(np.float32),
        flavour=flavour.astype(np.float32),
        reach=np.minimum(reach, 1.0),
        fade=half_life * rng.lognormal(0.0, 0.5, num_contents) / (2 ** (1 / FADE_POWER) - 1),
        created=created,
        creator=creator,
        follow_key=follow_key,
        follow_time=follow_time,
        num_creators=len(creators.ids),
    )
    users = pd.DataFrame(
        {
            base.USER: np.arange(1, num_users + 1),
            base.CREATED: joined // MS,
            "age_band": np.array(AGE_BANDS)[age_band],
            "country": np.array(COUNTRIES)[country],
            # As of registration, so that it knows nothing of what the user does later.
            "following_count": np.where(rng.random(num_users) < 0.1, np.nan, following),
        }
    )
    stays = rng.random(num_users) < 0.4
    life = np.where(stays, 2 * days + 180.0, rng.exponential(0.4 * days, num_users))
    return Population(
        clicks=clicks,
        users=users,
        contents=_content_table(rng, created, creators.ids[creator], category, flavour),
        joined=joined,
        # Veterans who are still there when the log begins have their remaining life before them.
        leaves=np.maximum(joined, START) + (life * DAY).astype(np.int64),
        activity=np.minimum(_pareto(rng, num_users, 1.5), 50.0),
    )


def _draw_tastes(
    rng: np.random.Generator, age_band: np.ndarray, country: np.ndarray, centre: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First taste and the direction it turns to, orthogonal unit vectors, [num_users, F] each.

    Tastes lie near the centres of a few categories, and a little near those of the same age band and country.
    """
    num_users = len(age_band)
    interest = centre[rng.integers(len(centre), size=(num_users, 3))]
    group = _unit(rng.standard_normal((len(AGE_BANDS), FACTORS)))[age_band]
    group += _unit(rng.standard_normal((len(COUNTRIES), FACTORS)))[country]
    own = _unit(rng.standard_normal((num_users, FACTORS)))
    first = _unit(interest[:, 0] + 0.6 * interest[:, 1] + 0.4 * group + 0.4 * own)
    later = interest[:, 2] + 0.6 * _unit(rng.standard_normal((num_users, FACTORS)))
    return first, _unit(later - (later * first).sum(axis=1, keepdims=True) * first)


def _draw_creators(rng: np.random.Generator, joined: np.ndarray, taste: np.ndarray) -> _Creators:
    """Creators make what they like themselves; publishers are there from the beginning and are no users."""
    num_users = len(joined)
    rows = np.sort(rng.choice(num_users, max(1, round(CREATORS * num_users)), replace=False))
    num_publishers = max(1, round(PUBLISHERS * num_users))
    style = np.concatenate([taste[rows], rng.standard_normal((num_publishers, FACTORS))])
    return _Creators(
        ids=np.concatenate([rows, num_users + np.arange(num_publishers)]) + 1,
        since=np.concatenate([joined[rows], np.full(num_publishers, START - 365 * DAY)]),
        style=_unit(style),
        audience=np.minimum(_pareto(rng, len(style), 1.2), 100.0),
    )


def _draw_follows(
    rng: np.random.Generator, joined: np.ndarray, taste: np.ndarray, creators: _Creators
) -> tuple[np.ndarray, np.ndarray]:
    """Users follow creators with large audiences whose style they like; half of them already when they register.

    Returns:
        user x num_creators + creator, ascending and unique, and the time (ns); int64, [num_follows] each.
    """
    user = np.repeat(np.arange(len(joined)), rng.geometric(1 / 6, len(joined)))
    share = np.cumsum(creators.audience)
    candidates = np.searchsorted(share, rng.random((len(user), 6)) * share[-1], side="right")
    match = np.einsum("nf,ncf->nc", taste[user], creators.style[candidates])
    choice = np.argmax(6.0 * match + rng.gumbel(size=match.shape), axis=1)
    creator = candidates[np.arange(len(user)), choice]
    delay = np.where(rng.random(len(user)) < 0.5, 0.0, rng.exponential(15.0, len(user)))
    time = np.maximum(joined[user] + _whole_ms(delay), creators.since[creator])
    other = creators.ids[creator] != user + 1
    key, first = np.unique((user * len(creators.ids) + creator)[other], return_index=True)
    return key, time[other][first]


def _draw_flavours(
    rng: np.random.Generator, created: np.ndarray, creators: _Creators, centre: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Creator, category and flavour [num_contents, F] of each content; creators upload only once they are there."""
    order = np.argsort(creators.since, kind="stable")
    output = np.cumsum(np.minimum(_pareto(rng, len(order), 1.3), 50.0))
    there = np.searchsorted(creators.since[order], created, side="left")
    creator = order[np.searchsorted(output, rng.random(len(created)) * output[there - 1], side="right")]
    fit = 5.0 * np.einsum("nf,kf->nk", creators.style[creator], centre)
    category = np.argmax(fit + rng.gumbel(size=fit.shape), axis=1)
    own = _unit(rng.standard_normal((len(created), FACTORS)))
    return creator, category, _unit(centre[category] + 0.6 * creators.style[creator] + 0.5 * own)


def _content_table(
    rng: np.random.Generator, created: np.ndarray, creator_ids: np.ndarray, category: np.ndarray, flavour: np.ndarray
) -> pd.DataFrame:
    """The contents as the platform shows them: flavour is seen only through category, creator, tags and moods."""
    count = len(created)
    picks = _draw_tags(rng, category, flavour)
    tag_names = np.array(TAGS, dtype=object)[picks]
    num_tags = rng.integers(2, MAX_TAGS + 1, count)
    order = np.argsort(-flavour, axis=1)[:, :3]
    strong = np.take_along_axis(flavour, order, axis=1) > 0.35
    mood_names = np.array(MOODS, dtype=object)[order]
    category_names = np.array(CATEGORIES, dtype=object)[category]
    adjective = np.where(strong[:, 0], np.array(ADJECTIVES, dtype=object)[order[:, 0]], "New")
    seconds = np.exp(rng.normal(3.0 + 2.0 * category / len(CATEGORIES), 0.6)).round(1)
    return pd.DataFrame(
        {
            base.CONTENT: np.arange(1, count + 1),
            base.TITLE: _titles(rng, adjective, category_names, tag_names),
            base.CATEGORY: category_names,
            base.CREATOR: creator_ids,
            base.CREATED: created // MS,
            base.TAGS: [row[:n] for row, n in zip(tag_names.tolist(), num_tags, strict=True)],
            base.MOODS: [row[:n] for row, n in zip(mood_names.tolist(), strong.sum(axis=1), strict=True)],
            "duration_s": np.where(rng.random(count) < 0.05, np.nan, seconds),
        }
    )


def _draw_tags(rng: np.random.Generator, category: np.ndarray, flavour: np.ndarray) -> np.ndarray:
    """Distinct tags that fit category or flavour, best first (Gumbel top-k); int64, [num_contents, MAX_TAGS]."""
    tag_category = np.repeat(np.arange(len(CATEGORIES)), len(TAGS) // len(CATEGORIES))
    tag_flavour = _unit(rng.standard_normal((len(TAGS), FACTORS)))
    liking = np.log(_zipf(len(TAGS)))[rng.permutation(len(TAGS))] / 2
    picks = np.empty((len(category), MAX_TAGS), dtype=np.int64)
    for start in range(0, len(category), BLOCK):
        block = slice(start, start + BLOCK)
        score = 5.0 * np.einsum("nf,tf->nt", flavour[block], tag_flavour) + liking
        score += 4.0 * (category[block, None] == tag_category)
        score += rng.gumbel(size=score.shape)
        picks[block] = np.argsort(-score, axis=1)[:, :MAX_TAGS]
    return picks


def _titles(rng: np.random.Generator, adjective: np.ndarray, category: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """Readable titles such as "Calm ramen and bakery", object [num_contents]."""
    first, second = tags[:, 0], tags[:, 1]
    forms = [
        adjective + " " + first + " and " + second,
        adjective + " " + category + ": " + first,
        "The " + first + " that met " + second,
        "More " + category + ", more " + first,
    ]
    return np.choose(rng.integers(len(forms), size=len(adjective)), forms)


def _arrivals(rng: np.random.Generator, count: int, before: float, lead: float, days: float) -> np.ndarray:
    """Ascending times (ns): a share `before` in the `lead` days before START, the others evenly over `days`."""
    num_before = max(1, round(before * count))
    early = rng.uniform(-lead, 0.0, num_before)
    late = rng.uniform(0.0, days, count - num_before)
    times: np.ndarray = START + _whole_ms(np.sort(np.concatenate([early, late])))
    return times


def _whole_ms(days: np.ndarray) -> np.ndarray:
    """Days as ns, rounded down to whole milliseconds, int64."""
    whole = np.floor(days * (DAY // MS)).astype(np.int64)
    return np.asarray(whole * MS)


def _pareto(rng: np.random.Generator, count: int, index: float) -> np.ndarray:
    """Power-law numbers >= 1: P(x > y) = y^-index."""
    draws: np.ndarray = 1.0 + rng.pareto(index, count)
    return draws


def _zipf(count: int) -> np.ndarray:
    """Probabilities in proportion to 1, 1/2, 1/3, ..."""
    weight = 1.0 / np.arange(1, count + 1)
    return np.asarray(weight / weight.sum())


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1."""
    unit: np.ndarray = vectors / np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    return unit
