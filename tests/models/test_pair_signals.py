"""What a network gets to know of pairs: nothing, fixed signals, or learned hops beside them; by blocks that fit."""

import numpy as np
import pytest
import torch

from recsys.graph.pair_paths import MOST_VALUES
from recsys.models.local_hops import HOPS
from recsys.models.pair_signals import block_size, signals_of_block, signals_of_pairs
from tests.models.helpers import make_network, same_bits, small_graph, small_log

T = small_log().boundaries.t_val
ASKED = np.array([3, 0, 3]), np.array([[1, 2], [5, 1], [2, 2]]), np.array([T, T - 1, T])


def test_a_network_without_paths_asks_for_nothing() -> None:
    assert signals_of_pairs(make_network("gat_sage", pair="none"), small_graph(), *ASKED) is None


@pytest.mark.parametrize("pair", ["propagate", "co_engagement", "local_gnn"])
def test_pairs_at_times_of_their_own_have_the_bits_of_blocks(pair: str) -> None:
    network = make_network("gat_sage", pair=pair).eval()
    said = signals_of_pairs(network, small_graph(), *ASKED)
    assert said is not None
    num_fixed = len(small_graph().schema.pair_signals)
    assert said.shape[2] == num_fixed + (len(HOPS) if pair == "local_gnn" else 0)
    assert same_bits(said[..., :num_fixed], torch.from_numpy(small_graph().pair_paths.of_pairs(*ASKED)))
    for user, content, t, row in zip(*ASKED, said, strict=True):
        assert same_bits(signals_of_block(network, small_graph(), user[None], content, int(t))[0], row)


@pytest.mark.parametrize("pair", ["propagate", "local_gnn"])
@pytest.mark.parametrize("num_contents", [0, 1, 1000, 10**9])
def test_blocks_of_users_fit_the_memory(num_contents: int, pair: str) -> None:
    network = make_network("gat_sage", pair=pair)
    size = block_size(network, num_contents)
    assert size >= 1
    assert network.pair is not None
    assert size == 1 or size * num_contents * network.pair.num_signals <= MOST_VALUES
