import itertools
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from sklearn.metrics import roc_auc_score
from torch.optim import Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau

from recsys.data.interaction_index import InteractionIndex
from recsys.data.preparation import LogSettings, prepare
from recsys.data.ranking_task import RankingBatch
from recsys.errors import UserError
from recsys.graph.schema import CONTENT, USER
from recsys.loading.batch import LinkBatch
from recsys.loading.negatives import Uniform
from recsys.loading.neighbor_loader import NeighborLoader
from recsys.loading.snapshot_loader import SnapshotLoader
from recsys.models.graph_scorer import GraphScorer
from recsys.models.lightning_module import LEVEL_WEIGHT, PREDICTED, WARM, WATCHED, LinkPredictionModule, RankingMetrics
from recsys.models.network import Network
from recsys.models.objectives import BCE, BPR, Objective, SampledSoftmax
from recsys.models.ranking import Ranked, rank
from recsys.models.registry import NETWORKS
from tests.factories import tiny_log, tiny_tables, with_future_changed
from tests.models.helpers import (
    graph_of,
    make_datamodule,
    make_network,
    pick_zeros,
    same_bits,
    signals,
    small_graph,
)

OBJECTIVES: tuple[Objective, ...] = (BCE(), BPR(), SampledSoftmax())
EVERY = pytest.mark.parametrize("name", sorted(NETWORKS))
EVERY_PAIR = pytest.mark.parametrize(("name", "objective"), list(itertools.product(sorted(NETWORKS), OBJECTIVES)))


def make_module(name: str = "gat_sage", objective: Objective | None = None, **changes: Any) -> LinkPredictionModule:
    network = changes.pop("network", None) or make_network(name)
    options = {"optimizer": partial(Adam, lr=0.01), **changes}
    scorer = GraphScorer(network, options.pop("graph", small_graph()))
    return LinkPredictionModule(scorer=scorer, objective=objective or BCE(), **options)


def make_trainer(**settings: Any) -> lightning.Trainer:
    quiet = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing")
    return lightning.Trainer(accelerator="cpu", num_sanity_val_steps=0, **{**dict.fromkeys(quiet, False), **settings})


def first_batch() -> LinkBatch:
    return make_datamodule().loader.batch(0, 0)


def pair_logits(network: Network, batch: LinkBatch) -> torch.Tensor:
    """Logits of the seeds of a batch from a snapshot, paths included, pair by pair, as before levels are taken off."""
    vectors = network.encode(batch.graph)
    user, content = vectors[USER][batch.user], vectors[CONTENT][batch.content]
    (t,) = batch.time.unique().tolist()
    said = signals(network, batch.graph[USER].n_id[batch.user], batch.content, t=t)
    assert said.any()
    return network.pair_logits(user[:, None], content, said) + network.user_levels(vectors, batch.user)[:, None]


def losses(module: LinkPredictionModule, batch: LinkBatch, steps: int) -> list[float]:
    """Train on one batch without a trainer; the loss of every step's pairs."""
    found = []
    module.log = lambda key, value, **_: found.append(value.item()) if key == "train/loss" else None
    optimizer = module.configure_optimizers()
    for step in range(steps):
        optimizer.zero_grad()
        module.training_step(batch, step).backward()
        optimizer.step()
    return found


@EVERY_PAIR
def test_one_epoch_of_training_and_a_lower_loss(name: str, objective: Objective) -> None:
    module = make_module(name, objective, network=make_network(name, dropout=0.0, feature_dropout=0.0))
    before = [p.clone() for p in module.parameters()]
    trainer = make_trainer(max_epochs=1)
    trainer.fit(module, datamodule=make_datamodule())
    assert not all(torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))
    metrics = trainer.callback_metrics
    assert {"train/loss", "train/mood_loss"} < metrics.keys()
    assert {f"val/{name}" for name in ("ndcg@10", "recall@20", "mrr@10", "auroc", "loss")} < metrics.keys()
    found = losses(module, first_batch(), 12)
    assert found[-1] < found[0]


