import json
from dataclasses import replace
from itertools import combinations
from typing import Any

import pandas as pd
import pytest
import torch
from torch_geometric.data import HeteroData

from recsys.data.features import fit_encoders
from recsys.errors import UserError
from recsys.graph.schema import CONTENT, CREATOR, EVENT_ATTRIBUTES, SIMILAR, TAG, USER, GraphSchema, event_edge, reverse
from recsys.graph.settings import GraphSettings
from recsys.graph.temporal_graph import TemporalGraph
from recsys.models.edge_weights import EVENT_WEIGHTS, EdgeWeights
from recsys.models.network import edge_groups
from recsys.models.registry import NETWORKS
from tests.models.helpers import (
    PARTS,
    make_network,
    pick_running_statistics,
    pick_zeros,
    same_bits,
    signals,
    small_graph,
    small_log,
    snapshot,
    widths,
)

EVERY = pytest.mark.parametrize("name", sorted(NETWORKS))


def changed(graph: HeteroData, store: Any, **values: torch.Tensor) -> HeteroData:
    """The same graph with other tensors in one of its stores."""
    graph = graph.clone()
    for key, value in values.items():
        graph[store][key] = value
    return graph


@EVERY
@PARTS
@pytest.mark.parametrize("layers", [0, 1, 3])
def test_every_node_gets_a_finite_vector(name: str, layers: int, parts: dict[str, Any]) -> None:
    graph = snapshot()
    network = make_network(name, layers=layers, **parts)
    for mode in (network.train(), network.eval()):
        vectors = mode.encode(graph)
        assert vectors.keys() == small_graph().schema.numbers.keys() == {USER, CONTENT, CREATOR, TAG}
        for node_type, of_type in vectors.items():
            assert of_type.shape == (graph[node_type].num_nodes, widths(network)[node_type])
            assert of_type.isfinite().all()


@EVERY
def test_activations_stay_sane_with_many_edge_types(name: str) -> None:
    """The 14 edge types and 6 layers neither blow vectors up nor make all nodes alike."""
    vectors = make_network(name, layers=6).eval().encode(snapshot())
    assert vectors[CONTENT].abs().max() < 30
    assert vectors[CONTENT].std(dim=0).mean() > 0.1


@EVERY
def test_nodes_without_edges_work(name: str) -> None:
    graph = snapshot()
    for edge_type in small_graph().schema.edge_types:
        store = graph[edge_type]
        values = {"edge_index": store.edge_index[:, :0]}
        if "edge_attr" in store:
            values["edge_attr"] = store.edge_attr[:0]
        graph = changed(graph, edge_type, **values)
    for of_type in make_network(name).encode(graph).values():
        assert of_type.isfinite().all()


@EVERY
def test_a_snapshot_of_the_first_moment_works(name: str) -> None:
    """One user and one content and no events before it; in training too, where batch norm has no variance."""
    network = make_network(name).train()
    for t in (int(small_log().time[0]), int(small_log().time[0]) + 1):
        for of_type in network.encode(small_graph().snapshot(t)).values():
            assert of_type.isfinite().all()


@EVERY
def test_newcomers_are_encoded_alone(name: str) -> None:
    t = int(small_log().users.exists_from[-2])
    newcomers = torch.arange(small_log().users.count_before(t), len(small_log().users)).numpy()
    assert len(newcomers) > 1
    network = make_network(name).eval()
    alone = network.encode(small_graph().newcomers(newcomers, t))
    among = network.encode(small_graph().snapshot(t, newcomers=newcomers))
    assert alone[CONTENT].shape == (0, widths(network)[CONTENT])
    torch.testing.assert_close(alone[USER], among[USER][-len(newcomers) :])


