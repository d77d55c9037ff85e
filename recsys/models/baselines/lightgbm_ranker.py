"""Gradient-boosted trees over one flat table: the rival that does all with feature engineering and has no graph."""

import importlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recsys.checks import check_count, check_number, check_switch
from recsys.data.event_log import EventLog
from recsys.data.interaction_index import InteractionIndex
from recsys.errors import UserError
from recsys.loading.negatives import NegativeRequest, Uniform
from recsys.loading.seeds import Window, training_windows
from recsys.models.baselines.flat_table import FlatTable
from recsys.models.baselines.peer import Peer
from recsys.models.baselines.settings import check_seed

logger = logging.getLogger(__name__)

MOST_POSITIVES = 50  # of a group, so that no user outweighs all others
# LightGBM's own limits.
MOST_GROUP_ROWS = 10_000
MOST_LEAVES = 131_072
MOST_SEED = 2**31 - 1

MOST_TREES = 100_000
MOST_SNAPSHOTS = 10_000
MOST_ROWS = 10**9


class TrainingRows(NamedTuple):
    """The rows that trees are grown on.

    Attributes:
        features: float32 [R, columns].
        label: 1 for a positive, 0 for a negative, float32 [R].
        group: rows of each group, which follow one another, int64 [G].
    """

    features: np.ndarray
    label: np.ndarray
    group: np.ndarray


