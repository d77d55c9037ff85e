"""The neighbour loader's batches against the log, against snapshots, and under a changed future."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.event_log import EventLog
from recsys.data.features import fit_encoders
from recsys.data.interaction_index import InteractionIndex
from recsys.data.preparation import LogSettings, prepare
from recsys.errors import UserError
from recsys.graph.schema import CONTENT, SIMILAR, USER, event_edge, reverse
from recsys.graph.settings import GraphSettings, SimilaritySettings
from recsys.graph.temporal_graph import TemporalGraph
from recsys.loading.batch import LinkBatch
from recsys.loading.negatives import Hard, InBatch, NegativeSampler, Popularity, Uniform
from recsys.loading.neighbor_loader import NeighborLoader
from recsys.models.registry import NETWORKS
from recsys.sources.base import Tables
from tests.factories import tiny_log, tiny_tables, with_future_changed
from tests.loading.helpers import bits, hand_log
from tests.models.helpers import pick_running_statistics, pick_zeros

NEGATIVES: dict[str, NegativeSampler] = {
    "uniform": Uniform(count=3),
    "popularity": Popularity(count=3),
    "in_batch": InBatch(count=3),
    "hard": Hard(pool=6, count=3),
}
EVERY_TIME = 10**6  # refreshes: one at every time there is


def make_loader(
    log: EventLog,
    negatives: NegativeSampler | None = None,
    *,
    seed: int = 0,
    graph_settings: GraphSettings | None = None,
    **options: Any,
) -> NeighborLoader:
    return NeighborLoader(
        log=log,
        graph=TemporalGraph(log, fit_encoders(log), graph_settings),
        index=InteractionIndex(log),
        negatives=negatives or Uniform(count=3),
        seed=seed,
        **{"fan_out": [2, 2], "batch_size": 8, "refreshes": 4, **options},
    )


def some_log(seed: int = 0) -> EventLog:
    return tiny_log(seed, num_users=12, num_contents=20, num_events=150)


def rows_of(batch: LinkBatch) -> zip:
    """User, contents, query time and label of each seed, in the log's numbers."""
    users = batch.graph[USER].n_id[batch.user].tolist()
    contents = batch.graph[CONTENT].n_id[batch.content].tolist()
    return zip(users, contents, batch.time.tolist(), batch.label.tolist(), strict=True)


@pytest.mark.parametrize("times_per_batch", [None, 1, 3])
@pytest.mark.parametrize("name", NEGATIVES)
def test_batches_are_new_pairs_at_their_times_with_true_negatives(name: str, times_per_batch: int | None) -> None:
    log, pairs, times = some_log(), [], set()
    loader = make_loader(log, NEGATIVES[name], horizon=0.2, times_per_batch=times_per_batch)
    for batch in loader.batches(epoch=1):
        assert batch.keep == 3
        assert batch.content.shape == batch.log_q.shape == (len(batch.user), 1 + (6 if name == "hard" else 3))
        for user, (positive, *negatives), t, label in rows_of(batch):
            mine = log.user == user
            of_pair = mine & (log.content == positive)
            assert not (of_pair & (log.time < t)).any()
            assert log.contents.exists_from[positive] < t < log.boundaries.t_val
            assert label in log.label[of_pair & log.is_target]
            for content in negatives:
                assert log.contents.exists_from[content] < t
                assert not (mine & (log.content == content) & (log.time < t)).any()
            pairs.append((user, positive))
            times.add(t)
        assert torch.equal(batch.graph.time, batch.time.unique())
        subgraph = batch.graph[USER].batch[batch.user]
        assert torch.equal(batch.graph.time[subgraph], batch.time)
        of_content = batch.graph[CONTENT].batch[batch.content]
        assert torch.equal(of_content, subgraph[:, None].expand_as(of_content))
    assert len(set(pairs)) == len(pairs) == loader.seeds_per_epoch > 30
    assert len(times) > (15 if times_per_batch is None else 5)