@EVERY
def test_cold_content_gets_its_vector_from_creator_tags_and_features(name: str) -> None:
    """Inductive: a content without any event moves with what its creator, its tags and its features are."""
    graph = snapshot()
    met = torch.cat([graph[event_edge(kind)].edge_index[1] for kind in small_graph().schema.event_types])
    made_by, has_tag = (CONTENT, "created_by", CREATOR), (CONTENT, "has_tag", TAG)
    tagged = graph[has_tag].edge_index[0]
    cold = next(c for c in range(graph[CONTENT].num_nodes) if c not in met and c in tagged)
    network = make_network(name, similarity=False).eval()

    def without(edge_type: tuple[str, str, str]) -> HeteroData:
        back = reverse(edge_type)
        forth_kept = graph[edge_type].edge_index[0] != cold
        back_kept = graph[back].edge_index[1] != cold
        fewer = changed(graph, edge_type, edge_index=graph[edge_type].edge_index[:, forth_kept])
        return changed(fewer, back, edge_index=graph[back].edge_index[:, back_kept])

    x = graph[CONTENT].x.clone()
    x[cold] += 1
    other = changed(graph, CONTENT, x=x)
    before = network.encode(graph)[CONTENT]
    assert before[cold].isfinite().all()
    assert not torch.allclose(before[cold], before[torch.arange(len(before)) != cold], atol=1e-3)
    for cause in (without(made_by), without(has_tag), other):
        assert (network.encode(cause)[CONTENT][cold] - before[cold]).abs().max() > 1e-3


@pytest.mark.parametrize("column", EVENT_ATTRIBUTES)
def test_edge_attributes_reach_the_vectors(column: str) -> None:
    """Another value of one edge's attribute changes its ends, both ways, and only if the attention may see it."""
    graph = snapshot()
    views = event_edge("view")
    place = EVENT_ATTRIBUTES.index(column)
    target = graph[views].edge_index[1].mode().values
    edge = int((graph[views].edge_index[1] == target).nonzero()[0])
    for edge_type in (views, reverse(views)):
        attributes = graph[edge_type].edge_attr.clone()
        attributes[edge, place] += 0.5
        other = changed(graph, edge_type, edge_attr=attributes)
        end = int(graph[edge_type].edge_index[1, edge])
        sighted = make_network("gat_sage", layers=1, edge_attributes=[column]).eval()
        moved = (sighted.encode(other)[edge_type[2]] - sighted.encode(graph)[edge_type[2]]).abs().amax(dim=1)
        assert moved[end] > 1e-4
        assert not moved[torch.arange(len(moved)) != end].any()
        others = [name for name in EVENT_ATTRIBUTES if name != column]
        blind = make_network("gat_sage", edge_attributes=others).eval()
        assert same_bits(blind.encode(other)[edge_type[2]], blind.encode(graph)[edge_type[2]])


def test_every_choice_of_edge_attributes_gives_other_vectors() -> None:
    """With the same weights everywhere, so that nothing but the attributes can differ."""
    choices = [names for size in range(4) for names in combinations(EVENT_ATTRIBUTES, size)]
    graph, found = snapshot(), []
    for names in choices:
        network = make_network("gat_sage", edge_attributes=names).eval()
        for name, parameter in network.named_parameters():
            if parameter.dim() > 1:
                torch.manual_seed(len(name))
                value = torch.full_like(parameter, 0.7) if "attributes" in name else torch.randn_like(parameter) / 4
                parameter.data = value
        found.append(network.encode(graph)[USER])
    for one, other in combinations(found, 2):
        assert (one - other).abs().max() > 1e-3


@EVERY
def test_every_choice_of_edge_weights_gives_other_vectors(name: str) -> None:
    graph, found = snapshot(), {}
    for kind in EVENT_WEIGHTS:
        network = make_network(name, edge_weights=kind).eval()
        assert network.settings["edge_weights"] == kind
        found[kind] = network.encode(graph)
    for node_type in (USER, CONTENT):
        torch.testing.assert_close(found["learned"][node_type], found["none"][node_type])  # before it has learned
        kinds = [kind for kind in EVENT_WEIGHTS if kind != "learned"]
        for one, other in combinations(kinds, 2):
            assert (found[one][node_type] - found[other][node_type]).abs().max() > 1e-3, (one, other)


