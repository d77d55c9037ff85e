"""Training with validation, then again on everything before test: kills, averaged weights, learning rates."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch.optim.lr_scheduler import ReduceLROnPlateau

from recsys.data.event_log import Boundaries, EventLog
from recsys.data.interaction_index import InteractionIndex
from recsys.data.ranking_task import RankingTask
from recsys.errors import UserError
from recsys.graph.temporal_graph import TemporalGraph
from recsys.loading.datamodule import GraphDataModule
from recsys.loading.negatives import Uniform
from recsys.loading.snapshot_loader import SnapshotLoader
from recsys.models.graph_scorer import GraphScorer
from recsys.models.lightning_module import LEVEL_WEIGHT, WARM, LinkPredictionModule
from recsys.models.objectives import BCE
from recsys.training import CHOICE, LAST, REFIT, Choice, Stopwatch, fit, fresh, last_checkpoint, refit
from tests.models.helpers import graph_of, make_network, same_bits, small_graph, small_log

EPOCHS = 4
Weights = dict[str, torch.Tensor]


class KilledError(Exception):
    """Ends a training as a kill would, but for the process."""


class Kill(Callback):
    """Raises when an epoch is about to begin; epochs are counted from 0."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            raise KilledError


def trainer(**options: object) -> lightning.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    return lightning.Trainer(**{"accelerator": "cpu", "max_epochs": EPOCHS, "logger": False, **quiet, **options})  # type: ignore[arg-type]


def callbacks(folder: Path) -> list[Callback]:
    watched = {"monitor": "val/ndcg@10", "mode": "max"}
    return [
        ModelCheckpoint(folder, "best", enable_version_counter=False, **watched),
        ModelCheckpoint(folder, "last", enable_version_counter=False),
        EarlyStopping(patience=2, **watched),
    ]


def module(graph: TemporalGraph, *, plateau: bool = True, averaged: bool = True) -> LinkPredictionModule:
    return LinkPredictionModule(
        scorer=GraphScorer(make_network("hetero_sage", graph), graph),
        averaging=0.2 if averaged else None,
        objective=BCE(),
        optimizer=partial(torch.optim.Adam, lr=0.05),
        # A threshold that nothing reaches lowers the rate after every epoch but the first.
        scheduler=partial(ReduceLROnPlateau, mode="max", factor=0.5, patience=0, threshold=10.0) if plateau else None,
        smoothing=1,
    )


def batches(log: EventLog) -> GraphDataModule:
    index = InteractionIndex(log)
    tasks = {split: RankingTask.build(small_log(), index, split, 5) for split in ("validation", "test")}
    loader = partial(SnapshotLoader, snapshots=3)
    return GraphDataModule(
        log=log, graph=graph_of(log), index=index, loader=loader, negatives=Uniform(count=3), seed=5, **tasks
    )


def fitted(folder: Path, ckpt: str | None = None, watchers: Sequence[Callback] = ()) -> tuple[Weights, Choice]:
    own = module(small_graph())
    choice = fit(trainer, [*callbacks(folder), *watchers], own, batches(small_log()), folder=folder, ckpt=ckpt)
    return own.scorer.network.state_dict(), choice


def refitted(folder: Path, choice: Choice, watchers: Sequence[Callback] = (), *, averaged: bool = True) -> Weights:
    log = small_log().with_validation_in_training()
    own = module(graph_of(log), plateau=False, averaged=averaged)
    refit(trainer, [*callbacks(folder), *watchers], own, batches(log), choice, folder=folder)
    return own.scorer.network.state_dict()


def same_weights(left: Weights, right: Weights) -> bool:
    return left.keys() == right.keys() and all(same_bits(left[name], right[name]) for name in left)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Weights, Choice, Weights]:
    """Both trainings without any kill."""
    folder = tmp_path_factory.mktemp("whole")
    weights, choice = fitted(folder)
    return weights, choice, refitted(folder, choice)