@EVERY_PAIR
def test_overfits_fifty_events(name: str, objective: Objective) -> None:
    """With labels of 1 the least loss is 0, and features, creators and tags suffice to get there."""
    log = tiny_log(num_users=8, num_contents=12, num_events=50)
    log = replace(log, weight=np.full(len(log), log.max_weight, dtype=np.float32))
    graph = graph_of(log)
    batch = make_datamodule(graph, snapshots=1).loader.batch(0, 0)
    assert (batch.label == 1).all()
    assert len(batch.user) >= 5
    network = make_network(name, graph, layers=1, hidden=32, dropout=0.0, feature_dropout=0.0)
    module = make_module(
        network=network, graph=graph, objective=objective, mood_weight=0.0, optimizer=partial(Adam, lr=0.02)
    )
    assert losses(module, batch, 60)[-1] < 0.02


@pytest.mark.parametrize("equal_users", [True, False])
def test_the_loss_is_the_objective_of_the_pairs_plus_the_weighted_one_of_the_moods(equal_users: bool) -> None:
    batch = first_batch()
    batch = replace(batch, cold=batch.user % 2 == 0)  # who is new only matters to the moods
    of_user = Counter(batch.user.tolist())  # all at one time
    assert len(set(of_user.values())) > 1
    weight = torch.tensor([1 / of_user[user] if equal_users else 1.0 for user in batch.user.tolist()])
    network = make_network("gat_sage", dropout=0.0, feature_dropout=0.0)
    pick_zeros(network)
    module = make_module(network=network, mood_weight=0.3, equal_users=equal_users)
    logged: dict[str, float] = {}
    module.log = lambda key, value, **_: logged.update({key: value.item()})

    loss = module.training_step(batch, 0)

    with torch.no_grad():
        pairs, vectors = pair_logits(network, batch), network.encode(batch.graph)
        level, mood_level = network.user_levels(vectors, batch.user), network.level.mood(batch.mood)[:, 0]
        seed = batch.mood_seed
        asked = weight[seed] * torch.tensor([1 if cold else WARM for cold in batch.cold[seed].tolist()])
        content = vectors[CONTENT][batch.content[seed]]
        moods = network.mood_logits(batch.mood[:, None], content) + mood_level[:, None]
        of_moods = BCE()(moods, batch.label[seed], batch.log_q[seed], asked)
        expected = BCE()(pairs, batch.label, batch.log_q, weight), of_moods
    assert len(seed)
    assert logged == pytest.approx({"train/loss": expected[0].item(), "train/mood_loss": expected[1].item()}, abs=1e-6)
    of_levels = np.average((pairs[:, 1:].mean(dim=1) - level) ** 2, weights=weight)
    of_levels += np.average((moods[:, 1:].mean(dim=1) - mood_level) ** 2, weights=asked)
    assert of_levels > 0.1
    of_pairs = expected[0].item() + 0.3 * expected[1].item()
    assert loss.item() == pytest.approx(of_pairs + LEVEL_WEIGHT * of_levels, abs=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: type(one).__name__)
def test_a_batch_whose_seeds_have_no_negative_changes_nothing(objective: Objective) -> None:
    batch = first_batch()
    names = ("user", "content", "label", "log_q", "time", "cold", "mood", "mood_seed")
    none = {name: getattr(batch, name)[:0] for name in names}
    module = make_module(objective=objective)
    module.log = lambda *_, **__: None
    module.training_step(replace(batch, **none), 0).backward()
    assert all(p.grad is None or not p.grad.any() for p in module.network.parameters())


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: type(one).__name__)
def test_every_user_counts_alike_whatever_was_done(objective: Objective) -> None:
    """Somebody with one view counts as much as somebody with many likes."""
    batch = first_batch()
    counted = torch.zeros(len(batch.label))

    class Watched:
        by_label = objective.by_label

        def __call__(
            self, logits: torch.Tensor, label: torch.Tensor, log_q: torch.Tensor, weight: torch.Tensor
        ) -> torch.Tensor:
            # At equal logits the positive's gradient is what a seed counts, times the same for all.
            alike = torch.zeros_like(logits).requires_grad_()
            ones = label if objective.by_label else torch.ones_like(label)
            objective(alike, ones, torch.zeros_like(log_q), weight).backward()
            counted.copy_(-alike.grad[:, 0])
            return objective(logits, label, log_q, weight)

    module = make_module(objective=Watched(), mood_weight=0.0)
    module.log = lambda *_, **__: None
    module.training_step(batch, 0)
    of_user = torch.zeros(int(batch.user.max()) + 1).index_add_(0, batch.user, counted)[batch.user.unique()]
    torch.testing.assert_close(of_user, of_user[:1].expand_as(of_user))
    assert len(of_user) > 2
    assert batch.label.unique().numel() > 1