def test_every_node_is_once_in_the_subgraph_of_a_time() -> None:
    num_subgraphs = {}
    for times_per_batch in (None, 1):
        batches = list(make_loader(some_log(), horizon=0.2, times_per_batch=times_per_batch).batches(0))
        for graph in (batch.graph for batch in batches):
            for kind in graph.node_types:
                nodes = torch.stack([graph[kind].batch, graph[kind].n_id])
                assert nodes.unique(dim=1).shape == nodes.shape
        num_subgraphs[times_per_batch] = sum(len(batch.graph.time) for batch in batches)
    assert num_subgraphs[1] < 0.6 * num_subgraphs[None]


def test_seeds_of_one_time_follow_one_another_and_share_negatives() -> None:
    # Contents enough that hardly any is drawn twice by chance, and few that a user must not get.
    log = tiny_log(0, num_users=40, num_contents=2000, num_events=400)
    batches = list(make_loader(log, Uniform(count=20), batch_size=32, times_per_batch=2, horizon=0.2).batches(0))
    times = [time for batch in batches for time in batch.time.unique_consecutive().tolist()]
    assert len(times) <= len(set(times)) + 2 * len(batches)  # a batch may begin, and end, within a time
    for batch in batches:
        for time in batch.time.unique().tolist():
            contents = batch.graph[CONTENT].n_id[batch.content[batch.time == time, 1:]]
            assert len(contents.unique()) < 40


def test_no_edge_and_no_node_is_of_the_seeds_time_or_later() -> None:
    log = some_log()
    first = int(log.time[0])
    nodes = {"user": log.users, "content": log.contents, "creator": log.creators, "tag": log.tags}
    for batch in make_loader(log, fan_out=[-1, -1]).batches(0):
        graph = batch.graph
        for kind, table in nodes.items():
            t = graph.time[graph[kind].batch].numpy()
            late = table.exists_from[graph[kind].n_id.numpy()] >= t
            seeds = graph[USER].num_sampled_nodes[0]  # a seed's user may be a newcomer
            assert not late[seeds if kind == USER else 0 :].any()
        for number, name in enumerate(log.types):
            for kind in (event_edge(name), reverse(event_edge(name))):
                source, target = graph[kind].edge_index
                t = graph.time[graph[kind[2]].batch[target]].tolist()
                users, contents = (source, target) if kind[0] == USER else (target, source)
                users, contents = graph[USER].n_id[users].tolist(), graph[CONTENT].n_id[contents].tolist()
                for u, c, since, attributes in zip(users, contents, t, graph[kind].edge_attr.tolist(), strict=True):
                    events = np.flatnonzero(
                        (log.user == u) & (log.content == c) & (log.type == number) & (log.time < since)
                    )
                    weight = (log.weight / log.max_weight)[events]
                    late = (log.time[events] - first) / (since - first)
                    allowed = np.stack([weight, late, weight * (1 + late) / 2], axis=1)
                    assert np.isclose(allowed, attributes, atol=1e-6).all(axis=1).any()


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize("similarity", [True, False])
def test_with_all_neighbours_the_output_is_that_of_the_snapshot_at_each_seeds_time(name: str, similarity: bool) -> None:
    log = some_log()
    linked = GraphSettings(similarity=SimilaritySettings(users=similarity, contents=similarity))
    loader = make_loader(log, graph_settings=linked, fan_out=[-1, -1], refreshes=EVERY_TIME)
    graph = TemporalGraph(log, fit_encoders(log), linked)
    torch.manual_seed(0)
    network = NETWORKS[name](graph.schema, hidden=16, head_hidden=8, id_embedding=4).eval()
    pick_running_statistics(network)
    pick_zeros(network)
    compared = 0
    with torch.no_grad():
        for place in range(2):
            batch = loader.batch(0, place)
            vectors = network.encode(batch.graph)
            for row, (user, contents, t, _) in enumerate(rows_of(batch)):
                newcomers = np.array([user] if user >= log.users.count_before(t) else [], dtype=np.int64)
                snapshot = graph.snapshot(t, newcomers=newcomers)
                whole = network.encode(snapshot)
                at = snapshot[USER].num_nodes - 1 if len(newcomers) else user
                assert torch.allclose(vectors[USER][batch.user[row]], whole[USER][at], atol=1e-5)
                assert torch.allclose(vectors[CONTENT][batch.content[row]], whole[CONTENT][contents], atol=1e-5)
                compared += 1
    assert compared > 8


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_what_cannot_reach_the_seeds_is_left_out_and_changes_nothing(name: str) -> None:
    log = some_log()
    graph = TemporalGraph(log, fit_encoders(log))
    torch.manual_seed(0)
    for layers in (0, 1, 2):
        network = NETWORKS[name](graph.schema, hidden=16, head_hidden=8, layers=layers, id_embedding=4).eval()
        batch = make_loader(log, fan_out=[3, 2]).batch(0, 0)
        whole = batch.graph.clone()
        for kind in whole.node_types:
            del whole[kind].num_sampled_nodes
        with torch.no_grad():
            trimmed, every = network.encode(batch.graph), network.encode(whole)
        for kind in batch.graph.node_types:
            assert len(trimmed[kind]) == batch.graph[kind].num_sampled_nodes[0]
            assert torch.allclose(trimmed[kind], every[kind][: len(trimmed[kind])], atol=1e-5)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_hops_beyond_the_layers_change_nothing_and_layers_beyond_the_hops_are_refused(name: str) -> None:
    log = some_log()
    graph = TemporalGraph(log, fit_encoders(log))
    network = NETWORKS[name](graph.schema, hidden=16, head_hidden=8, layers=1).eval()
    one_hop, two_hops = (make_loader(log, fan_out=fan_out).batch(0, 0).graph for fan_out in ([3], [3, 2]))
    with torch.no_grad():
        expected, found = network.encode(one_hop), network.encode(two_hops)
        assert all(torch.equal(found[kind], expected[kind]) for kind in expected)
        deep = NETWORKS[name](graph.schema, hidden=16, head_hidden=8, layers=3)
        with pytest.raises(UserError, match=r"3 layers .*samples 2 hops.*loader.fan_out=\[10,5,5\]"):
            deep.encode(two_hops)


