"""The samplers under PyTorch Geometric's own loaders."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch_geometric.typing
from torch.utils.data import DistributedSampler
from torch_geometric.data import HeteroData
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.sampler import NegativeSampling

from recsys.data.interaction_index import InteractionIndex
from recsys.errors import UserError
from recsys.loading.link_negatives import LogNegatives
from recsys.loading.negatives import InBatch, NegativeSampler, Popularity, Uniform
from recsys.loading.neighbor_sampler import TemporalNeighborSampler
from recsys.loading.pyg_lib_sampler import PygLibSampler
from recsys.loading.subgraph_sampler import SubgraphSampler
from tests.factories import tiny_log
from tests.loading.graphs import KNOWS, LAST_TIME, RATES, random_graph

BOTH = pytest.mark.parametrize(
    "kind",
    [
        TemporalNeighborSampler,
        pytest.param(
            PygLibSampler,
            marks=pytest.mark.skipif(not torch_geometric.typing.WITH_PYG_LIB, reason="pyg-lib is not installed"),
        ),
    ],
    ids=["numba", "pyg_lib"],
)


def graph() -> HeteroData:
    """A graph with enough items that every user has negatives."""
    rng, data = np.random.default_rng(5), random_graph(5)
    data["item"].num_nodes = 30
    data["item"].x = torch.arange(30.0)[:, None]
    data["item"].time = torch.from_numpy(rng.integers(0, 6, 30))
    data["user"].time[:] = 0
    pairs = np.stack([rng.integers(0, data["user"].num_nodes, 17), rng.integers(0, 30, 17)])
    data[RATES].edge_index, data[RATES].edge_number = torch.from_numpy(pairs), torch.arange(17)
    data[RATES].time = torch.from_numpy(rng.integers(0, LAST_TIME, 17))
    return data


def links(data: HeteroData, link_sampler: SubgraphSampler, neg_sampling: Any = None, **options: Any) -> LinkLoader:
    """A loader over all edges `rates`, each asked for at the end of time but the last few."""
    index = data[RATES].edge_index
    time = torch.full((index.shape[1],), LAST_TIME)
    time[-3:] = 5
    return LinkLoader(
        data,
        link_sampler,
        edge_label_index=(RATES, index),
        edge_label_time=time,
        neg_sampling=neg_sampling,
        **{"batch_size": 4, **options},
    )


def check_features(data: HeteroData, batch: HeteroData) -> None:
    """Everything that PyTorch Geometric gathered belongs to the nodes and edges that were sampled."""
    for kind in data.node_types:
        assert torch.equal(batch[kind].x, data[kind].x[batch[kind].n_id])
        assert sum(batch[kind].num_sampled_nodes) == len(batch[kind].n_id)
    for kind in data.edge_types:
        store = batch[kind]
        assert torch.equal(store.edge_number, store.e_id)
        ends = torch.stack(
            [batch[end].n_id[part] for end, part in ((kind[0], store.edge_index[0]), (kind[2], store.edge_index[1]))]
        )
        assert torch.equal(ends, data[kind].edge_index[:, store.e_id])


def ids(batch: HeteroData) -> list[bytes]:
    """What identifies a batch."""
    stores = [*batch.node_stores, *batch.edge_stores]
    return [store[key].numpy().tobytes() for store in stores for key in ("n_id", "e_id", "batch") if key in store]


@BOTH
def test_links_without_negatives(kind: type[SubgraphSampler]) -> None:
    data = graph()
    seen = []
    for batch in links(data, kind(data, [2, 2])):
        check_features(data, batch)
        store = batch[RATES]
        assert torch.equal(store.edge_label_index, torch.arange(len(store.input_id)).repeat(2, 1))
        ends = [batch[end].n_id[row] for end, row in zip(("user", "item"), store.edge_label_index, strict=True)]
        assert torch.equal(torch.stack(ends), data[RATES].edge_index[:, store.input_id])
        for end, row in zip(("user", "item"), store.edge_label_index, strict=True):
            assert torch.equal(batch[end].batch[row], torch.arange(len(row)))
        for edge_type in data.edge_types:
            if "time" in batch[edge_type]:
                since = store.edge_label_time[batch[edge_type[2]].batch[batch[edge_type].edge_index[1]]]
                assert (batch[edge_type].time < since).all()
        seen += store.input_id.tolist()
    assert seen == list(range(data[RATES].num_edges))


def is_new(data: HeteroData, user: int, item: int, t: int) -> bool:
    """Whether the item exists at t and no edge links it with the user."""
    linked = ((data[RATES].edge_index[0] == user) & (data[RATES].edge_index[1] == item)).any()
    return bool(data["item"].time[item] < t) and not bool(linked)


@BOTH
@pytest.mark.parametrize("labelled", [False, True])
def test_binary_negatives(kind: type[SubgraphSampler], labelled: bool) -> None:
    data = graph()
    label = torch.arange(data[RATES].num_edges) if labelled else None
    for batch in links(data, kind(data, [2]), NegativeSampling("binary", 3), edge_label=label):
        check_features(data, batch)
        store, size = batch[RATES], len(batch[RATES].input_id)
        # With labels of its own the loader makes room for 0, the label of negatives.
        expected = store.input_id + 1 if labelled else torch.ones(size)
        assert torch.equal(store.edge_label[:size], expected)
        assert (store.edge_label[size:] == 0).all()
        user, item = (batch[end].n_id[row] for end, row in zip(("user", "item"), store.edge_label_index, strict=True))
        assert torch.equal(torch.stack([user[:size], item[:size]]), data[RATES].edge_index[:, store.input_id])
        assert torch.equal(user[size:], user[:size].repeat_interleave(3))
        assert torch.equal(store.edge_label_time[size:], store.edge_label_time[:size].repeat_interleave(3))
        for u, i, t in zip(
            user[size:].tolist(), item[size:].tolist(), store.edge_label_time[size:].tolist(), strict=True
        ):
            assert is_new(data, u, i, t)
        same = [batch[end].batch[row] for end, row in zip(("user", "item"), store.edge_label_index, strict=True)]
        assert torch.equal(*same)
        assert torch.equal(same[0][size:], torch.arange(size).repeat_interleave(3))


@BOTH
@pytest.mark.parametrize("amount", [1, 3])
def test_triplets(kind: type[SubgraphSampler], amount: int) -> None:
    data = graph()
    for batch in links(data, kind(data, [2]), NegativeSampling("triplet", amount)):
        check_features(data, batch)
        source, target = batch["user"].src_index, batch["item"].dst_pos_index
        size = len(source)
        negative = batch["item"].dst_neg_index.view(size, amount)
        assert batch["item"].dst_neg_index.shape == ((size,) if amount == 1 else (size, amount))
        users, items = batch["user"].n_id[source].tolist(), batch["item"].n_id[negative].tolist()
        for u, row, t in zip(users, items, batch["user"].seed_time.tolist(), strict=True):
            assert all(is_new(data, u, i, t) for i in row)
        assert torch.equal(batch["item"].batch[negative], torch.arange(size)[:, None].expand(-1, amount))
        assert torch.equal(batch["item"].batch[target], torch.arange(size))


@BOTH
def test_shared_negatives_are_one_set_a_query_time(kind: type[SubgraphSampler]) -> None:
    data = graph()
    sampler = kind(data, [2], share_negatives=True)
    for batch in links(data, sampler, NegativeSampling("triplet", 3), batch_size=8):
        check_features(data, batch)
        time, negative = batch["user"].seed_time, batch["item"].dst_neg_index
        users = batch["user"].n_id[batch["user"].src_index].tolist()
        for t in time.unique():
            rows = negative[time == t]
            assert (rows == rows[0]).all()
            at = [user for user, since in zip(users, time.tolist(), strict=True) if since == int(t)]
            for item in batch["item"].n_id[rows[0]].tolist():
                assert all(is_new(data, user, item, int(t)) for user in at)
        subgraphs = batch["item"].batch[negative]
        assert (subgraphs >= len(time)).all()
        assert len(subgraphs.unique()) == len(time.unique())


def test_links_within_one_node_type() -> None:
    data = graph()
    loader = LinkLoader(
        data,
        TemporalNeighborSampler(data, [2]),
        edge_label_index=(KNOWS, data[KNOWS].edge_index),
        neg_sampling=NegativeSampling("binary", 1),
        batch_size=5,
    )
    for batch in loader:
        check_features(data, batch)
        size = len(batch[KNOWS].input_id)
        ends = batch["user"].n_id[batch[KNOWS].edge_label_index]
        assert torch.equal(ends[:, :size], data[KNOWS].edge_index[:, batch[KNOWS].input_id])
        linked = set(map(tuple, data[KNOWS].edge_index.t().tolist()))
        assert not any(tuple(pair) in linked for pair in ends[:, size:].t().tolist())


@BOTH
def test_nodes(kind: type[SubgraphSampler]) -> None:
    data = graph()
    time = torch.arange(30) % LAST_TIME
    for batch in NodeLoader(data, kind(data, [2, 1]), input_nodes="item", input_time=time, batch_size=7):
        check_features(data, batch)
        size = batch["item"].batch_size
        assert torch.equal(batch["item"].n_id[:size], batch["item"].input_id)
        assert torch.equal(batch["item"].batch[:size], torch.arange(size))
        index = batch[RATES].edge_index
        assert (batch[RATES].time < batch["item"].seed_time[batch["item"].batch[index[1]]]).all()


@pytest.mark.parametrize(
    ("ratio", "message"),
    [
        (NegativeSampling("binary", 1.5), "1.5 negatives a link"),
        (NegativeSampling("triplet", 1, dst_weight=torch.ones(30)), "Weights"),
    ],
    ids=["fraction", "weights"],
)
def test_ratios_that_are_not_whole_and_weights_are_refused(ratio: NegativeSampling, message: str) -> None:
    data = graph()
    with pytest.raises(UserError, match=message):
        next(iter(links(data, TemporalNeighborSampler(data, [2]), ratio)))


def test_links_without_edges_of_their_own_need_negatives() -> None:
    data = graph()
    loader = LinkLoader(
        data,
        TemporalNeighborSampler(data, [2]),
        edge_label_index=(("group", "likes", "user"), torch.zeros((2, 3), dtype=torch.int64)),
        neg_sampling="binary",
    )
    with pytest.raises(UserError, match="No edge of the graph leads from group to user"):
        next(iter(loader))


@pytest.mark.parametrize(
    "negatives", [Uniform(count=3), Popularity(count=3), InBatch(count=3)], ids=["uniform", "popularity", "in_batch"]
)
def test_the_projects_negative_samplers_plug_in(negatives: NegativeSampler) -> None:
    log = tiny_log(num_users=20, num_contents=30, num_events=200)
    event = np.arange(100, 140)
    data = HeteroData()
    data["user"].num_nodes, data["content"].num_nodes = len(log.users), len(log.contents)
    pairs = torch.from_numpy(np.stack([log.user, log.content]))
    data["user", "acts", "content"].edge_index, data["user", "acts", "content"].time = pairs, torch.from_numpy(log.time)
    index = InteractionIndex(log)
    sampler = TemporalNeighborSampler(data, [2], negatives=LogNegatives(log, index, negatives))
    loader = LinkLoader(
        data,
        sampler,
        edge_label_index=(("user", "acts", "content"), pairs[:, event]),
        edge_label_time=torch.from_numpy(log.time[event]),
        neg_sampling=NegativeSampling("triplet", 3),
        batch_size=8,
    )
    for batch in loader:
        time = batch["user"].seed_time.numpy()[:, None]
        user = batch["user"].n_id[batch["user"].src_index].numpy()[:, None]
        content = batch["content"].n_id[batch["content"].dst_neg_index].numpy()
        assert not index.seen_before(user, content, time).any()
        assert (log.contents.exists_from[content] < time).all()

    loader.neg_sampling = NegativeSampling("triplet", 2)
    with pytest.raises(UserError, match="draws 3 contents a row, but 2 are asked for"):
        next(iter(loader))


def test_batches_are_the_same_whatever_the_workers_and_threads_and_change_with_the_epoch() -> None:
    data = graph()
    binary = NegativeSampling("binary", 1)
    sampler = TemporalNeighborSampler(data, [2, 2], seed=3)
    here = [ids(batch) for batch in links(data, sampler, binary)]
    assert here == [
        ids(batch) for batch in links(data, TemporalNeighborSampler(data, [2, 2], seed=3, threads=2), binary)
    ]
    assert here != [ids(batch) for batch in links(data, TemporalNeighborSampler(data, [2, 2], seed=4), binary)]
    workers = links(data, sampler, binary, num_workers=2, persistent_workers=True)
    assert here == [ids(batch) for batch in workers]
    assert here == [ids(batch) for batch in workers]
    sampler.set_epoch(1)
    later = [ids(batch) for batch in workers]
    assert later != here
    assert later == [ids(batch) for batch in links(data, sampler, binary)]


def test_a_links_subgraph_depends_on_the_link_alone_and_repeats_differ() -> None:
    data = graph()
    sampler = TemporalNeighborSampler(data, [1, 1])
    whole = {}
    for size in (1, 4):
        for batch in links(data, sampler, batch_size=size):
            for place, number in enumerate(batch[RATES].input_id.tolist()):
                edges = [
                    batch[kind].e_id[batch[kind[2]].batch[batch[kind].edge_index[1]] == place].tolist()
                    for kind in data.edge_types
                ]
                assert whole.setdefault(number, edges) == edges
    number = int(torch.bincount(data[KNOWS].edge_index[1], minlength=data["user"].num_nodes).argmax())
    repeated = NodeLoader(
        data, sampler, input_nodes=("user", torch.full((40,), number)), sampler=[0] * 40, batch_size=40
    )
    (batch,) = list(repeated)
    assert len(batch[KNOWS].e_id.unique()) > 1


def test_distributed_processes_share_the_links_out() -> None:
    data = graph()
    count, seen = data[RATES].num_edges, []
    for rank in range(2):
        share = DistributedSampler(range(count), num_replicas=2, rank=rank, shuffle=True, seed=1)
        for batch in links(data, TemporalNeighborSampler(data, [2]), sampler=share, pin_memory=False):
            seen += batch[RATES].input_id.tolist()
    assert set(seen) == set(range(count))
    assert len(seen) == count + count % 2


def test_samplers_can_be_copied_for_spawned_workers() -> None:
    data = graph()
    sampler = TemporalNeighborSampler(data, [2])
    twin = copy.deepcopy(sampler)
    assert [ids(b) for b in links(data, sampler)] == [ids(b) for b in links(data, twin)]