@EVERY
def test_levels_are_learned_by_themselves(name: str) -> None:
    """They come to be the mean logits of negatives, and no bit of another gradient depends on them."""
    batch, gradients = first_batch(), []
    for weight in (0.0, 1.0):
        network = make_network(name, dropout=0.0, feature_dropout=0.0)
        pick_zeros(network)
        network.level.load_state_dict({key: weight * of for key, of in network.level.state_dict().items()})
        module = make_module(network=network, objective=SampledSoftmax())
        module.log = lambda *_, **__: None
        module.training_step(batch, 0).backward()
        gradients.append({key: of.grad for key, of in network.named_parameters() if of.grad is not None})
    own, others = ([key for key in gradients[0] if key.startswith("level.") == is_own] for is_own in (True, False))
    assert all(same_bits(gradients[0][key], gradients[1][key]) for key in others)
    assert any(gradients[1][key].any() for key in own)

    network = make_network(name, dropout=0.0, feature_dropout=0.0)
    module = make_module(network=network, objective=SampledSoftmax(), optimizer=partial(Adam, lr=0.02))
    losses(module, batch, 100)
    with torch.no_grad():
        usual = pair_logits(network, batch)[:, 1:].mean(dim=1)
        level = network.user_levels(network.encode(batch.graph), batch.user)
    assert (usual - level).std() < 0.5 * usual.std()
    assert (usual - level).mean().abs() < 0.5 * usual.mean().abs()


def test_only_the_hardest_negatives_enter_the_loss() -> None:
    batch = first_batch()
    network = make_network("hetero_sage", dropout=0.0, feature_dropout=0.0)
    pick_zeros(network)
    module = make_module(network=network, objective=BPR(), mood_weight=0.0, equal_users=False)
    logged: dict[str, torch.Tensor] = {}
    module.log = lambda key, value, **_: logged.update({key: value})
    module.training_step(replace(batch, keep=1), 0)
    loss, logits = logged["train/loss"], pair_logits(network, batch)
    hardest = torch.stack([logits[:, 0], logits[:, 1:].amax(dim=1)], dim=1)
    torch.testing.assert_close(loss, BPR()(hardest, batch.label, torch.zeros_like(hardest), torch.ones(len(hardest))))


def test_a_batch_without_mood_seeds_and_a_weight_of_zero() -> None:
    batch = first_batch()
    nothing = {key: getattr(batch, key)[:0] for key in ("mood", "mood_seed")}
    with_none = make_module(network=make_network("gat_sage", dropout=0.0, feature_dropout=0.0))
    with_zero = make_module(network=make_network("gat_sage", dropout=0.0, feature_dropout=0.0), mood_weight=0.0)
    without = losses(with_none, replace(batch, **nothing), 2)
    assert without == losses(with_zero, batch, 2)
    for nothing in (-1.0, "abc", None, True, float("nan"), float("inf")):
        with pytest.raises(UserError, match=r"^mood_weight is .*: it must be a number of at least 0.$"):
            make_module(mood_weight=nothing)


def test_training_trains_the_moods_and_their_head() -> None:
    module = make_module(network=make_network("gat_sage", dropout=0.0, feature_dropout=0.0))
    head = module.network.mood_head
    before = [p.clone() for p in head.parameters()]
    batch = first_batch()
    losses(module, batch, 1)
    chosen = batch.mood.unique()
    assert (head.moods.weight[chosen] != before[0][chosen]).any(dim=1).all()
    assert (head.inner.weight != before[1]).any()


