"""What a network gets to know about pairs: the fixed signals of paths, and beside them those of learned hops."""

import numpy as np
import torch
from torch import Tensor

from recsys.graph.pair_paths import MOST_VALUES, Queries
from recsys.graph.temporal_graph import TemporalGraph
from recsys.models.network import Network


def signals_of_pairs(
    network: Network, graph: TemporalGraph, user: np.ndarray, content: np.ndarray, time: np.ndarray
) -> Tensor | None:
    """What a network wants to know of users [B] and contents [B, N] at times of their own (ns) [B], if anything.

    Args:
        network: the network.
        graph: the graph of the log.
        user: rows in `log.users`.
        content: rows in `log.contents` that exist at that time.
        time: ns, from events strictly before which everything comes.

    Returns:
        float32 [B, N, num_signals] on the network's device; gradients lead to the weights of its hops.
    """
    if network.pair is None:
        return None
    signals = torch.from_numpy(graph.pair_paths.of_pairs(user, content, time)).to(network.calibration.device)
    if network.hops is None:
        return signals
    queries, order = Queries.of_pairs(user, content, time)
    found = network.hops(graph.local_walks, queries).view(*content.shape, -1)
    back = torch.from_numpy(np.argsort(order)).to(found.device)
    return torch.cat([signals, found.index_select(0, back)], dim=-1)


def signals_of_block(network: Network, graph: TemporalGraph, users: np.ndarray, contents: np.ndarray, t: int) -> Tensor:
    """As `signals_of_pairs` for every user with every content at one time (ns), float32 [U, C, num_signals]."""
    signals = torch.from_numpy(graph.pair_paths.of_block(users, contents, t)).to(network.calibration.device)
    if network.hops is None:
        return signals
    found = network.hops(graph.local_walks, Queries.of_block(users, contents, t))
    return torch.cat([signals, found.view(len(users), len(contents), -1)], dim=-1)


def block_size(network: Network, num_contents: int) -> int:
    """Users whose signals with so many contents are held at a time."""
    assert network.pair is not None
    return max(1, MOST_VALUES // max(1, num_contents * network.pair.num_signals))
