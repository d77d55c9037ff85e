"""One flat table of user, content and pair features as of a time: what a model without a graph learns from."""

from collections.abc import Iterator, Mapping

import numpy as np
from scipy.sparse import csr_array

from recsys.data.event_log import EventLog
from recsys.data.features import fit_encoders
from recsys.graph.node_features import FeaturesBefore, NodeFeatures
from recsys.graph.schema import CONTENT, CREATOR, USER
from recsys.graph.settings import GraphSettings
from recsys.models.baselines.pair_counts import PairCounts, content_groups, pair_names

PARTS = 2**18  # (user, content) pairs whose features are made at a time


class FlatTable:
    """Tables as of any time, with the same columns.

    The columns are those of the user, of the content, of the content's creator (NaN where there is none) and, if
    wanted, of the pair. The nodes' columns are what a graph has as features (`NodeFeatures`).

    Args:
        log: the event log.
        pair_counts: whether there are columns of the pair (`PairCounts`).

    Attributes:
        names: of the columns.
        categorical: places of the columns that are indices of categories, the others are numbers.
    """

    def __init__(self, log: EventLog, *, pair_counts: bool) -> None:
        self._log = log
        self._features = NodeFeatures(log, fit_encoders(log), GraphSettings().windows)
        self._groups = content_groups(log) if pair_counts else None
        self._with_creators = log.creators.count_before(log.boundaries.t_val) > 0
        numbers, vocabularies = self._features.number_names, self._features.cardinalities
        of_nodes = [(USER, numbers[USER], vocabularies[USER]), (CONTENT, numbers[CONTENT], vocabularies[CONTENT])]
        if self._with_creators:
            of_nodes.append((CREATOR, numbers[CREATOR], ()))
        names: list[str] = []
        categorical: list[int] = []
        for node_type, columns, sizes in of_nodes:
            names += [f"{node_type} {column}" for column in columns]
            categorical += range(len(names), len(names) + len(sizes))
            names += [f"{node_type} category {i}" for i in range(len(sizes))]
        if self._groups is not None:
            names += [f"pair {column}" for column in pair_names(self._groups)]
        self.names, self.categorical = tuple(names), tuple(categorical)

    def before(self, t: int) -> "FlatTableBefore":
        """The table as of `t` (ns), from events strictly before `t`."""
        return FlatTableBefore(self._log, self._features, self._groups, t, with_creators=self._with_creators)


class FlatTableBefore:
    """The table as of one time; `FlatTable.before` makes it.

    Attributes:
        num_contents: contents that exist at the time.
    """

    def __init__(
        self,
        log: EventLog,
        features: NodeFeatures,
        groups: Mapping[str, csr_array] | None,
        t: int,
        *,
        with_creators: bool,
    ) -> None:
        self._features, self._t = features, t
        self._nodes = features.before(t)
        self.num_contents = log.contents.count_before(t)
        self._content = _side_by_side(self._nodes, CONTENT)
        if with_creators:
            creator = _side_by_side(self._nodes, CREATOR)
            unknown = np.full((1, creator.shape[1]), np.nan, dtype=np.float32)  # the last place, -1
            of_content = np.concatenate([creator, unknown])[log.creator_of[: self.num_contents]]
            self._content = np.column_stack([self._content, of_content])
        self._user: np.ndarray = _side_by_side(self._nodes, USER)
        self._pairs = None if groups is None else PairCounts(log, groups, t)

    def grid(self, users: np.ndarray, contents: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows of all users with all `contents`, by parts: places in `users` and float32 [part, C, columns]."""
        for part in self._parts(len(users)):
            of_pairs = None if self._pairs is None else self._pairs.of(users[part])[:, contents]
            user, content = self._users(users[part])[:, None], self._content[contents][None]
            yield part, _joined(user, content, of_pairs, (user.shape[0], content.shape[1]))

    def pairs(self, user: np.ndarray, content: np.ndarray) -> np.ndarray:
        """Rows of single pairs, float32 [P, columns]; `user` (rows in the log, ascending) and `content` are [P]."""
        users, row = np.unique(user, return_inverse=True)
        rows = []
        for part in self._parts(len(users)):
            chosen = slice(*np.searchsorted(row, (part.start, part.stop)))
            of_pairs = None
            if self._pairs is not None:
                of_pairs = self._pairs.of(users[part])[row[chosen] - part.start, content[chosen]]
            columns = self._users(user[chosen]), self._content[content[chosen]]
            rows.append(_joined(*columns, of_pairs, columns[0].shape[:1]))
        return np.concatenate(rows)

    def _parts(self, num_users: int) -> Iterator[slice]:
        size = max(1, PARTS // max(1, self.num_contents))
        for first in range(0, num_users, size):
            yield slice(first, min(first + size, num_users))

    def _users(self, users: np.ndarray) -> np.ndarray:
        """Columns of users, newcomers included, float32 [U, columns]."""
        is_new = users >= len(self._user)
        columns = np.empty((len(users), self._user.shape[1]), dtype=np.float32)
        columns[~is_new] = self._user[users[~is_new]]
        if not is_new.any():
            return columns
        x, x_cat = self._features.newcomers(users[is_new], self._t, self._nodes.user_scaling)
        columns[is_new] = np.column_stack([x.numpy(), x_cat.numpy().astype(np.float32)])
        return columns


def _side_by_side(nodes: FeaturesBefore, node_type: str) -> np.ndarray:
    """Numbers, then categories of all nodes of a type, float32 [num_nodes, columns]."""
    return np.column_stack([nodes.numbers[node_type].numpy(), nodes.categories[node_type].numpy().astype(np.float32)])


def _joined(user: np.ndarray, content: np.ndarray, pair: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """Columns of users, contents and pairs side by side, each broadcast to `shape`."""
    parts = [user, content] if pair is None else [user, content, pair]
    ends = np.cumsum([part.shape[-1] for part in parts])
    joined = np.empty((*shape, int(ends[-1])), dtype=np.float32)
    for part, end in zip(parts, ends, strict=True):
        joined[..., end - part.shape[-1] : end] = part
    return joined