def test_validation_metrics_equal_naive_ones() -> None:
    rng = np.random.default_rng(0)
    data = make_datamodule()
    batches = list(data.val_dataloader())
    assert len(batches) > 1
    scores = torch.from_numpy(rng.normal(size=(99, 99)).astype(np.float32))

    class Fixed:
        gives_logits = True

        def score(self, users: np.ndarray, contents: np.ndarray, t: int) -> torch.Tensor:
            return scores[users][:, contents]

    metrics = RankingMetrics()
    for batch in batches:
        metrics.update(rank(Fixed(), batch, RankingMetrics.LONGEST), batch)

    ndcg, recall, mrr, pairs, loss = [], [], [], [], []
    for batch in batches:
        for row, user in enumerate(batch.user):
            seen = set(batch.seen[1, batch.seen[0] == row])
            candidates = sorted(set(range(batch.num_contents)) - seen, key=lambda c, u=user: -scores[u, c])
            relevant = batch.positive[1, batch.positive[0] == row]
            hits = [c in relevant for c in candidates]
            best = sum(1 / math.log2(i + 2) for i in range(min(len(relevant), 10)))
            ndcg.append(sum(hit / math.log2(i + 2) for i, hit in enumerate(hits[:10])) / best)
            recall.append(sum(hits[:20]) / len(relevant))
            mrr.append(1 / (hits.index(True) + 1) if True in hits[:10] else 0.0)
        users = batch.user[batch.positive[0]]
        for user, content, negative, label in zip(users, batch.positive[1], batch.negative, batch.label, strict=True):
            for place, target in ((content, label), (negative, 0.0)):
                if place >= 0:
                    probability = 1 / (1 + math.exp(-scores[user, place]))
                    pairs.append((place == content, probability))
                    loss.append(-target * math.log(probability) - (1 - target) * math.log(1 - probability))
    expected = {
        "ndcg@10": np.mean(ndcg),
        "recall@20": np.mean(recall),
        "mrr@10": np.mean(mrr),
        "auroc": roc_auc_score(*zip(*pairs, strict=True)),
        "loss": np.mean(loss),
    }
    assert metrics.compute() == pytest.approx(expected, abs=1e-5)
    metrics.reset()
    metrics.update(rank(Fixed(), batches[0], RankingMetrics.LONGEST), batches[0])
    assert metrics.compute()["ndcg@10"] == pytest.approx(np.mean(ndcg[: len(batches[0].user)]), abs=1e-5)


def test_an_empty_place_is_no_hit_of_another_user() -> None:
    """User 0 has a full list and the positive 2, user 1 has one candidate: its empty places are nobody's content."""
    batch = RankingBatch(
        time=0,
        num_contents=3,
        user=np.array([0, 1]),
        seen=np.zeros((2, 0), dtype=np.int64),
        positive=np.array([[0, 1], [2, 1]]),
        label=np.ones(2, dtype=np.float32),
        negative=np.array([-1, -1]),
        first=0,
        unborn=np.array([0, 2]),
    )
    content = np.array([[0, 1, 2], [0, -1, -1]])
    metrics = RankingMetrics()
    metrics.update(
        Ranked(content, np.zeros((2, 3), np.float32), np.ones(2, np.float32), np.full(2, np.nan, np.float32)), batch
    )
    assert metrics.ranking.compute()["ndcg@10"].item() == pytest.approx((1 / math.log2(4) + 0) / 2)
    assert metrics.compute()["loss"] == pytest.approx(math.log(1 + math.exp(-1)))


def test_test_and_predict() -> None:
    module, data = make_module(), make_datamodule()
    trainer = make_trainer()
    tested = trainer.test(module, datamodule=data, verbose=False)[0]
    assert tested.keys() == {f"test/{name}" for name in ("ndcg@10", "recall@20", "mrr@10", "auroc", "loss")}
    predicted = trainer.predict(module, datamodule=data)
    assert sum(len(ranked.content) for ranked in predicted) == sum(len(b.user) for b in data.test_dataloader())
    assert predicted[0].content.shape[1] == PREDICTED
    validated = trainer.validate(module, datamodule=data, verbose=False)[0]
    assert validated.keys() == {key.replace("test/", "val/") for key in tested}


def test_validation_scores_with_the_weights_of_now() -> None:
    module, data = make_module(network=make_network("gat_sage", dropout=0.0, feature_dropout=0.0)), make_datamodule()
    trainer = make_trainer(max_epochs=2)
    trainer.fit(module, datamodule=data)
    last = trainer.callback_metrics["val/loss"]
    fresh = make_module(network=module.network)
    assert make_trainer().validate(fresh, datamodule=data, verbose=False)[0]["val/loss"] == pytest.approx(float(last))