def test_the_choice_is_that_of_validation(whole: tuple[Weights, Choice, Weights], tmp_path: Path) -> None:
    weights, choice = fitted(tmp_path)
    assert choice == whole[1] == Choice.read(tmp_path)
    best = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert choice.epochs == best["epoch"] + 1
    assert same_weights(
        weights, {n.removeprefix("averaged."): w for n, w in best["state_dict"].items() if n.startswith("averaged.")}
    )
    assert choice.rates == [[0.05], [0.05], [0.025], [0.0125]][: choice.epochs]


@pytest.mark.parametrize("epoch", range(1, EPOCHS))
def test_a_first_training_goes_on_after_a_kill(
    whole: tuple[Weights, Choice, Weights], tmp_path: Path, epoch: int
) -> None:
    try:
        fitted(tmp_path, watchers=[Kill(epoch)])
    except KilledError:
        assert last_checkpoint(tmp_path.parent) is None
    earlier = torch.load(tmp_path / LAST, weights_only=True)["callbacks"]["Stopwatch"]["seconds"]
    weights, choice = fitted(tmp_path, ckpt=str(tmp_path / LAST))
    assert choice == whole[1]
    assert same_weights(weights, whole[0])
    assert choice.seconds > earlier > 0


@pytest.mark.parametrize("moved", [False, True])
def test_the_best_epoch_is_remembered_whatever_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    class Falling(Callback):
        """Logs what is best in the second epoch."""

        def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
            pl_module.log("falling", -float(abs(trainer.current_epoch - 1)))

    monkeypatch.chdir(tmp_path)
    whole_folder, folder = Path("whole"), Path("runs/checkpoints")
    watched = {"monitor": "falling", "mode": "max"}

    def train(folder: Path, ckpt: Path | None = None, watchers: Sequence[Callback] = ()) -> tuple[Choice, float]:
        best = ModelCheckpoint("unused", "best", enable_version_counter=False, **watched)
        own = fresh([best, ModelCheckpoint("unused", "last", enable_version_counter=False)], folder)
        options = {"folder": folder, "ckpt": None if ckpt is None else str(ckpt)}
        choice = fit(trainer, [Falling(), *own, *watchers], module(small_graph()), batches(small_log()), **options)
        assert isinstance(own[0], ModelCheckpoint)
        assert own[0].best_model_score is not None
        return choice, float(own[0].best_model_score)

    without = train(whole_folder)
    assert without[0].epochs == 2 < EPOCHS
    with pytest.raises(KilledError):
        train(folder, watchers=[Kill(without[0].epochs)])
    if moved:
        folder.parent.rename("elsewhere")
        folder = Path("elsewhere/checkpoints")
    assert train(folder.resolve(), ckpt=folder / LAST) == without
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", CHOICE, LAST]


def test_seconds_of_all_sittings_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 10.0
    monkeypatch.setattr("recsys.training.time.perf_counter", lambda: now)
    own, quiet = module(small_graph()), trainer()
    first, second = Stopwatch(), Stopwatch()
    first.on_fit_start(quiet, own)
    now = 15.0
    second.load_state_dict(first.state_dict())
    now = 100.0  # nobody was training meanwhile
    second.on_fit_start(quiet, own)
    now = 107.0
    assert second.seconds == 12.0


def test_a_training_that_was_stopped_early_is_not_begun_again(tmp_path: Path) -> None:
    """Early stopping is not in force right after a checkpoint was loaded: one more epoch could change the choice."""
    weights, choice = fitted(tmp_path)
    (tmp_path / REFIT).write_text("a refit has begun")
    again, same = fitted(tmp_path, ckpt=str(tmp_path / LAST), watchers=[Kill(epoch) for epoch in range(EPOCHS)])
    assert same == choice
    assert same_weights(weights, again)
    assert (tmp_path / REFIT).is_file()