@EVERY
@pytest.mark.parametrize("kind", [kind for kind in EVENT_WEIGHTS if kind != "none"])
def test_edge_weights_come_from_their_own_attributes(name: str, kind: str) -> None:
    """Another value of one edge's attribute changes the vector of its target, and only if the weights look at it."""
    seen = {"learned": ("weight", "recency")}.get(kind, (kind,))
    only = {"edge_attributes": []} if name == "gat_sage" else {}
    graph, views = snapshot(), event_edge("view")
    edge = int((graph[views].edge_index[1] == graph[views].edge_index[1].mode().values).nonzero()[0])
    network = make_network(name, layers=1, edge_weights=kind, **only).eval()
    for module in network.modules():
        if isinstance(module, EdgeWeights) and module.slope is not None:
            module.slope.data.fill_(0.5)
    before = network.encode(graph)[CONTENT]
    for place, column in enumerate(EVENT_ATTRIBUTES):
        attributes = graph[views].edge_attr.clone()
        attributes[edge, place] += 0.5
        after = network.encode(changed(graph, views, edge_attr=attributes))[CONTENT]
        moved = (after - before).abs().amax(dim=1)
        end = int(graph[views].edge_index[1, edge])
        assert (moved[end] > 1e-4) == (column in seen)
        assert not moved[torch.arange(len(moved)) != end].any()


@EVERY
def test_the_cosine_of_similarity_edges_matters_unless_switched_off(name: str) -> None:
    graph = snapshot()
    similar = (CONTENT, SIMILAR, CONTENT)
    assert graph[similar].num_edges
    other = changed(graph, similar, edge_attr=torch.rand_like(graph[similar].edge_attr))
    for similarity in (True, False):
        network = make_network(name, similarity=similarity).eval()
        moved = not same_bits(network.encode(other)[CONTENT], network.encode(graph)[CONTENT])
        assert moved == similarity


@EVERY
def test_no_layers_means_no_messages(name: str) -> None:
    graph = snapshot()
    network = make_network(name, layers=0).eval()
    rewired = graph
    for edge_type in small_graph().schema.edge_types:
        rewired = changed(rewired, edge_type, edge_index=graph[edge_type].edge_index.flip(1))
    for node_type, of_type in network.encode(graph).items():
        assert same_bits(of_type, network.encode(rewired)[node_type])


@EVERY
def test_block_logits_equal_pair_logits(name: str) -> None:
    network = make_network(name)
    pick_running_statistics(network)
    vectors = network.eval().encode(snapshot())
    user, content = vectors[USER], vectors[CONTENT]
    with torch.no_grad():
        pairs = network.pair_logits(user[:, None], content[None])
        torch.testing.assert_close(network.block_logits(user, content), pairs, atol=1e-5, rtol=1e-5)
        moods = torch.arange(small_graph().schema.num_moods)
        torch.testing.assert_close(
            network.mood_block_logits(moods, content),
            network.mood_logits(moods[:, None], content),
            atol=1e-5,
            rtol=1e-5,
        )


@EVERY
@PARTS
@pytest.mark.parametrize("layers", [0, 2])
def test_a_logit_is_that_of_the_head_plus_gated_popularity_plus_paths_less_the_level(
    name: str, layers: int, parts: dict[str, Any]
) -> None:
    network = make_network(name, layers=layers, **parts)
    pick_running_statistics(network)
    pick_zeros(network)
    close = {"atol": 1e-5, "rtol": 1e-5}
    with torch.no_grad():
        vectors = network.eval().encode(snapshot())
        user, content = vectors[USER], vectors[CONTENT]
        rows = torch.arange(len(content)).expand(len(user), -1)
        expected = network.head(user[:, None, :16], content[None, :, :16])
        moods = torch.arange(small_graph().schema.num_moods)
        of_moods = network.mood_head(moods[:, None], content[None, :, :16])
        x, x_cat = snapshot()[USER].x, snapshot()[USER].x_cat
        level, mood_level = network.level.user(x, x_cat), network.level.mood(moods)
        assert level.std() > 0.1
        assert mood_level.std() > 0.1
        assert same_bits(network.user_levels(vectors, torch.arange(len(user))), level[:, 0])
        if network.gates is not None:
            width = 16 + network.gates.width
            expected = expected + user[:, 16:width] @ content[:, 16:width].T
            of_moods = of_moods + network.gates.mood(moods) @ content[:, 16:width].T
            torch.testing.assert_close(user[:, 16:width], network.gates.user(x, x_cat))
        expected, of_moods = expected - level, of_moods - mood_level
        for found in (network.block_logits(user, content), network.pair_logits(user[:, None], content[None])):
            torch.testing.assert_close(found, expected, **close)
        said = None
        if network.pair is not None:
            said = signals(network, torch.arange(len(user)), rows)
            paths = torch.stack([network.path_logits(*each) for each in zip(user, said, strict=True)])
            assert paths.std() > 0.1
            expected = expected + paths
        torch.testing.assert_close(network.pair_logits(user[:, None], content[None], said), expected, **close)
        for found in (network.mood_block_logits(moods, content), network.mood_logits(moods[:, None], content[None])):
            torch.testing.assert_close(found, of_moods, **close)
        in_training = network.link_logits(vectors, torch.arange(len(user)), rows, said)
        torch.testing.assert_close(in_training - level, expected, **close)
        in_training = network.mood_link_logits(vectors, moods, rows[: len(moods)])
        torch.testing.assert_close(in_training - mood_level, of_moods, **close)