class LightGbmRanker(Peer):
    """LambdaMART (Burges, "From RankNet to LambdaRank to LambdaMART", 2010) on a flat table, by LightGBM.

    It is trained in the situation in which it will be asked: the past is cut at several times, and at each a group of
    rows is what one user will newly choose in the window to come (label 1) and contents drawn uniformly from the others
    that existed (label 0). All columns of a row are as of the window's beginning.

    Args:
        log: the event log.
        pair_counts: whether the table has columns of the pair; without them it only joins user and content.
        num_leaves, learning_rate, num_trees, min_child_samples: as LightGBM calls them.
        negatives: contents drawn for each positive.
        snapshots: number of windows.
        reach: how many cuts on a window ends (see `training_windows`); above 1 windows overlap.
        max_rows: most rows to train on; beyond, groups are left out at random.
        seed: of all random choices.

    Raises:
        UserError: for settings that mean nothing, or if LightGBM is missing when the peer is fitted.
    """

    name = "lightgbm"

    def __init__(
        self,
        log: EventLog,
        *,
        pair_counts: bool = True,
        num_leaves: int = 15,
        learning_rate: float = 0.05,
        num_trees: int = 100,
        min_child_samples: int = 50,
        negatives: int = 20,
        snapshots: int = 24,
        reach: int = 2,
        max_rows: int = 200_000,
        seed: int = 0,
    ) -> None:
        check_switch("model.pair_counts", pair_counts)
        check_count("model.num_leaves", num_leaves, 2, MOST_LEAVES)
        check_number("model.learning_rate", learning_rate, 0, 1, above=True)
        check_count("model.num_trees", num_trees, 1, MOST_TREES)
        check_count("model.min_child_samples", min_child_samples, 1, MOST_ROWS)
        check_count("model.negatives", negatives, 1, MOST_GROUP_ROWS - 1)
        check_count("model.snapshots", snapshots, 1, MOST_SNAPSHOTS)
        check_count("model.reach", reach, 1, MOST_SNAPSHOTS)
        check_count("model.max_rows", max_rows, 2, MOST_ROWS)
        check_seed(seed, MOST_SEED)
        options = {
            "num_leaves": num_leaves,
            "learning_rate": learning_rate,
            "min_child_samples": min_child_samples,
            "seed": seed,
        }
        further = {"num_trees": num_trees, "negatives": negatives, "max_rows": max_rows}
        further |= {"snapshots": snapshots, "reach": reach}
        super().__init__(log, {"pair_counts": pair_counts, **options, **further})
        self._options = options
        self._num_trees, self._seed = num_trees, seed
        self._negatives, self._max_rows = negatives, max_rows
        self._snapshots, self._reach = snapshots, reach
        self._index = InteractionIndex(log)
        self._pair_counts = pair_counts

    def table(self, t: int) -> FlatTable:
        """The table whose vocabularies, scales and groups are those of a training that ends at `t` (ns)."""
        return FlatTable(self._until(t), pair_counts=self._pair_counts)

    def training_rows(self, t: int, table: FlatTable) -> TrainingRows | None:
        """The rows as of times before `t` (ns), of what was chosen before `t`; None if there is nothing to learn."""
        try:
            windows = training_windows(self._until(t), self._index, snapshots=self._snapshots, reach=self._reach)
        except UserError:
            logger.warning(
                "model=%s has nothing to learn from before %s: all its scores are 0.", self.name, np.datetime64(t, "ns")
            )
            return None
        rng = np.random.default_rng(self._seed)
        chosen = self._chosen(windows, rng)
        parts = [self._rows(table, window, of, rng) for window, of in zip(windows, chosen, strict=True) if len(of)]
        return TrainingRows(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _fit(self, t: int) -> None:
        library = _library(self.name)
        table = self.table(t)
        rows = self.training_rows(t, table)
        self._trees = None
        if rows is None:
            return
        data = library.Dataset(rows.features, rows.label, group=rows.group, categorical_feature=list(table.categorical))
        fixed = {"objective": "lambdarank", "deterministic": True, "force_row_wise": True, "verbosity": -1}
        options = {**self._options, **fixed, "num_threads": torch.get_num_threads()}
        self._trees = library.train(options, data, num_boost_round=self._num_trees)
        self._now = table.before(t)

    def _scores(self, users: np.ndarray, contents: np.ndarray) -> Tensor:
        scores = np.zeros((len(users), len(contents)), dtype=np.float32)
        if self._trees is not None and scores.size:
            for part, rows in self._now.grid(users, contents):
                found = self._trees.predict(rows.reshape(-1, rows.shape[-1]), num_threads=torch.get_num_threads())
                scores[part] = found.reshape(rows.shape[:2])
        return torch.from_numpy(scores)

    def _until(self, t: int) -> EventLog:
        """The log with a training that ends at `t` (ns)."""
        return replace(self.log, boundaries=replace(self.log.boundaries, t_val=t))

    def _chosen(self, windows: Sequence[Window], rng: np.random.Generator) -> list[np.ndarray]:
        """Places of the seeds to train on, an ascending array a window: random ones of each user, then random users."""
        width = 1 + self._negatives
        sampled, groups = [], []
        for window in windows:
            shuffled = rng.permutation(len(window))
            shuffled = shuffled[np.argsort(window.user[shuffled], kind="stable")]
            rank = np.arange(len(window)) - np.searchsorted(window.user, window.user)  # seeds are sorted by user
            places = np.sort(shuffled[rank < min(MOST_POSITIVES, MOST_GROUP_ROWS // width)])
            sampled.append(places)
            groups.append(np.unique(window.user[places], return_inverse=True, return_counts=True)[1:])
        rows = np.concatenate([count for _, count in groups]) * width
        order = rng.permutation(len(rows))
        fits = np.zeros(len(rows), dtype=bool)
        fits[order] = np.cumsum(rows[order]) <= self._max_rows
        fits[order[0]] = True
        of_window = np.split(fits, np.cumsum([len(count) for _, count in groups])[:-1])
        return [places[fit[group]] for places, fit, (group, _) in zip(sampled, of_window, groups, strict=True)]

    def _rows(self, table: FlatTable, window: Window, chosen: np.ndarray, rng: np.random.Generator) -> TrainingRows:
        """Rows of the chosen seeds of one window, a group a user."""
        seed_user, positive = window.user[chosen], window.content[chosen]

        def is_forbidden(row: np.ndarray, content: np.ndarray) -> np.ndarray:
            user = seed_user[row]
            return self._index.seen_before(user, content, window.time) | (window.place_of(user, content) >= 0)

        time = np.full(len(chosen), window.time)
        request = NegativeRequest(log=self.log, positive=positive, time=time, is_forbidden=is_forbidden)
        drawn = Uniform(count=self._negatives).sample(request, rng)
        content = np.column_stack([positive[drawn.row], drawn.content])
        label = np.zeros(content.shape, dtype=np.float32)
        label[:, 0] = 1.0
        user = np.repeat(seed_user[drawn.row], content.shape[1])
        _, group = np.unique(user, return_counts=True)
        features = table.before(window.time).pairs(user, content.ravel())
        return TrainingRows(features, label.ravel(), group)


def _library(model: str) -> ModuleType:
    try:
        return importlib.import_module("lightgbm")
    except ImportError as error:
        raise UserError(
            f"model={model} needs the library lightgbm, which is not installed: pip install 'recsys[peers]'."
        ) from error