def test_the_average_by_hand() -> None:
    """The first steps weigh more: average <- d average + (1 - d) weights with d = min(averaging, k / (k + 10))."""
    start = make_network("gat_sage")
    module = make_module(network=start, averaging=0.25)
    assert module.averaged is module.scorer.network is start
    assert module.network is not start
    bias, average = module.network.head.outer.bias, start.head.outer.bias
    tracked = module.network.head.norm
    expected = average.item()
    assert bias.item() == expected
    for step, value in enumerate([3.0, -1.0, 0.5, 8.0, 2.0], 1):
        bias.data.fill_(value)
        tracked.running_mean.fill_(value)
        tracked.num_batches_tracked.fill_(step)
        module.on_train_batch_end(None, first_batch(), step)
        decay = min(0.25, step / (step + 10))
        expected = decay * expected + (1 - decay) * value
        assert average.item() == pytest.approx(expected, abs=1e-6)
        assert bias.item() == value
        assert start.head.norm.num_batches_tracked == step
        assert module.num_averaged == step
    assert start.head.norm.running_mean[0].item() == pytest.approx(expected, abs=0.02)


class States(Callback):
    """The trained weights after every step and the averaged ones after every epoch."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []
        self.epochs: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, module: LinkPredictionModule, *_: Any) -> None:
        self.steps.append({key: value.detach().clone() for key, value in module.network.named_parameters()})

    def on_validation_end(self, trainer: lightning.Trainer, module: LinkPredictionModule) -> None:
        self.epochs.append({key: value.clone() for key, value in module.averaged.state_dict().items()})


def test_what_is_evaluated_and_kept_is_the_average_of_the_weights_after_each_step(tmp_path: Path) -> None:
    network = make_network("hetero_sage")
    expected = {key: value.detach().double().clone() for key, value in network.named_parameters()}
    module, states = make_module(network=network, averaging=0.9), States()
    best = ModelCheckpoint(tmp_path, "best", monitor="val/ndcg@10", mode="max", enable_version_counter=False)
    trainer = make_trainer(max_epochs=3, enable_checkpointing=True, callbacks=[best, states])
    trainer.fit(module, datamodule=make_datamodule())

    steps = len(make_datamodule().loader) * 3
    assert len(states.steps) == steps == int(module.num_averaged)
    for step, weights in enumerate(states.steps, 1):
        decay = min(0.9, step / (step + 10))
        expected = {key: decay * value + (1 - decay) * weights[key] for key, value in expected.items()}
    for key, value in module.averaged.named_parameters():
        torch.testing.assert_close(value.detach().double(), expected[key], atol=1e-5, rtol=1e-5)
    assert any(not torch.equal(states.steps[-1][key], value) for key, value in module.averaged.named_parameters())

    kept = torch.load(tmp_path / "best.ckpt", weights_only=True)
    of_best = {key.removeprefix("averaged."): value for key, value in kept["state_dict"].items() if "averaged." in key}
    assert of_best.keys() == states.epochs[kept["epoch"]].keys()
    assert all(same_bits(value, states.epochs[kept["epoch"]][key]) for key, value in of_best.items())
    again = make_network("hetero_sage", seed=1)
    again.load_state_dict(of_best)
    validated = make_trainer().validate(make_module(network=again), datamodule=make_datamodule(), verbose=False)[0]
    assert validated["val/ndcg@10"] == pytest.approx(float(best.best_model_score))


def test_without_an_average_the_scorers_network_itself_is_trained() -> None:
    network = make_network("gat_sage")
    module = make_module(network=network)
    assert module.network is module.averaged is module.scorer.network is network
    before = [p.clone() for p in network.parameters()]
    make_trainer(max_epochs=1).fit(module, datamodule=make_datamodule())
    assert module.num_averaged == 0
    assert not all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


def test_an_average_of_nothing_but_the_last_step_trains_alike() -> None:
    """Decay 0 copies the weights after every step, and so ends as without an average."""
    found = []
    for averaging in (None, 0.0):
        module = make_module(averaging=averaging)
        make_trainer(max_epochs=2).fit(module, datamodule=make_datamodule())
        found.append([p.detach() for p in module.scorer.network.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("averaging", [1, 1.5, -0.1, math.nan, "much"])
def test_an_average_that_never_moves_or_runs_away_is_refused(averaging: Any) -> None:
    with pytest.raises(UserError, match=r"averaging is .*: it must be a number of at least 0 and below 1, or null"):
        make_module(averaging=averaging)


def make_neighbor_loader(**given: Any) -> NeighborLoader:
    return NeighborLoader(**given, fan_out=[3, 2], batch_size=16, times_per_batch=2, refreshes=2)


def test_every_user_counts_alike_at_each_time_of_a_batch_of_many_times() -> None:
    graph = small_graph()
    log, module, shared = graph.log, make_module(), 0
    given = {"log": log, "graph": graph, "index": InteractionIndex(log), "negatives": Uniform(count=3), "seed": 0}
    for batch in make_neighbor_loader(**given).batches(0):
        users = batch.graph[USER].n_id[batch.user].tolist()
        asked = list(zip(users, batch.time.tolist(), strict=True))
        count = Counter(asked)
        group = module._groups(batch)
        assert group.bincount()[group].tolist() == [count[pair] for pair in asked]
        shared += sum(number > 1 and users.count(user) > number for (user, _), number in count.items())
    assert shared, "some user with several seeds at one time and others at another"


@settings(deadline=None, max_examples=8)
@given(
    seed=st.integers(0, 1000),
    name=st.sampled_from(sorted(NETWORKS)),
    pair=st.sampled_from(["propagate", "local_gnn"]),
    make_loader=st.sampled_from([SnapshotLoader, make_neighbor_loader]),
)
def test_no_bit_of_a_gradient_depends_on_what_happens_from_validation_on(
    seed: int, name: str, pair: str, make_loader: Callable[..., Any]
) -> None:
    """Messages, features, popularity gates, paths, negatives and labels, whichever loader gives the batch."""
    tables = tiny_tables(seed % 5, num_users=10, num_contents=14, num_events=90)
    boundaries = prepare(tables, LogSettings()).log.boundaries
    cuts = LogSettings(boundaries=[boundaries.t_val, boundaries.t_test])
    changed = with_future_changed(tables, boundaries.t_val, np.random.default_rng(seed))
    found = []
    for each in (tables, changed):
        log = prepare(each, cuts).log
        graph = graph_of(log)
        network = make_network(name, graph, pair=pair, id_embedding=4)
        assert network.gates is not None
        assert network.pair is not None
        pick_zeros(network)
        module = make_module(network=network, graph=graph)
        module.log = lambda *_, **__: None
        loader = make_loader(log=log, graph=graph, index=InteractionIndex(log), negatives=Uniform(count=3), seed=seed)
        for place in range(min(len(loader), 2)):
            module.training_step(loader.batch(0, place), place).backward()
        found.append([torch.zeros(0) if p.grad is None else p.grad for p in network.parameters()])
    assert found[0][0].any()
    assert all(same_bits(one, other) for one, other in zip(*found, strict=True))


def test_monitoring_an_unknown_metric_is_an_error() -> None:
    module = make_module(monitor="val/ndgc@10", scheduler=ReduceLROnPlateau)
    with pytest.raises(UserError, match="val/ndcg@10"):
        make_trainer(max_epochs=1).fit(module, datamodule=make_datamodule())


class Watched(Callback):
    """The monitored metric and its smoothed value of every epoch."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.watched: list[float] = []

    def on_validation_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self.values.append(float(trainer.callback_metrics["val/ndcg@10"]))
        self.watched.append(float(trainer.callback_metrics[WATCHED]))