def test_similarity_edges_are_those_of_the_last_refresh() -> None:
    log = some_log()
    loader = make_loader(log, fan_out=[-1], refreshes=3)
    graph = TemporalGraph(log, fit_encoders(log))
    num_train = log.count_before(log.boundaries.t_val)
    start = int(0.3 * num_train)
    renewed = np.unique(log.time[start + (num_train - start) * np.arange(3) // 3])
    kind = (CONTENT, SIMILAR, CONTENT)
    batch, compared = loader.batch(0, 0), 0
    source, target = batch.graph[kind].edge_index
    of = batch.graph[CONTENT].batch
    for row, (_, (positive, *_), t, _) in enumerate(rows_of(batch)):
        last = int(renewed[renewed <= t].max())
        index = graph.snapshot(last)[kind].edge_index
        found = batch.graph[CONTENT].n_id[source[target == batch.content[row, 0]]].tolist()
        assert sorted(found) == sorted(index[0, index[1] == positive].tolist())
        compared += len(found)
    assert compared
    assert torch.equal(of[source], of[target])


def test_a_graph_without_time_features_creators_and_tags() -> None:
    log = some_log()
    bare = GraphSettings(creators=False, tags=False, time_features=False)
    batch = make_loader(log, graph_settings=bare).batch(0, 0)
    graph = TemporalGraph(log, fit_encoders(log), bare)
    assert set(batch.graph.node_types) == {USER, CONTENT}
    whole = graph.snapshot(int(log.time[-1]))
    for kind in (USER, CONTENT):
        assert torch.equal(batch.graph[kind].x, whole[kind].x[batch.graph[kind].n_id])


def test_moods_are_those_of_what_the_user_comes_to_act_on() -> None:
    log = some_log()
    loader = make_loader(log, horizon=0.2, start_share=0.1)
    reach = int(0.2 * log.count_before(log.boundaries.t_val))
    found, of_others = 0, 0
    for batch in loader.batches(0):
        users, contents = batch.graph[USER].n_id[batch.user].tolist(), batch.graph[CONTENT].n_id[batch.content[:, 0]]
        mood_of = dict(zip(batch.mood_seed.tolist(), batch.mood.tolist(), strict=True))
        for row, (user, content, time) in enumerate(zip(users, contents.tolist(), batch.time.tolist(), strict=True)):
            last = min(log.count_before(time) + reach, log.count_before(log.boundaries.t_val) - 1)
            earlier = log.content[: log.count_before(time)][log.user[: log.count_before(time)] == user]
            later = np.flatnonzero((log.user == user) & (log.time >= time) & (log.time <= log.time[last]))
            assert bool(batch.cold[row]) == (len(earlier) == 0)
            acts = set(log.content[later].tolist()) - set(earlier.tolist())
            moods = set(log.content_tags[1][np.isin(log.content_tags[0], list(acts))]) & set(log.moods)
            assert content in acts
            assert (row in mood_of) == bool(moods)
            if moods:
                assert log.moods[mood_of[row]] in moods
            found += len(moods) > 0
            of_others += len(acts) > 1
    assert found
    assert of_others


def test_no_moods_give_empty_tensors() -> None:
    events = [(0, 2, 10), (1, 3, 20), (0, 3, 30), (1, 2, 40), (0, 2, 50)]
    (batch,) = make_loader(hand_log(events, 50), start_share=0.4, horizon=0.5).batches(0)
    assert len(batch.user) == 1
    assert batch.mood.shape == batch.mood_seed.shape == (0,)


@pytest.mark.parametrize("strategy", ["uniform", "last", "strength", "decay"])
@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 10_000))
def test_no_bit_of_a_batch_depends_on_what_happens_from_validation_on(strategy: str, seed: int) -> None:
    tables = tiny_tables(seed % 7)
    boundaries = prepare(tables, LogSettings()).log.boundaries
    cuts = LogSettings(boundaries=[boundaries.t_val, boundaries.t_test])
    negatives = list(NEGATIVES.values())[seed % 4]

    def epoch_bits(source: Tables) -> list[bytes]:
        options = {"strategy": strategy, "half_life": 0.5, "horizon": 0.5, "start_share": 0.1}
        loader = make_loader(prepare(source, cuts).log, negatives, **options)
        return [bits(batch) for batch in loader.batches(epoch=0)]

    changed = with_future_changed(tables, boundaries.t_val, np.random.default_rng(seed))
    assert epoch_bits(tables) == epoch_bits(changed)


