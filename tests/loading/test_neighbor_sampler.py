"""The neighbour samplers against a naive one, edge by edge, and the chances of what they draw."""

import logging
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import torch
import torch_geometric.typing
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch_geometric.data import HeteroData
from torch_geometric.sampler import HeteroSamplerOutput

from recsys.errors import UserError
from recsys.graph.schema import EdgeType
from recsys.loading.neighbor_sampler import TemporalNeighborSampler
from recsys.loading.pyg_lib_sampler import PygLibSampler
from recsys.loading.subgraph_sampler import Seeds, SubgraphSampler, subgraph_keys
from tests.loading.graphs import IN_GROUP, KNOWS, LAST_TIME, RATED_BY, RATES, Subgraph, random_graph, visible_edges

HAS_PYG_LIB = torch_geometric.typing.WITH_PYG_LIB
SAMPLERS = [
    TemporalNeighborSampler,
    pytest.param(PygLibSampler, marks=pytest.mark.skipif(not HAS_PYG_LIB, reason="pyg-lib is not installed")),
]
BOTH = pytest.mark.parametrize("kind", SAMPLERS, ids=["numba", "pyg_lib"])


def seeds_of(data: HeteroData, rng: np.random.Generator, count: int = 6) -> Seeds:
    """A user and an item for each subgraph, some of them equal."""
    nodes = {kind: rng.integers(0, data[kind].num_nodes, count) for kind in ("user", "item")}
    subgraph = {kind: np.arange(count) for kind in nodes}
    return Seeds(nodes, subgraph, rng.integers(0, LAST_TIME + 1, count), subgraph_keys(0, 0, np.arange(count)))


def check_subgraph(
    data: HeteroData, out: HeteroSamplerOutput, seeds: Seeds, number: int, fan_out: dict, replace: bool = False
) -> None:
    """Every node that was reached before the last hop has as many edges as it may, all of them visible."""
    t, found = int(seeds.time[number]), Subgraph(data, out, number)
    roots = {(kind, int(node[number])) for kind, node in seeds.nodes.items()}
    assert {node for node, hop in found.nodes.items() if hop == 0} == roots
    hops = len(next(iter(fan_out.values())))
    reached = set(roots)
    for hop in range(hops):
        for (node_type, node), at in found.nodes.items():
            for kind in data.edge_types:
                if kind[2] != node_type:
                    continue
                drawn = found.edges[kind, hop].get(node, [])
                if at != hop:
                    assert not drawn
                    continue
                visible, most = visible_edges(data, kind, node, t), fan_out[kind][hop]
                assert set(drawn) <= set(visible)
                if replace and most >= 0:
                    assert len(drawn) == (most if visible else 0)
                else:
                    assert len(set(drawn)) == len(drawn) == (len(visible) if most < 0 else min(most, len(visible)))
                reached |= {(kind[0], int(data[kind].edge_index[0, edge])) for edge in drawn}
    assert set(found.nodes) == reached


@BOTH
@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10_000), numbers=st.lists(st.integers(-1, 3), min_size=10, max_size=10), hops=st.integers(1, 2)
)
@pytest.mark.parametrize("replace", [False, True])
def test_subgraphs_equal_a_naive_reading(
    kind: type[SubgraphSampler], replace: bool, seed: int, numbers: list[int], hops: int
) -> None:
    ends = kind is TemporalNeighborSampler and seed % 2 == 0
    data, rng = random_graph(seed, ends=ends, node_times=seed % 3 > 0), np.random.default_rng(seed)
    fan_out = {edge_type: numbers[2 * i : 2 * i + hops] for i, edge_type in enumerate(data.edge_types)}
    seeds = seeds_of(data, rng)
    out = kind(data, fan_out, replace=replace).subgraphs(seeds)
    for node_type, node in seeds.nodes.items():
        assert torch.equal(out.node[node_type][: len(node)], torch.from_numpy(node))
        assert torch.equal(out.batch[node_type][: len(node)], torch.arange(len(node)))
    for node_type in data.node_types:
        assert sum(out.num_sampled_nodes[node_type]) == len(out.node[node_type]) == len(out.batch[node_type])
    for edge_type in data.edge_types:
        assert sum(out.num_sampled_edges[edge_type]) == len(out.edge[edge_type])
    if kind is TemporalNeighborSampler:  # pyg-lib has a tree for every seed, even in one subgraph
        for number in range(len(seeds.time)):
            check_subgraph(data, out, seeds, number, fan_out, replace)