@pytest.mark.parametrize(("mode", "better"), [("max", 1), ("min", -1)])
@pytest.mark.parametrize("smoothing", [1, 3])
def test_what_is_watched_is_the_mean_of_the_last_epochs(
    smoothing: int, mode: Literal["max", "min"], better: int
) -> None:
    epochs = Watched()
    module = make_module(smoothing=smoothing, monitor_mode=mode)
    make_trainer(max_epochs=5, callbacks=[epochs]).fit(module, datamodule=make_datamodule())
    means = [np.mean(epochs.values[max(0, end - smoothing) : end]) for end in range(1, 6)]
    missing = [max(smoothing - end, 0) for end in range(1, 6)]
    assert len(set(epochs.values)) > 1
    np.testing.assert_allclose(epochs.watched, np.array(means) - better * np.array(missing), rtol=1e-6)
    assert (better * np.diff(epochs.watched[:smoothing]) > 0).all()  # no early epoch can be the best


class KilledError(Exception):
    """What `Kill` raises."""


class Kill(Callback):
    """Stops training in the middle of an epoch, as a killed process does: nothing is saved any more."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.current_epoch == self.epoch and trainer.fit_loop.batch_idx == 1:
            raise KilledError


class Rates(Callback):
    """The learning rate of every step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


class Run:
    """A run as `train.py` would make it, whose learning rate falls after every epoch but the first.

    `ModelCheckpoint(save_last=True)` would only save when the epoch is the best so far, hence a callback of its own.
    """

    def __init__(self, directory: Path, *callbacks: Callback, averaging: float | None, resume: bool = False) -> None:
        never_better = partial(ReduceLROnPlateau, mode="max", factor=0.5, patience=0, threshold=9, threshold_mode="abs")
        self.module = make_module(scheduler=never_better, seed=3, averaging=averaging)
        self.checkpoint = ModelCheckpoint(directory, "best", monitor=WATCHED, mode="max", enable_version_counter=False)
        last = ModelCheckpoint(directory, "last", enable_version_counter=False)
        self.stopping = EarlyStopping("val/loss", patience=50)
        self.rates = Rates()
        self.trainer = make_trainer(
            max_epochs=6,
            gradient_clip_val=1.0,
            enable_checkpointing=True,
            callbacks=[self.checkpoint, last, self.stopping, self.rates, *callbacks],
        )
        self.trainer.fit(
            self.module,
            datamodule=make_datamodule(),
            ckpt_path=directory / "last.ckpt" if resume else None,
            weights_only=True,
        )