@EVERY
def test_switching_a_part_off_leaves_the_others_as_they_are(name: str) -> None:
    """The same weights give the same logits but for what is switched off."""
    whole = make_network(name).eval()
    vectors = whole.encode(snapshot())
    for parts in ({"popularity_gates": False}, {"pair": "none"}):
        fewer = make_network(name, seed=1, **parts).eval()
        assert fewer.settings.items() >= parts.items()
        weights = whole.state_dict()
        assert weights.keys() > fewer.state_dict().keys()
        fewer.load_state_dict({key: weights[key] for key in fewer.state_dict()})
        for node_type, of_type in fewer.encode(snapshot()).items():
            assert same_bits(of_type[:, :16], vectors[node_type][:, :16])


@EVERY
@PARTS
def test_link_logits_less_levels_equal_pair_logits(name: str, parts: dict[str, Any]) -> None:
    # In training mode, so that batch norm sees the same pairs.
    network = make_network(name, dropout=0.0, feature_dropout=0.0, **parts)
    pick_zeros(network)
    vectors = network.encode(snapshot())
    user, content = torch.tensor([3, 0, 3]), torch.tensor([[1, 2], [5, 1], [0, 0]])
    said = signals(network, user, content)
    pairs = network.pair_logits(vectors[USER][user][:, None], vectors[CONTENT][content], said)
    level, mood_level = network.user_levels(vectors, user)[:, None], network.level.mood(user % 2)
    torch.testing.assert_close(network.link_logits(vectors, user, content, said) - level, pairs)
    moods = network.mood_logits(user[:, None] % 2, vectors[CONTENT][content])
    torch.testing.assert_close(network.mood_link_logits(vectors, user % 2, content) - mood_level, moods)


@EVERY
def test_same_seed_same_bits_other_seed_other_bits(name: str) -> None:
    def trained(seed: int) -> torch.Tensor:
        network = make_network(name, seed=seed)
        vectors = network.encode(snapshot())
        network.pair_logits(vectors[USER][:3], vectors[CONTENT][:3]).sum().backward()
        return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])

    assert same_bits(trained(1), trained(1))
    assert not same_bits(trained(1), trained(2))


@EVERY
def test_built_again_from_settings_and_weights(name: str) -> None:
    """What a bundle does: settings through JSON, weights through a state dict."""
    settings: dict[str, Any] = {"hidden": 8, "layers": 1, "dropout": 0.5, "category_dim": 3, "similarity": False}
    settings |= {"edge_weights": "learned", "popularity_gates": False, "pair": "none"}
    network = make_network(name, **settings)
    pick_running_statistics(network)
    assert network.settings.items() >= settings.items()
    schema = GraphSchema.from_json(json.loads(json.dumps(small_graph().schema.to_json())))
    again = NETWORKS[network.name](schema, **json.loads(json.dumps(network.settings)))
    assert again.settings == network.settings
    again.load_state_dict(network.state_dict())
    first, second = network.eval().encode(snapshot()), again.eval().encode(snapshot())
    assert same_bits(
        network.block_logits(first[USER], first[CONTENT]), again.block_logits(second[USER], second[CONTENT])
    )