@pytest.mark.parametrize("strategy", ["last", "strength", "decay"])
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), most=st.integers(1, 4))
def test_other_strategies_draw_as_many_and_last_the_latest(strategy: str, seed: int, most: int) -> None:
    data, rng = random_graph(seed, ends=seed % 2 == 0), np.random.default_rng(seed)
    seeds = seeds_of(data, rng)
    fan_out = {kind: [most, 1] for kind in data.edge_types}
    out = TemporalNeighborSampler(data, fan_out, strategy=strategy, half_life=2.0).subgraphs(seeds)
    for number in range(len(seeds.time)):
        check_subgraph(data, out, seeds, number, fan_out)
        if strategy == "last":
            found = Subgraph(data, out, number)
            for (kind, hop), by_target in found.edges.items():
                for target, drawn in by_target.items():
                    visible = visible_edges(data, kind, target, int(seeds.time[number]))
                    assert drawn == visible[-fan_out[kind][hop] :]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_nothing_at_or_after_a_seeds_time_changes_its_subgraph(seed: int) -> None:
    data, rng = random_graph(seed), np.random.default_rng(seed)
    t = int(rng.integers(1, LAST_TIME))
    other = data.clone()
    for kind in (RATES, RATED_BY, KNOWS):
        early = data[kind].time < t
        count = int(rng.integers(1, 20))
        ends = [rng.integers(0, data[end].num_nodes, count) for end in (kind[0], kind[2])]
        future = torch.from_numpy(np.stack(ends))
        other[kind].edge_index = torch.cat([data[kind].edge_index[:, early], future], dim=1)
        other[kind].time = torch.cat([data[kind].time[early], torch.from_numpy(rng.integers(t, LAST_TIME + 5, count))])
    seeds = seeds_of(data, rng)
    seeds = Seeds(seeds.nodes, seeds.subgraph, np.full(len(seeds.time), t), seeds.key)
    first, second = (TemporalNeighborSampler(graph, [2, 2]).subgraphs(seeds) for graph in (data, other))
    for kind in data.node_types:
        assert torch.equal(first.node[kind], second.node[kind])
        assert torch.equal(first.batch[kind], second.batch[kind])
    for kind in data.edge_types:
        assert torch.equal(first.row[kind], second.row[kind])
        assert torch.equal(first.col[kind], second.col[kind])


def star(size: int, weight: np.ndarray | None = None) -> HeteroData:
    """One item with an edge from each of `size` users, at times 0, 1, 2, ..."""
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = size, 1
    order = np.random.default_rng(0).permutation(size)  # edges need not come in order
    data[RATES].edge_index = torch.from_numpy(np.stack([order, np.zeros(size, dtype=np.int64)]))
    data[RATES].time = torch.from_numpy(order)
    if weight is not None:
        data[RATES].weight = torch.from_numpy(weight[order])
    return data


def draws(sampler: SubgraphSampler, t: int, number: int) -> list[tuple[int, ...]]:
    """The users drawn in each of many subgraphs that begin at the star's item, in the order they were drawn."""
    seeds = Seeds(
        {"item": np.zeros(number, dtype=np.int64)},
        {"item": np.arange(number)},
        np.full(number, t),
        subgraph_keys(1, 0, np.arange(number)),
    )
    out = sampler.subgraphs(seeds)
    users, of = out.node["user"][out.row[RATES]].numpy(), out.batch["item"][out.col[RATES]].numpy()
    users = users[np.argsort(of, kind="stable")]
    return [tuple(part.tolist()) for part in np.split(users, np.cumsum(np.bincount(of, minlength=number))[:-1])]


def likely(counts: Counter, expected: dict, number: int) -> float:
    """p-value of counts under expected probabilities."""
    assert set(counts) <= {key for key, share in expected.items() if share > 0}
    keys = [key for key, share in expected.items() if share > 0]
    total = sum(expected[key] for key in keys)
    return float(stats.chisquare([counts[k] for k in keys], [expected[k] / total * number for k in keys]).pvalue)


@BOTH
@pytest.mark.parametrize("size", [5, 7, 30], ids=lambda size: f"of_{size}")
def test_uniform_draws_without_replacement_are_uniform(kind: type[SubgraphSampler], size: int) -> None:
    number = 6000
    pairs = Counter(frozenset(drawn) for drawn in draws(kind(star(size + 4), [2]), size, number))
    every = {frozenset((a, b)): 1.0 for a in range(size) for b in range(a)}
    assert likely(pairs, every, number) > 1e-4


@BOTH
def test_uniform_draws_with_replacement_are_uniform_and_independent(kind: type[SubgraphSampler]) -> None:
    number = 6000
    pairs = Counter(draws(kind(star(8), [2], replace=True), 5, number))
    assert likely(pairs, {(a, b): 1.0 for a in range(5) for b in range(5)}, number) > 1e-4