@pytest.mark.parametrize(("epoch", "averaging"), [(1, 0.9), (3, 0.9), (5, 0.9), (3, None)])
def test_a_killed_and_resumed_run_ends_with_the_same_bits(tmp_path: Path, epoch: int, averaging: float | None) -> None:
    whole = Run(tmp_path / "whole", averaging=averaging)
    with pytest.raises(KilledError):
        Run(tmp_path / "killed", Kill(epoch), averaging=averaging)
    resumed = Run(tmp_path / "killed", averaging=averaging, resume=True)

    steps = len(make_datamodule().loader)
    assert whole.rates.rates[::steps] == [0.01, 0.01, 0.005, 0.0025, 0.00125, 0.000625]
    assert resumed.rates.rates == whole.rates.rates[epoch * steps :]
    ours, theirs = resumed.module.state_dict(), whole.module.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(same_bits(ours[key], theirs[key]) for key in ours)
    assert resumed.trainer.callback_metrics["val/ndcg@10"] == whole.trainer.callback_metrics["val/ndcg@10"]
    assert resumed.trainer.callback_metrics["val/loss"] == whole.trainer.callback_metrics["val/loss"]
    for state in ("best_score", "wait_count", "stopped_epoch"):
        assert getattr(resumed.stopping, state) == getattr(whole.stopping, state)
    assert resumed.checkpoint.best_model_score == whole.checkpoint.best_model_score
    for file in ("best.ckpt", "last.ckpt"):
        first, second = (torch.load(tmp_path / run / file, weights_only=True) for run in ("whole", "killed"))
        assert first["epoch"] == second["epoch"]
        assert all(same_bits(first["state_dict"][key], second["state_dict"][key]) for key in first["state_dict"])
        assert first["lr_schedulers"] == second["lr_schedulers"]
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["best.ckpt", "last.ckpt"]


def test_another_seed_gives_another_dropout() -> None:
    batch = first_batch()
    found = {seed: losses(make_module(seed=seed), batch, 2) for seed in (0, 1)}
    assert found[0] == losses(make_module(seed=0), batch, 2)
    assert found[0] != found[1]


def test_settings_are_json() -> None:
    for name in NETWORKS:
        assert json.loads(json.dumps(make_network(name).settings)) == make_network(name).settings