def test_same_seed_same_bits_other_seed_or_epoch_other_bits() -> None:
    log = some_log()

    def epoch_bits(seed: int, epoch: int, **options: Any) -> list[bytes]:
        return [bits(batch) for batch in make_loader(log, seed=seed, **options).batches(epoch)]

    first = epoch_bits(seed=1, epoch=2)
    assert first == epoch_bits(seed=1, epoch=2)
    assert first == epoch_bits(seed=1, epoch=2, threads=3)
    assert not set(first) & set(epoch_bits(seed=2, epoch=2))
    assert not set(first) & set(epoch_bits(seed=1, epoch=3))


@pytest.mark.parametrize("persistent", [True, False])
def test_workers_give_the_same_batches_and_none_touches_the_global_random_state(persistent: bool) -> None:
    log = some_log()
    state = torch.get_rng_state()
    here, workers = make_loader(log), make_loader(log, num_workers=2, persistent_workers=persistent, pin_memory=False)
    expected = {epoch: [bits(batch) for batch in here.batches(epoch)] for epoch in (0, 1)}
    for epoch in (0, 1, 0):
        assert [bits(batch) for batch in workers.batches(epoch)] == expected[epoch]
    next(iter(workers.batches(1)))  # left in the middle
    assert [bits(batch) for batch in workers.batches(0)] == expected[0]
    assert (torch.get_rng_state() == state).all()


def test_batches_can_be_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a GPU memory cannot be pinned, so what would be is written down.
    pinned: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor, *_: pinned.append(tensor) or tensor)
    batch = make_loader(some_log()).batch(0, 0)
    assert bits(batch.pin_memory()) == bits(batch)
    seen = {tensor.data_ptr() for tensor in pinned if tensor.numel()}
    for tensor in (batch.user, batch.content, batch.label, batch.time, batch.graph[USER].x, batch.graph[CONTENT].n_id):
        assert tensor.data_ptr() in seen