def weights_at(strategy: str, weight: np.ndarray, t: int, half_life: float) -> np.ndarray:
    """Weight of the star's edges as seen from t; its first edge is at time 0."""
    time = np.arange(len(weight))
    seen = weight * (1 + time / t) if strategy == "strength" else weight * 0.5 ** ((t - time) / half_life)
    return np.where(time < t, seen, 0.0)


@pytest.mark.parametrize("strategy", ["strength", "decay"])
@pytest.mark.parametrize("size", [6, 24], ids=["one_pass", "by_rejection"])
@pytest.mark.parametrize("replace", [False, True])
def test_weighted_draws_go_by_the_weight_as_of_the_seeds_time(strategy: str, size: int, replace: bool) -> None:
    number, half_life = 20_000, 3.0
    weight = np.random.default_rng(3).random(size + 3) * 4
    weight[[1, size - 2]] = 0.0
    sampler = TemporalNeighborSampler(
        star(size + 3, weight), [2], strategy=strategy, half_life=half_life, replace=replace
    )
    share = weights_at(strategy, weight, size, half_life)
    share /= share.sum()
    if replace:
        ones = Counter(user for drawn in draws(sampler, size, number) for user in drawn)
        assert likely(ones, dict(enumerate(share.tolist())), 2 * number) > 1e-4
        return
    expected: Counter = Counter()
    for a, b in permutations(range(size), 2):  # one after the other
        expected[frozenset((a, b))] += share[a] * share[b] / (1 - share[a])
    common = {pair: chance for pair, chance in expected.items() if chance * number > 5}
    pairs = Counter(frozenset(drawn) for drawn in draws(sampler, size, number))
    assert all(len(pair) == 2 and expected[pair] > 0 for pair in pairs)
    seen = Counter({pair: count for pair, count in pairs.items() if pair in common})
    assert likely(seen, common, sum(seen.values())) > 1e-4


def test_decay_survives_times_far_apart() -> None:
    data = star(6)
    data[RATES].time = data[RATES].time * 10**15
    drawn = draws(TemporalNeighborSampler(data, [2], strategy="decay", half_life=1.0), 10**17, 50)
    assert set(drawn) == {(5, 4)} or {frozenset(pair) for pair in drawn} == {frozenset((4, 5))}


def test_weights_without_times_count_as_they_are() -> None:
    data = star(4, np.array([0.0, 1.0, 2.0, 5.0]))
    del data[RATES].time
    sampler = TemporalNeighborSampler(data, [1], strategy="strength")
    ones = Counter(user for (user,) in draws(sampler, 1, 8000))
    assert likely(ones, {1: 1 / 8, 2: 2 / 8, 3: 5 / 8}, 8000) > 1e-4


def test_threads_and_other_seeds_change_no_subgraph() -> None:
    data, rng = random_graph(3), np.random.default_rng(0)
    seeds = seeds_of(data, rng, count=50)
    one, many = (TemporalNeighborSampler(data, [2, 2], threads=threads).subgraphs(seeds) for threads in (1, 3))
    for kind in data.edge_types:
        assert torch.equal(one.edge[kind], many.edge[kind])
        assert torch.equal(one.row[kind], many.row[kind])
    alone = Seeds(
        {k: n[7:8] for k, n in seeds.nodes.items()},
        {k: np.zeros(1, int) for k in seeds.nodes},
        seeds.time[7:8],
        seeds.key[7:8],
    )
    single = TemporalNeighborSampler(data, [2, 2]).subgraphs(alone)
    assert Subgraph(data, single, 0).edges == Subgraph(data, one, 7).edges


def test_large_subgraphs_grow_the_tables() -> None:
    rng, size = np.random.default_rng(0), 3000
    data = HeteroData()
    data["user"].num_nodes = size
    data[KNOWS].edge_index = torch.from_numpy(rng.integers(0, size, (2, 40_000)))
    seeds = Seeds(
        {"user": np.array([5, 5])}, {"user": np.array([0, 1])}, np.zeros(2, int), subgraph_keys(0, 0, np.arange(2))
    )
    out = TemporalNeighborSampler(data, [-1, -1, -1]).subgraphs(seeds)
    for number in range(2):
        found, frontier = {5}, {5}
        source, target = data[KNOWS].edge_index.numpy()
        for _ in range(3):
            frontier = set(source[np.isin(target, list(frontier))].tolist()) - found
            found |= frontier
        nodes = out.node["user"][out.batch["user"] == number].tolist()
        assert sorted(nodes) == sorted(found)
        assert len(found) > 1500


