"""Recommending from a bundle: who is asked for, what is left out, and pages of the ranked rest."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from torch import Tensor

from recsys.data.interaction_index import InteractionIndex
from recsys.errors import UserError
from recsys.models.ranking import top_k
from recsys.models.scorer import MoodScorer
from recsys.serving.bundle import NETWORK, Bundle
from recsys.serving.recommendations import Recommendation, Recommendations
from recsys.sources.base import TITLE

ALREADY_SEEN, NOT_YET_PUBLISHED, WITHOUT_THE_MOOD = "already seen", "not yet published", "without the mood"

# A matrix product of one row sums in another order than one of many rows. Asking for the same row several times gives
# the same bits, and so the same order of near ties, as the evaluation's large blocks. Only that product is repeated: a
# scorer walks the paths of a user once.
_ROWS = 16


class Recommender:
    """Ranks a bundle's contents for its users and moods, at any time.

    A user's list equals the one in the run's `recommendations.parquet` for the same time: the same contents are left
    out, and the same scores give the same order, ties included.

    Args:
        bundle: a loaded bundle.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._index = InteractionIndex(bundle.log)
        self._user_rows = pd.Index(bundle.log.users.ids)
        self._titles = bundle.log.contents.attributes.get(TITLE)

    @property
    def moods(self) -> tuple[str, ...]:
        """Names of the moods to choose from; none if the model cannot recommend by mood."""
        return self.bundle.log.mood_names if isinstance(self.bundle.scorer, MoodScorer) else ()

    def for_user(
        self, user_id: int | str, k: int = 10, page: int = 1, t: int | None = None, *, exclude_seen: bool = True
    ) -> Recommendations:
        """Recommend for a user; one without any event before `t` is scored from its attributes.

        Args:
            user_id: original id; the number 12 and the text "12" are the same.
            k: contents on a page, at least 1.
            page: which page, from 1.
            t: the query time, ns; None for the bundle's.
            exclude_seen: whether contents that the user met before `t`, in an event of any type, are left out.

        Raises:
            UserError: unknown user, or `k` or `page` below 1.
        """
        _check_page(k, page)
        user = self._user_row(user_id)
        t = self.bundle.time if t is None else t
        _, history = self._index.history(np.array([user]), t)
        contents = self._contents(t)
        scores = torch.empty(1, 0)
        if len(contents):
            scores = self.bundle.scorer.score(np.full(_ROWS, user), contents, t)[:1]
        answer = self._answer(scores, {ALREADY_SEEN: history if exclude_seen else history[:0]}, k, page, t)
        if not len(history):
            cold = f"User {user_id} has no events before this time, so only the user's attributes count."
            answer = replace(answer, notes=(*answer.notes, cold))
        return replace(answer, user_id=self.bundle.log.users.ids[[user]].tolist()[0], has_history=len(history) > 0)

    def for_mood(
        self, name: str, k: int = 10, page: int = 1, t: int | None = None, *, only_carriers: bool = False
    ) -> Recommendations:
        """Recommend for a newcomer who states a mood.

        The model ranks by what newcomers who would have stated it go on to, which need not carry the mood.

        Args:
            name: one of `moods`.
            k: contents on a page, at least 1.
            page: which page, from 1.
            t: the query time, ns; None for the bundle's.
            only_carriers: whether contents that do not carry the mood are left out.

        Raises:
            UserError: unknown mood, a model without moods, or `k` or `page` below 1.
        """
        _check_page(k, page)
        scorer = self.bundle.scorer
        if not self.moods or not isinstance(scorer, MoodScorer):
            raise UserError("This bundle has no moods to recommend by: ask for a user instead.")
        if name not in self.moods:
            raise UserError(f"There is no mood {name!r}: choose one of {', '.join(_closest_first(name, self.moods))}.")
        t = self.bundle.time if t is None else t
        contents = self._contents(t)
        scores = torch.empty(1, 0)
        if len(contents):
            scores = scorer.score_moods(np.array([self.moods.index(name)]), contents, t)
        excluded = {ALREADY_SEEN: contents[:0]}
        if only_carriers:
            excluded[WITHOUT_THE_MOOD] = np.setdiff1d(contents, self._carriers(name), assume_unique=True)
        return replace(self._answer(scores, excluded, k, page, t), mood=name)

    def _carriers(self, mood: str) -> np.ndarray:
        """The contents that carry a mood, int64, ascending."""
        log = self.bundle.log
        content, tag = log.content_tags
        return np.unique(content[tag == log.moods[self.moods.index(mood)]])

    def _user_row(self, user_id: int | str) -> int:
        """Row of a user in the log, by its id as number or text."""
        text = str(user_id).strip()
        is_number = text.isascii() and text.removeprefix("-").isdecimal()  # int() alone would also take "1_000"
        wanted = int(text) if is_number and self._user_rows.dtype.kind == "i" else text
        row = int(self._user_rows.get_indexer(pd.Index([wanted], dtype=object))[0])
        if row >= 0:
            return row
        if self.moods:
            raise UserError(
                f"There is no user {user_id!r} in the bundle: check the id, or for a newcomer ask with --mood for one "
                f"of {', '.join(self.moods)}."
            )
        examples = ", ".join(map(str, self.bundle.log.users.ids[:3]))
        raise UserError(f"There is no user {user_id!r} in the bundle: check the id; users are called {examples}, ...")

    def _contents(self, t: int) -> np.ndarray:
        """The contents that exist at `t`, int64, [C]."""
        return np.arange(self.bundle.log.contents.count_before(t))

    def _answer(self, scores: Tensor, excluded: Mapping[str, np.ndarray], k: int, page: int, t: int) -> Recommendations:
        """A page of the contents with `scores` float32 [1, C], nobody asking yet.

        `excluded` has the contents that are left out by their reason, each once, int64.
        """
        log, num_contents = self.bundle.log, scores.shape[1]
        left_out = np.concatenate(list(excluded.values()))
        candidates = num_contents - len(left_out)
        items = self._items(scores, left_out, first=min((page - 1) * k, candidates), last=min(page * k, candidates))
        notes = [] if items else [_why_empty(candidates, k)]
        if t < log.boundaries.t_val and self.bundle.manifest.kind == NETWORK:  # a peer is fitted as of the time asked
            notes.append("The model was trained on events after this time, so this is no forecast.")
        return Recommendations(
            user_id=None,
            mood=None,
            time=t,
            has_history=False,
            k=k,
            page=page,
            candidates=candidates,
            items=items,
            excluded={
                **{reason: len(contents) for reason, contents in excluded.items()},
                NOT_YET_PUBLISHED: len(log.contents) - num_contents,
            },
            notes=tuple(notes),
        )

    def _items(self, scores: Tensor, left_out: np.ndarray, first: int, last: int) -> tuple[Recommendation, ...]:
        """Places [first, last) of the ranking without some contents."""
        if not bool(torch.isfinite(scores).all()):
            raise UserError("The model's scores are NaN or infinite, so its training diverged: train it again.")
        if first == last:
            return ()
        scores = scores.clone()  # the scorer may still hold it
        scores[0, torch.from_numpy(left_out)] = -torch.inf
        contents, values = (ranked[0, first:last] for ranked in top_k(scores, last))
        if self.bundle.scorer.gives_logits:
            probabilities: list[float | None] = expit(values.astype(np.float64)).tolist()
        else:
            probabilities = [None] * len(values)
        ids = self.bundle.log.contents.ids[contents].tolist()
        return tuple(
            Recommendation(first + place, id_, self._title(content), value, probability)
            for place, (id_, content, value, probability) in enumerate(
                zip(ids, contents.tolist(), values.tolist(), probabilities, strict=True), start=1
            )
        )

    def _title(self, content: int) -> str | None:
        title = None if self._titles is None else self._titles.iloc[content]
        return None if pd.isna(title) else str(title)


def _check_page(k: int, page: int) -> None:
    if k < 1:
        raise UserError(f"k is {k}: ask for at least 1 content on a page.")
    if page < 1:
        raise UserError(f"page is {page}: pages are counted from 1.")


def _closest_first(name: str, moods: Sequence[str]) -> list[str]:
    """The moods, those written most like `name` first."""

    def likeness(mood: str) -> float:
        return difflib.SequenceMatcher(None, name.casefold(), mood.casefold()).ratio()

    return sorted(moods, key=likeness, reverse=True)


def _why_empty(candidates: int, k: int) -> str:
    if candidates == 0:
        return "No content is left to recommend at this time."
    return f"The last page is {-(-candidates // k)}: {candidates} contents are left to recommend, {k} on a page."