@EVERY
@pytest.mark.parametrize(("edge_weights", "pair"), [("none", "propagate"), ("learned", "local_gnn")])
def test_every_weight_learns(name: str, edge_weights: str, pair: str) -> None:
    """Each parameter gets a gradient from the pairs or the moods, so no part is left out of the network."""
    network = make_network(name, edge_weights=edge_weights, pair=pair, id_embedding=4)
    pick_zeros(network)
    vectors = network.encode(snapshot())
    users, contents = torch.arange(len(vectors[USER])), torch.arange(len(vectors[CONTENT]))
    said = signals(network, users, contents.expand(len(users), -1))
    loss = network.pair_logits(vectors[USER][:, None], vectors[CONTENT], said).square().sum()
    moods = torch.arange(small_graph().schema.num_moods)
    (loss + network.mood_logits(moods[:, None], vectors[CONTENT]).square().sum()).backward()
    # Creators and tags of the last layer speak to nobody any more.
    last = tuple(f"layers.1.{part}" for part in ("root", "norm", "convs"))
    for key, parameter in network.named_parameters():
        if key.startswith(last) and (CREATOR in key or TAG in key):
            continue
        assert parameter.grad is not None, key
        assert parameter.grad.any(), key


@EVERY
def test_the_mood_loss_reaches_the_moods_and_the_content_encoder(name: str) -> None:
    network = make_network(name)
    network.mood_logits(torch.tensor([0, 1]), network.encode(snapshot())[CONTENT][:2]).sum().backward()
    assert network.mood_head.moods.weight.grad[:2].abs().sum(dim=1).all()
    assert network.embeddings[CONTENT].projection.weight.grad.any()


@EVERY
@pytest.mark.parametrize("switch", ["creators", "tags", "time_features"])
def test_graphs_with_a_part_switched_off(name: str, switch: str) -> None:
    """Vectors, pairs and moods as ever; without time features creators have nothing of their own to start from."""
    graph = TemporalGraph(small_log(), fit_encoders(small_log()), GraphSettings(**{switch: False}))
    network = make_network(name, graph)
    data = graph.snapshot(small_log().boundaries.t_val)
    for mode in (network.train(), network.eval()):
        vectors = mode.encode(data)
        assert vectors.keys() == graph.schema.numbers.keys()
        assert all(of_type.isfinite().all() for of_type in vectors.values())
        pairs = torch.tensor([0, 1]), torch.tensor([[0], [1]])
        assert network.link_logits(vectors, *pairs, signals(network, *pairs, graph)).isfinite().all()
        moods = torch.arange(graph.schema.num_moods)
        assert network.mood_logits(moods, vectors[CONTENT][moods]).isfinite().all()


def test_users_without_any_feature_are_told_apart_by_their_edges_and_score_as_in_training() -> None:
    """One vector for all leaves nothing to normalise: running statistics would otherwise chase a variance of 0."""
    log = replace(small_log(), users=replace(small_log().users, attributes=pd.DataFrame(index=range(12)), kinds={}))
    graph = TemporalGraph(log, fit_encoders(log), GraphSettings(time_features=False))
    assert graph.schema.numbers[USER] == 0
    assert graph.schema.categories[USER] == ()
    data = graph.snapshot(log.boundaries.t_val)
    network = make_network("gat_sage", graph, dropout=0.0, feature_dropout=0.0)
    optimizer = torch.optim.Adam(network.embeddings[USER].parameters(), lr=0.1)
    for _ in range(30):
        optimizer.zero_grad()
        network.encode(data)[USER].sum(dim=1).square().sum().backward()
        optimizer.step()
    trained = network.embeddings[USER](data[USER].x, data[USER].x_cat)
    assert trained[0].any()
    assert same_bits(trained, network.eval().embeddings[USER](data[USER].x, data[USER].x_cat))
    users = network.encode(data)[USER]
    assert torch.pdist(users).max() > 1e-2


