"""LightGCN: matrix factorisation whose vectors are averaged over the neighbourhoods of the user-content graph."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recsys.checks import check_count, check_number
from recsys.data.event_log import EventLog
from recsys.loading.seeds import place_in
from recsys.models.baselines.past import interactions
from recsys.models.baselines.personal_peer import PersonalPeer
from recsys.models.baselines.settings import check_events, check_seed, check_share
from recsys.models.neighbours import Neighbours

SPREAD = 0.1  # standard deviation of the first vectors, as in the authors' code

MOST_DIM = 1024
MOST_LAYERS = 16
MOST_EPOCHS = 100_000
MOST_PAIRS = 10**9


class LightGcn(PersonalPeer):
    """LightGCN (He et al., "LightGCN: simplifying and powering graph convolution network for recommendation", 2020).

    The graph has an edge for each distinct (user, content) pair with a target event before t. The vectors are trained
    by Bayesian personalised ranking of these pairs against contents drawn uniformly from those that exist; a draw that
    is a pair of the user's itself is left out.

    Args:
        log: the event log.
        dim: width of the vectors.
        layers: times that vectors are passed on to neighbours; 0 is plain matrix factorisation.
        epochs: passes over the pairs.
        learning_rate: of Adam.
        l2: weight of the mean squared length of the vectors behind each pair, before they are passed on.
        batch_size: pairs a step; every step passes all vectors through the whole graph, so few large ones are fast.
        events: which events say that a user met a content: "target" or "all".
        window: learn from the last `window` share of all events before t only; None for all.
        cold_window: see `PersonalPeer`.
        seed: of the first vectors, the order of pairs and the negatives.

    Raises:
        UserError: for settings that mean nothing.
    """

    name = "lightgcn"

    def __init__(
        self,
        log: EventLog,
        *,
        dim: int = 64,
        layers: int = 3,
        epochs: int = 100,
        learning_rate: float = 0.01,
        l2: float = 1e-4,
        batch_size: int = 8192,
        events: str = "target",
        window: float | None = 0.2,
        cold_window: float | None = 0.1,
        seed: int = 0,
    ) -> None:
        check_count("model.dim", dim, 1, MOST_DIM)
        check_count("model.layers", layers, 0, MOST_LAYERS)
        check_count("model.epochs", epochs, 1, MOST_EPOCHS)
        check_number("model.learning_rate", learning_rate, 0, 10, above=True)
        check_number("model.l2", l2, 0, 10)
        check_count("model.batch_size", batch_size, 1, MOST_PAIRS)
        check_events(events)
        check_share("window", window)
        check_seed(seed)
        settings = {
            "dim": dim,
            "layers": layers,
            "epochs": epochs,
            "learning_rate": learning_rate,
            "l2": l2,
            "batch_size": batch_size,
            "events": events,
            "window": window,
            "cold_window": cold_window,
            "seed": seed,
        }
        super().__init__(log, settings)
        self._dim, self._layers, self._epochs, self._batch_size = dim, layers, epochs, batch_size
        self._learning_rate, self._l2, self._seed = learning_rate, l2, seed
        self._events, self._window = events, window

    def _learn(self, t: int) -> np.ndarray:
        met = interactions(self.log, t, self._events, window=self._window)
        num_users, num_contents = met.shape
        user, content = (place.astype(np.int64) for place in met.nonzero())
        pairs = user * num_contents + content
        graph = UserContentGraph(user, content, num_users, num_contents)
        rng = np.random.default_rng(self._seed)
        first = rng.normal(0.0, SPREAD, (num_users + num_contents, self._dim)).astype(np.float32)
        vectors = torch.from_numpy(first).requires_grad_()
        adam = torch.optim.Adam([vectors], lr=self._learning_rate)
        with torch.enable_grad():
            for _ in range(self._epochs):
                negative = rng.integers(max(num_contents, 1), size=len(pairs))
                order = rng.permutation(np.flatnonzero(place_in(user * num_contents + negative, pairs) < 0))
                for first_row in range(0, len(order), self._batch_size):
                    rows = order[first_row : first_row + self._batch_size]
                    nodes = np.stack([user[rows], num_users + content[rows], num_users + negative[rows]])
                    self._step(adam, vectors, graph, torch.from_numpy(nodes))
        passed = graph.propagate(vectors.detach(), self._layers)
        self._user, self._content = passed[:num_users], passed[num_users:]
        knows: np.ndarray = np.diff(met.indptr) > 0
        return knows

    def _step(self, adam: torch.optim.Optimizer, vectors: Tensor, graph: "UserContentGraph", nodes: Tensor) -> None:
        """One step for triples of a user, a positive and a negative, rows in `vectors`, int64 [3, B]."""
        adam.zero_grad()
        chosen = graph.propagate(vectors, self._layers).index_select(0, nodes.flatten())
        user, positive, negative = chosen.view(3, -1, self._dim)
        ranking = F.softplus((user * (negative - positive)).sum(dim=1)).mean()
        length = 0.5 * vectors.index_select(0, nodes.flatten()).square().sum() / nodes.shape[1]
        (ranking + self._l2 * length).backward()  # type: ignore[no-untyped-call]
        adam.step()

    def _personal(self, users: np.ndarray, contents: np.ndarray) -> np.ndarray:
        scores: np.ndarray = (self._user[users] @ self._content[contents].T).numpy()
        return scores


class UserContentGraph:
    """An edge each way between the user and the content of each pair; nodes are all users, then all contents.

    Args:
        user, content: of each distinct pair, int64 [P].
        num_users, num_contents: number of nodes.
    """

    def __init__(self, user: np.ndarray, content: np.ndarray, num_users: int, num_contents: int) -> None:
        source = np.concatenate([user, num_users + content])
        target = np.concatenate([num_users + content, user])
        order = np.lexsort((source, target))
        source, target = source[order], target[order]
        size = num_users + num_contents
        degree = np.bincount(target, minlength=size)
        weight = 1 / np.sqrt(degree[source] * degree[target])
        self._weight = torch.from_numpy(weight.astype(np.float32))[:, None]
        self._edges = Neighbours(torch.from_numpy(source), torch.from_numpy(target), size, size)

    def propagate(self, vectors: Tensor, layers: int) -> Tensor:
        """Mean over k from 0 to `layers` of (D^-1/2 A D^-1/2)^k x vectors, [nodes, dim] (the paper, section 3.1)."""
        passed = total = vectors
        for _ in range(layers):
            passed = self._edges.weighted_sum(self._weight, passed[:, None])[:, 0]
            total = total + passed
        return total / (layers + 1)