def test_equal_seeds_of_a_subgraph_have_rows_of_their_own() -> None:
    data = star(4)
    seeds = Seeds(
        {"item": np.zeros(2, int)}, {"item": np.zeros(2, int)}, np.array([4]), subgraph_keys(0, 0, np.arange(1))
    )
    out = TemporalNeighborSampler(data, [-1]).subgraphs(seeds)
    assert out.node["item"].tolist() == [0, 0]
    assert sorted(out.col[RATES].tolist()) == [0] * 4 + [1] * 4
    assert sorted(out.node["user"].tolist()) == [0, 1, 2, 3]


def bad_end() -> HeteroData:
    data = star(4)
    data[RATES].end_time = 9 - data[RATES].time
    return data


def changed(edge_type: EdgeType, key: str, value: torch.Tensor) -> HeteroData:
    data = star(4)
    data[edge_type][key] = value
    return data


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (star(4), {"fan_out": [1, -2]}, "whole numbers of at least -1"),
        (star(4), {"fan_out": {RATES: [1], KNOWS: [1]}}, "has no.*knows"),
        (star(4), {"fan_out": {}}, "also has.*rates"),
        (star(4), {"fan_out": [1.5]}, "whole numbers"),
        (star(4), {"strategy": "newest"}, "choose uniform, last, strength or decay"),
        (star(4), {"strategy": "decay"}, "positive half_life"),
        (bad_end(), {}, "ends before an earlier one"),
        (changed(RATES, "time", torch.rand(4)), {}, "whole numbers"),
        (changed(RATES, "weight", -torch.ones(4)), {}, "at least 0"),
        (changed(RATES, "edge_index", torch.tensor([[0, 1, 2, 9], [0, 0, 0, 0]])), {}, "does not have"),
        ([], {}, "HeteroData"),
    ],
    ids=[
        "hops",
        "unknown",
        "missing",
        "fraction",
        "strategy",
        "half_life",
        "ends",
        "times",
        "weights",
        "nodes",
        "data",
    ],
)
def test_what_does_not_fit_is_refused(data: HeteroData, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TemporalNeighborSampler(data, **{"fan_out": [2], **options})


def test_no_more_types_than_can_be_told_apart() -> None:
    data = star(0)
    for number in range(256 - len(data.edge_types)):
        data["user", f"rates_{number}", "item"].edge_index = torch.tensor([[number], [0]])
    data["user"].num_nodes = 256
    seeds = Seeds(
        {"item": np.zeros(1, int)}, {"item": np.zeros(1, int)}, np.array([4]), subgraph_keys(0, 0, np.arange(1))
    )
    out = TemporalNeighborSampler(data, [-1]).subgraphs(seeds)
    assert sorted(out.node["user"].tolist()) == list(range(256 - len(star(0).edge_types)))
    data["user", "one more", "item"].edge_index = torch.zeros((2, 0), dtype=torch.int64)
    with pytest.raises(UserError, match=r"257 types of nodes or edges, but .* only 256 apart"):
        TemporalNeighborSampler(data, [-1])


@pytest.mark.skipif(HAS_PYG_LIB, reason="pyg-lib is installed")
def test_pyg_lib_is_asked_for_in_one_sentence_where_it_is_missing() -> None:
    with pytest.raises(UserError, match=r"not installed here.*loader\.sampler=numba"):
        PygLibSampler(star(4), [2])


def test_the_log_says_how_many_links_have_no_negative(caplog: pytest.LogCaptureFixture) -> None:
    from torch_geometric.sampler import EdgeSamplerInput, NegativeSampling

    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = 2, 2
    data[RATES].edge_index = torch.tensor([[0, 0, 1], [0, 1, 0]])
    data[IN_GROUP].edge_index = torch.zeros((2, 0), dtype=torch.int64)
    data["group"].num_nodes = 1
    links = EdgeSamplerInput(None, torch.tensor([0, 1]), torch.tensor([0, 0]), input_type=RATES)
    with caplog.at_level(logging.INFO, logger="recsys.loading.subgraph_sampler"):
        out = TemporalNeighborSampler(data, [1]).sample_from_edges(links, NegativeSampling("triplet", 1))
    assert caplog.messages == ["1 of 2 links have no valid negative and are left out (said once)."]
    _, source, positive, negative, _ = out.metadata
    assert [int(out.node["user"][i]) for i in source] == [1]
    assert [int(out.node["item"][i]) for i in (positive[0], negative[0])] == [0, 1]