@EVERY
def test_data_without_moods_creators_and_features(name: str) -> None:
    """A log without any metadata: nodes with nothing but edges."""
    schema = GraphSchema(
        numbers={USER: 0, CONTENT: 0},
        categories={USER: (), CONTENT: ()},
        edge_types=(event_edge("buy"), reverse(event_edge("buy"))),
        event_types=("buy",),
        num_moods=0,
        popularity=(),
        pair_signals=("all_paths",),
        num_met={USER: 2, CONTENT: 2},
    )
    graph = HeteroData()
    for node_type, count in ((USER, 3), (CONTENT, 4)):
        graph[node_type].x, graph[node_type].x_cat = torch.zeros(count, 0), torch.zeros(count, 0, dtype=torch.int64)
    for edge_type in schema.edge_types:
        graph[edge_type].edge_index, graph[edge_type].edge_attr = torch.tensor([[0, 1], [1, 2]]), torch.rand(2, 3)
    network = NETWORKS[name](schema, hidden=8)
    vectors = network.encode(graph)
    assert network.pair_logits(vectors[USER], vectors[CONTENT][:3], torch.rand(3, 1)).isfinite().all()
    for ask in (network.mood_logits, network.mood_block_logits):
        with pytest.raises(UserError, match="no moods"):
            ask(torch.tensor([0]), vectors[CONTENT][:1])


def test_groups_hold_every_edge_type_once() -> None:
    schema = small_graph().schema
    grouped = [edge_type for group in edge_groups(schema).values() for edge_type in group.edge_types]
    assert sorted(grouped) == sorted(schema.edge_types)
    without = [e for group in edge_groups(schema, similarity=False).values() for e in group.edge_types]
    assert sorted(without) == sorted(e for e in schema.edge_types if e[1] != SIMILAR)


def test_event_types_may_have_any_name() -> None:
    """Names that a module could not have as a key, and those of other relations."""
    odd = ("a.b", "keys", "similar", "created_by", "training", "")
    events = [event_edge(kind) for kind in odd]
    others = [(CONTENT, "created_by", CREATOR), (USER, SIMILAR, USER)]
    edge_types = (*events, *map(reverse, events), *others)
    schema = replace(small_graph().schema, event_types=odd, edge_types=edge_types)
    for network in NETWORKS.values():
        assert network(schema, hidden=4).layers
    grouped = [edge_type for group in edge_groups(schema).values() for edge_type in group.edge_types]
    assert sorted(grouped) == sorted(edge_types)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": 15, "heads": 2}, "multiple"),
        ({"hidden": 0}, r"model\.hidden"),
        ({"layers": -1}, r"model\.layers"),
        ({"heads": 0}, r"model\.heads"),
        ({"dropout": 1.0}, r"model\.dropout"),
        ({"feature_dropout": -0.1}, r"model\.feature_dropout is -0\.1: it must be a number of at least 0 and below 1"),
        ({"edge_attributes": ["speed"]}, "speed"),
        ({"edge_weights": "speed"}, "speed"),
        ({"id_embedding": 0}, r"model\.id_embedding is 0: it must be a whole number of at least 1, or null"),
        ({"id_embedding": 4, "id_dropout": 1.0}, r"model\.id_dropout is 1\.0"),
        ({"pair": "walk"}, r"model\.pair is 'walk': choose among none, co_engagement, propagate, local_gnn"),
    ],
)
def test_impossible_settings_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        NETWORKS["gat_sage"](small_graph().schema, **settings)


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"popularity_gates": "none"}, r"model\.popularity_gates is none: it must be true or false"),
        ({"similarity": "off"}, r"model\.similarity is off: it must be true or false"),
        ({"head_hidden": 0}, r"model\.head_hidden is 0: it must be a whole number of at least 1"),
        ({"category_dim": -1}, r"model\.category_dim is -1"),
        ({"hidden": 8.0}, r"model\.hidden is 8\.0"),
        ({"layers": True}, r"model\.layers is True"),
        ({"dropout": "a"}, r"model\.dropout is a: it must be a number"),
    ],
)
def test_settings_that_mean_nothing_are_errors_of_both(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        NETWORKS[name](small_graph().schema, **settings)


def test_unknown_edge_weights_of_hetero_sage_are_an_error() -> None:
    with pytest.raises(UserError, match=r"model\.edge_weights is 'cosine': choose among none, recency, weight"):
        NETWORKS["hetero_sage"](small_graph().schema, edge_weights="cosine")