def test_an_epoch_takes_all_seeds_or_as_many_as_asked_for() -> None:
    log = some_log()
    whole = make_loader(log, batch_size=7)
    count = sum(len(batch.user) for batch in whole.batches(0))
    assert len(whole) == len(list(whole.batches(0))) == -(-count // 7)
    part = make_loader(log, batch_size=7, seeds_per_epoch=10)
    assert len(part) == 2
    chosen = [{(u, c[0]) for batch in part.batches(epoch) for u, c, _, _ in rows_of(batch)} for epoch in range(2)]
    assert len(chosen[0]) == 10
    assert chosen[0] != chosen[1]


@pytest.mark.parametrize("batch_size", [3, 8])
def test_distributed_processes_share_the_seeds_out(tmp_path: Any, batch_size: int) -> None:
    every = seeds_in(make_loader(some_log(), batch_size=batch_size).batches(1))
    shares = torch.multiprocessing.get_context("fork").SimpleQueue()
    context = torch.multiprocessing.start_processes(
        _share, args=(str(tmp_path / "meet"), batch_size, shares), nprocs=2, join=False, start_method="fork"
    )
    found = [shares.get() for _ in range(2)]
    context.join()
    assert found[0][0] == found[1][0]  # as many batches
    assert sorted(found[0][1] + found[1][1]) == sorted(every)


def seeds_in(batches: Iterable[LinkBatch]) -> list[tuple[int, int]]:
    return [(user, contents[0]) for batch in batches for user, contents, _, _ in rows_of(batch)]


def _share(rank: int, meet: str, batch_size: int, shares: Any) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=2)
    loader = make_loader(some_log(), batch_size=batch_size, num_workers=1)
    share = list(loader.batches(1))
    assert len(share) == len(loader)
    assert all(0 < len(batch.user) <= batch_size for batch in share)
    shares.put((len(share), seeds_in(share)))
    torch.distributed.destroy_process_group()


def test_fan_out_by_relation() -> None:
    log = some_log()
    graph = make_loader(log, fan_out=[1, 0], fan_out_of={"view": [-1, 0], "rev_view": [0, 0]}).batch(0, 0).graph
    into = torch.bincount(graph[USER, "view", CONTENT].edge_index[1])
    assert into.max() > 1
    assert torch.bincount(graph[USER, "like", CONTENT].edge_index[1]).max() == 1
    assert graph[CONTENT, "rev_view", USER].edge_index.shape == (2, 0)
    assert all(graph[kind].num_sampled_edges[1] == 0 for kind in graph.edge_types)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "loader.batch_size is 0"),
        ({"times_per_batch": 0}, "loader.times_per_batch is 0"),
        ({"negatives_shared_by": 0}, "loader.negatives_shared_by is 0"),
        ({"seeds_per_epoch": 0}, "loader.seeds_per_epoch is 0"),
        ({"refreshes": 0}, "loader.refreshes is 0"),
        ({"num_workers": -1}, "loader.num_workers is -1"),
        ({"threads": 0}, "loader.threads is 0"),
        ({"horizon": 1.5}, "loader.horizon is 1.5"),
        ({"sampler": "cugraph"}, "choose numba or pyg_lib"),
        ({"fan_out_of": {"views": [1, 1]}}, "loader.fan_out_of names views"),
        ({"fan_out_of": {"view": [1]}}, "as many for each edge type"),
        ({"strategy": "decay"}, "positive half_life"),
        ({"half_life": "a"}, "loader.half_life is a: it must be a number above 0, or null"),
        ({"half_life": 0}, "loader.half_life is 0"),
        ({"batch_size": 2.5}, "loader.batch_size is 2.5: it must be a whole number of at least 1"),
        ({"threads": True}, "loader.threads is True"),
        ({"replace": "none"}, "loader.replace is none: it must be true or false"),
        ({"pin_memory": "off"}, "loader.pin_memory is off"),
        ({"persistent_workers": "no"}, "loader.persistent_workers is no"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_arguments_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_loader(some_log(), **options)
