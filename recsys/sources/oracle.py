"""The true click model of the generated platform: what `recsys.sources.synthetic_events` draws from, and its oracle."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.errors import UserError

DAY = 86_400 * 10**9  # ns
START = 1_735_689_600 * 10**9  # 2025-01-01T00:00:00Z in ns: every generated log begins here

TASTE_WEIGHT = 10.0  # logit of a perfect match between taste and content
FOLLOW_WEIGHT = 3.0  # added to the logit when the user follows the creator
BASE_LOGIT = -7.0
FADE_POWER = 1.5  # attention falls like (1 + age / fade)^-1.5: fast at first, with a long tail


@dataclass(frozen=True)
class ClickModel:
    """Chance that a user opens a content he is shown, the examination model of clicks with drifting tastes.

    chance(user, content, t) = attention(content, t) x appeal(user, content, t), where attention (does the content
    get noticed) is `reach` at upload and fades with age, and appeal (is it opened once noticed) is
    sigmoid(BASE_LOGIT + TASTE_WEIGHT x taste(user, t) . flavour(content) + FOLLOW_WEIGHT x follows(user, creator, t)).
    Every content that exists is as likely to be shown as any other, so ranking by this chance is the best there is.

    Tastes and flavours are unit vectors of F factors. A taste turns from `taste_from` towards `taste_to`, orthogonal
    to it, by `turn` radians a day, and is defined for users at any time, registered or not. The id of a user or
    content is its row plus one.

    Attributes:
        taste_from, taste_to: float32, [num_users, F].
        turn: radians a day, float32, [num_users].
        flavour: float32, [num_contents, F].
        reach: attention at upload, in (0, 1], float64, [num_contents].
        fade: days, float64, [num_contents].
        created: upload time, ns, ascending, int64, [num_contents].
        creator: row of each content's creator, int64, [num_contents].
        follow_key: user x num_creators + creator of every follow, ascending, int64, [num_follows].
        follow_time: since when, ns, int64, [num_follows].
        num_creators: number of creators.
    """

    taste_from: np.ndarray
    taste_to: np.ndarray
    turn: np.ndarray
    flavour: np.ndarray
    reach: np.ndarray
    fade: np.ndarray
    created: np.ndarray
    creator: np.ndarray
    follow_key: np.ndarray
    follow_time: np.ndarray
    num_creators: int

    def probability(self, user_ids: np.ndarray, content_ids: np.ndarray, t: int) -> np.ndarray:
        """True chance that each user opens each content when shown it at time `t`, the content being new to him.

        Args:
            user_ids: ids as in the users table, [U]; users that register later count with their taste as of `t`.
            content_ids: ids as in the contents table, [C]; contents uploaded at or after `t` have chance 0.
            t: ns.

        Returns:
            float32 [U, C].

        Raises:
            UserError: an id is not of this platform.
        """
        users = _rows(user_ids, len(self.turn), "user")
        contents = _rows(content_ids, len(self.created), "content")
        logit = self.taste(users, t) @ self.flavour[contents].T
        logit *= TASTE_WEIGHT
        logit += BASE_LOGIT
        logit += FOLLOW_WEIGHT * self._follow_matrix(users, t)[:, self.creator[contents]]
        chance: np.ndarray = sigmoid(logit)
        chance *= self.attention(contents, t).astype(np.float32)
        return chance

    def attention(self, contents: np.ndarray, times: npt.ArrayLike) -> np.ndarray:
        """Attention of each content at each time (ns): 0 until uploaded; float64, shape of the arguments broadcast."""
        age = (np.asarray(times) - self.created[contents]) / DAY
        return np.where(age > 0, self.reach[contents] * freshness(np.maximum(age, 0.0), self.fade[contents]), 0.0)

    def taste(self, users: np.ndarray, times: npt.ArrayLike) -> np.ndarray:
        """Taste of each user at each time (ns), unit vectors, float32, [n, F]."""
        angle = self.turn[users] * ((np.asarray(times) - START) / DAY)
        cosine = np.cos(angle).astype(np.float32)[:, None]
        sine = np.sin(angle).astype(np.float32)[:, None]
        taste: np.ndarray = cosine * self.taste_from[users] + sine * self.taste_to[users]
        return taste

    def follows(self, users: np.ndarray, creators: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Whether each user follows each creator strictly before each time (ns), bool, [n]."""
        key = users * self.num_creators + creators
        place = np.minimum(np.searchsorted(self.follow_key, key), len(self.follow_key) - 1)
        known: np.ndarray = (self.follow_key[place] == key) & (self.follow_time[place] < times)
        return known

    def _follow_matrix(self, users: np.ndarray, t: int) -> np.ndarray:
        """The same for each user and every creator at one time, bool, [U, num_creators]."""
        start = np.searchsorted(self.follow_key, users * self.num_creators)
        count = np.searchsorted(self.follow_key, (users + 1) * self.num_creators) - start
        row = np.repeat(np.arange(len(users)), count)
        place = np.arange(len(row)) + np.repeat(start - (np.cumsum(count) - count), count)
        early = self.follow_time[place] < t
        matrix = np.zeros((len(users), self.num_creators), dtype=bool)
        matrix[row[early], self.follow_key[place[early]] % self.num_creators] = True
        return matrix


def freshness(age: np.ndarray, fade: np.ndarray) -> np.ndarray:
    """(1 + age / fade)^-FADE_POWER for ages >= 0 in days: 1 at upload, falling ever more slowly."""
    share: np.ndarray = (1.0 + age / fade) ** -FADE_POWER
    return share


def sigmoid(logit: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-logit)), in the precision of `logit`."""
    chance: np.ndarray = 1.0 / (1.0 + np.exp(-logit))
    return chance


def _rows(ids: np.ndarray, count: int, kind: str) -> np.ndarray:
    rows = np.asarray(ids)
    if rows.dtype.kind not in "iu" or (len(rows) and (rows.min() < 1 or rows.max() > count)):
        raise UserError(f"The oracle knows no such {kind}: the ids of this generated platform are 1..{count}.")
    return rows.astype(np.int64) - 1
