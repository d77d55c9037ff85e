"""A trained network as a `Scorer`: encode the graph as of t once, then score; both by blocks."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from recsys.graph.schema import CONTENT, USER
from recsys.graph.temporal_graph import TemporalGraph
from recsys.models.blockwise import encode_by_blocks
from recsys.models.network import Network
from recsys.models.pair_signals import block_size, signals_of_block


class GraphScorer:
    """Scores of a network over a temporal graph; a `Scorer` and a `MoodScorer`.

    The vectors of the last time asked for are kept until another time is asked for or `reset` is called: call it
    whenever the network's weights have changed. Users that do not exist yet at t are encoded apart from the graph, so
    that asking for them changes nobody else's score by a bit.

    Args:
        network: the network; scored in eval mode, its mode is restored afterwards. Its device is used.
        graph: the temporal graph it reads.

    Attributes:
        gives_logits: True: sigmoid(score) is a probability.
    """

    gives_logits = True

    def __init__(self, network: Network, graph: TemporalGraph) -> None:
        self.network = network
        self.graph = graph
        self._time: int | None = None
        self._vectors: dict[str, Tensor] = {}

    def reset(self) -> None:
        """Forget the vectors, because the network's weights have changed."""
        self._time = None
        self._vectors = {}

    def score(self, users: np.ndarray, contents: np.ndarray, t: int) -> Tensor:
        """Logits of each user for each content at `t` (ns); see `Scorer.score`."""
        with self._evaluating():
            user, content = self._users(users, t), _rows(self._encoded(t)[CONTENT], contents)
            logits = self.network.block_logits(user, content)
            if self.network.pair is not None:
                self._add_paths(logits, user, users, contents, t)
            return self._calibrated(logits)

    def _add_paths(self, logits: Tensor, vectors: Tensor, users: np.ndarray, contents: np.ndarray, t: int) -> None:
        """Add what paths say to the logits of users with these vectors, by blocks; each user walks once."""
        block = block_size(self.network, len(contents))
        distinct, row, place = np.unique(users, return_index=True, return_inverse=True)
        for first in range(0, len(distinct), block):
            signals = signals_of_block(self.network, self.graph, distinct[first : first + block], contents, t)
            # One user at a time, so that nobody's bits depend on who else is asked for.
            for number, of_user in enumerate(signals, first):
                of_paths = self.network.path_logits(vectors[row[number]], of_user)
                logits[torch.from_numpy(place == number)] += of_paths

    def score_moods(self, moods: np.ndarray, contents: np.ndarray, t: int) -> Tensor:
        """Logits of each content for each mood at `t` (ns); see `MoodScorer.score_moods`.

        Raises:
            UserError: if the data has no moods.
        """
        with self._evaluating():
            content = _rows(self._encoded(t)[CONTENT], contents)
            chosen = torch.from_numpy(np.asarray(moods, dtype=np.int64)).to(content.device)
            return self._calibrated(self.network.mood_block_logits(chosen, content))

    def vectors(self, users: np.ndarray, contents: np.ndarray, t: int) -> tuple[Tensor, Tensor]:
        """Vectors of users [U, hidden] and contents [C, hidden] at `t` (ns) on the CPU, what `score` scores from.

        Users and contents as for `Scorer.score`.
        """
        with self._evaluating():
            content = _rows(self._encoded(t)[CONTENT], contents)
            return self._users(users, t).cpu(), content.cpu()

    def _calibrated(self, logits: Tensor) -> Tensor:
        scale, shift = self.network.calibration
        calibrated: Tensor = logits * scale + shift
        return calibrated.float().cpu()

    def _users(self, users: np.ndarray, t: int) -> Tensor:
        """Vectors of the users, newcomers included, [U, hidden]."""
        existing = self._encoded(t)[USER]
        users = np.asarray(users, dtype=np.int64)
        is_new = users >= len(existing)
        if not is_new.any():
            return _rows(existing, users)
        newcomers = self.network.encode(self.graph.newcomers(users[is_new], t).to(str(existing.device)))[USER]
        vectors = existing.new_empty(len(users), existing.shape[1])
        vectors[torch.from_numpy(~is_new)] = _rows(existing, users[~is_new])
        vectors[torch.from_numpy(is_new)] = newcomers
        return vectors

    def _encoded(self, t: int) -> dict[str, Tensor]:
        """Vectors of all nodes that exist at `t`."""
        if self._time != t:
            device = next(self.network.parameters()).device
            self._vectors = encode_by_blocks(self.network, self.graph.snapshot(t).to(str(device)))
            self._time = t
        return self._vectors

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        was_training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.network.train(was_training)


def _rows(vectors: Tensor, rows: np.ndarray) -> Tensor:
    """The chosen rows, without a copy if they are all of them in order."""
    if len(rows) == len(vectors) and np.array_equal(rows, np.arange(len(vectors))):
        return vectors
    return vectors.index_select(0, torch.from_numpy(np.asarray(rows, dtype=np.int64)).to(vectors.device))