def test_more_epochs_than_before_go_on(tmp_path: Path) -> None:
    _, choice = fitted(tmp_path)
    (tmp_path / CHOICE).write_text(
        (tmp_path / CHOICE).read_text().replace(f'"max_epochs": {EPOCHS}', '"max_epochs": 1')
    )
    (tmp_path / REFIT).write_text("of the shorter training")
    assert fitted(tmp_path, ckpt=str(tmp_path / LAST))[1] == choice
    assert not (tmp_path / REFIT).exists()


DAMAGED = {
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"no checkpoint " * 99),
    "text": lambda path: path.write_text("{}"),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "code": lambda path: torch.save({"state_dict": Kill(1)}, path),
    "another file of torch": lambda path: torch.save(torch.zeros(3), path),
    "weights alone": lambda path: torch.save({"epoch": 1, "state_dict": torch.load(path)["state_dict"]}, path),
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was killed in its third epoch."""
    folder = tmp_path_factory.mktemp("begun")
    with pytest.raises(KilledError):
        fitted(folder, watchers=[Kill(2)])
    return folder


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_checkpoint_is_one_sentence(begun: Path, tmp_path: Path, case: str) -> None:
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    DAMAGED[case](tmp_path / LAST)
    assert_refused(rf"{LAST} is missing, damaged or no checkpoint", lambda: fitted(tmp_path, str(tmp_path / LAST)))


def test_a_checkpoint_of_another_network_is_one_sentence(begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    content = torch.load(tmp_path / LAST, weights_only=True)
    name = next(name for name, weights in content["state_dict"].items() if weights.dim() == 2)
    content["state_dict"][name] = torch.zeros(3, 3)
    torch.save(content, tmp_path / LAST)
    said = rf"{LAST} is of another network.*size mismatch for {name}"
    assert_refused(said, lambda: fitted(tmp_path, str(tmp_path / LAST)))
    del content["state_dict"][name]
    torch.save(content, tmp_path / LAST)
    assert_refused(f"{LAST} is of another network", lambda: fitted(tmp_path, str(tmp_path / LAST)))


def test_what_a_training_left_behind_may_be_damaged(tmp_path: Path) -> None:
    _, choice = fitted(tmp_path)
    (tmp_path / "best.ckpt").write_bytes(b"")
    assert_refused("best.ckpt is missing, damaged", lambda: fitted(tmp_path, str(tmp_path / LAST)))
    (tmp_path / REFIT).write_bytes(b"")
    assert_refused(f"{REFIT} is missing, damaged", lambda: refitted(tmp_path, choice))
    whole = (tmp_path / CHOICE).read_text()
    for torn in (whole[:-9], "", "[]", "{}", "3"):
        (tmp_path / CHOICE).write_text(torn)
        assert_refused(f"{CHOICE} is damaged", lambda: fitted(tmp_path, str(tmp_path / LAST)))


def test_a_refused_checkpoint_leaves_what_was_chosen(tmp_path: Path) -> None:
    fitted(tmp_path)
    (tmp_path / CHOICE).write_text(
        (tmp_path / CHOICE).read_text().replace(f'"max_epochs": {EPOCHS}', '"max_epochs": 1')
    )
    (tmp_path / LAST).write_bytes(b"")
    assert_refused(f"{LAST} is missing, damaged", lambda: fitted(tmp_path, str(tmp_path / LAST)))
    assert (tmp_path / CHOICE).is_file()


def assert_refused(said: str, run: Callable[[], object]) -> None:
    with pytest.raises(UserError, match=said) as error:
        run()
    assert "\n" not in str(error.value)


def test_a_new_training_forgets_the_one_before(tmp_path: Path) -> None:
    for name in (CHOICE, REFIT):
        (tmp_path / name).write_text("{}")
    with pytest.raises(KilledError):
        fitted(tmp_path, watchers=[Kill(1)])
    assert not any((tmp_path / name).exists() for name in (CHOICE, REFIT))


def test_a_refit_goes_on_after_a_kill(whole: tuple[Weights, Choice, Weights], tmp_path: Path) -> None:
    choice = Choice(checkpoint="best.ckpt", epochs=3, rates=[[0.05], [0.05], [0.025]], max_epochs=EPOCHS, seconds=1.0)
    straight = refitted(tmp_path / "straight", choice)
    assert not same_weights(straight, whole[0])
    for epoch in (1, 2):
        folder = tmp_path / str(epoch)
        with pytest.raises(KilledError):
            refitted(folder, choice, watchers=[Kill(epoch)])
        assert same_weights(refitted(folder, choice), straight), epoch
    assert same_weights(refitted(tmp_path / "straight", choice), straight), "a refit that had ended gives its weights"


@pytest.mark.parametrize("averaged", [False, True], ids=["plain", "averaged"])
def test_a_refit_by_hand(tmp_path: Path, averaged: bool) -> None:
    """The same epochs on the log whose training part ends at T_test, with the rates as recorded: the same bits."""
    rates = [0.05, 0.02, 0.01]
    choice = Choice(checkpoint="best.ckpt", epochs=3, rates=[[rate] for rate in rates], max_epochs=EPOCHS, seconds=1.0)
    log = small_log()
    shifted = replace(log, boundaries=Boundaries(log.boundaries.t_test, log.boundaries.t_test, log.boundaries.end))
    graph = graph_of(shifted)
    loader = SnapshotLoader(
        log=shifted, graph=graph, index=InteractionIndex(shifted), negatives=Uniform(count=3), seed=5, snapshots=3
    )
    own = module(graph, plateau=False, averaged=averaged)
    network, optimizer, steps = own.network, own.configure_optimizers(), 0
    average = {name: value.clone() for name, value in network.state_dict().items()}
    paths = graph.pair_paths
    for epoch, rate in enumerate(rates):
        optimizer.param_groups[0]["lr"] = rate
        for number, batch in enumerate(loader.batches(epoch)):
            torch.manual_seed(int(np.random.SeedSequence([0, epoch, number]).generate_state(1)[0]))
            network.train()
            vectors = network.encode(batch.graph)
            user, content = batch.graph["user"].n_id[batch.user].numpy(), batch.content.numpy()
            signals = torch.from_numpy(paths.of_pairs(user, content, batch.time.numpy()))
            # Every user counts alike, whatever the number of its seeds.
            weight = 1 / torch.from_numpy(np.bincount(user)[user]).float()
            logits = network.link_logits(vectors, batch.user, batch.content, signals)
            loss = BCE()(logits, batch.label, batch.log_q, weight)
            error = network.user_levels(vectors, batch.user) - logits.detach()[:, 1:].mean(dim=1)
            of_levels = (error.square() * weight).sum() / weight.sum()
            seed = batch.mood_seed
            asked = weight[seed] * torch.where(batch.cold[seed], 1, WARM)
            moods = network.mood_link_logits(vectors, batch.mood, batch.content[seed])
            loss = loss + 0.2 * BCE()(moods, batch.label[seed], batch.log_q[seed], asked)
            error = network.level.mood(batch.mood)[:, 0] - moods.detach()[:, 1:].mean(dim=1)
            loss = loss + LEVEL_WEIGHT * (of_levels + (error.square() * asked).sum() / asked.sum())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            now, steps = {name: value.clone() for name, value in network.state_dict().items()}, steps + 1
            share = 1 - min(0.2, steps / (steps + 10))
            average = {n: a.lerp(now[n], share) if a.is_floating_point() else now[n] for n, a in average.items()}
    assert len(loader) * len(rates) >= 6
    found = refitted(tmp_path, choice, averaged=averaged)
    assert same_weights(found, average if averaged else now)


def test_copies_of_callbacks_share_nothing(tmp_path: Path) -> None:
    own = callbacks(tmp_path)
    copies = fresh(own, tmp_path / "other")
    assert [type(copy) for copy in copies] == [type(one) for one in own]
    assert {copy.dirpath for copy in copies if isinstance(copy, ModelCheckpoint)} == {str(tmp_path / "other")}
    assert own[0].dirpath == str(tmp_path)
