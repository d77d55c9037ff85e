import math

import torch
from torch import nn

from recsys.graph.schema import USER, GraphSchema
from recsys.models.pair_readout import PairReadout

HALF = (math.sqrt(51) - 1) / 50  # log(1 + 50 HALF) = log(51) / 2


def readout_of(num_signals: int = 2, num_numbers: int = 1) -> PairReadout:
    torch.manual_seed(0)
    schema = GraphSchema(
        numbers={USER: num_numbers},
        categories={USER: ()},
        edge_types=(),
        event_types=("like",),
        num_moods=0,
        popularity=(),
        pair_signals=("all_paths", "next", "creator")[:num_signals],
        num_met={},
    )
    return PairReadout(schema, schema.pair_signals, hidden=8, dropout=0.0).eval()


def test_a_logit_is_the_gated_sum_of_signals_and_their_logarithms() -> None:
    """Gates (a1, a2, b1, b2) on (s1, s2, l(s1), l(s2)), where l(0) = 0, l(HALF) = 1/2 and l(1) = 1."""
    readout = readout_of()
    assert readout.width == 4
    gates = torch.tensor([1.0, 2.0, 3.0, 4.0])
    signals = torch.tensor([[1.0, 0.0], [0.0, 1.0], [HALF, 0.0], [HALF, 1.0]])
    expected = torch.tensor([4.0, 6.0, HALF + 1.5, HALF + 1.5 + 6.0])
    torch.testing.assert_close(readout(gates, signals), expected, atol=1e-5, rtol=0)
    many = torch.stack([gates, 2 * gates])
    torch.testing.assert_close(readout(many, signals.expand(2, -1, -1)), torch.stack([expected, 2 * expected]))


def test_a_pair_without_any_path_has_exactly_no_logit() -> None:
    readout = readout_of(3)
    for parameter in readout.parameters():
        nn.init.normal_(parameter, std=3)
    signals = torch.rand(40, 7, 3)
    signals[:, 2] = 0
    found = readout(readout.user(torch.randn(40, 1), torch.zeros(40, 0, dtype=torch.int64)), signals)
    assert (found[:, 2] == 0).all()
    assert (found != 0).sum() == 40 * 6


def test_gates_are_never_negative_so_a_stronger_signal_never_counts_against_a_content() -> None:
    readout = readout_of(3)
    for parameter in readout.user_network.parameters():
        nn.init.normal_(parameter, std=3)
    gates = readout.user(torch.randn(100, 1) * 5, torch.zeros(100, 0, dtype=torch.int64))
    assert gates.shape == (100, 6)
    assert (gates >= 0).all()
    assert gates.std(dim=0).max() > 0.1
    weaker = torch.rand(100, 20, 3)
    stronger = weaker + torch.rand(100, 20, 3) * (1 - weaker)
    assert (readout(gates, stronger) >= readout(gates, weaker)).all()


def test_users_without_features_all_have_the_same_gates() -> None:
    gates = readout_of(num_numbers=0).user(torch.zeros(5, 0), torch.zeros(5, 0, dtype=torch.int64))
    assert gates.shape == (5, 4)
    assert torch.equal(gates, gates[:1].expand(5, -1))
