"""Trials are handed out once, survive their processes and never exceed their number, whatever the storage."""

import multiprocessing
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from sqlalchemy.engine import make_url

from recsys.errors import UserError
from recsys.tuning.lease import LEASE, Lease, is_alive, is_lost
from recsys.tuning.space import Params, parse_space
from recsys.tuning.storage import JOURNAL, open_storage
from recsys.tuning.study import SharedStudy, join_study

SPACE = parse_space({"x": "0,1,2"}, {}, {})
DATABASES = {
    "postgresql": os.environ.get("RECSYS_TEST_POSTGRESQL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"),
    "mysql": os.environ.get("RECSYS_TEST_MYSQL", "mysql+pymysql://root@127.0.0.1:3306/test"),
}


@pytest.fixture(params=["journal", *DATABASES])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseStorage]:
    if request.param == "journal":
        yield open_storage(None, tmp_path)
        return
    url = DATABASES[request.param]
    try:
        opened = open_storage(url, tmp_path)
    except UserError as error:
        pytest.skip(f"no database: {error} (set RECSYS_TEST_{request.param.upper()})")
    yield opened
    for study in opened.get_all_studies():
        if study.study_name.startswith(NAME):
            opened.delete_study(study._study_id)


NAME = f"test-{uuid.uuid4().hex[:8]}"


def begin(storage: BaseStorage, n_trials: int = 3, **plan: object) -> SharedStudy:
    return join_study(NAME, storage, directions=["maximize"], plan=plan, n_trials=n_trials)


def point(number: int) -> Params:
    return {"x": number}


def test_each_trial_is_taken_once(storage: BaseStorage) -> None:
    first, second = begin(storage), begin(storage)
    taken = [shared.take(point) for shared in (first, second, first, second)]
    numbers = [trial.number for trial in taken if trial is not None]
    assert numbers == [0, 1, 2]
    assert taken[3] is None
    assert [SPACE.suggest(trial)["x"] for trial in taken if trial] == [0, 1, 2]
    assert len(storage.get_all_trials(first.study._study_id)) == 3


def test_a_larger_total_adds_trials_and_a_smaller_one_leaves_some(storage: BaseStorage) -> None:
    begin(storage, 2)
    assert len(begin(storage, 4).trials()) == 4
    fewer = begin(storage, 1)
    assert fewer.take(point) is not None
    assert fewer.take(point) is None


def test_another_plan_is_refused(storage: BaseStorage) -> None:
    begin(storage, overrides=["a=1"], space={"x": "1,2"})
    with pytest.raises(UserError, match=r"begun with other options \(overrides\).*sweeps.name"):
        begin(storage, overrides=["a=2"], space={"x": "1,2"})


def test_a_lost_trial_comes_back_with_its_number_and_params(storage: BaseStorage) -> None:
    shared = begin(storage)
    trial = shared.take(lambda number: optuna.samplers.RandomSampler(seed=1))
    assert trial is not None
    chosen = SPACE.suggest(trial)
    trial.report(0.5, 0)
    storage.set_trial_user_attr(trial._trial_id, LEASE, dead_lease())
    shared.put_back_lost(60, attempts=3)
    assert [t.state for t in shared.trials()] == [TrialState.WAITING] * 3
    assert not Lease(trial, seconds=60).held()
    again = shared.take(lambda number: optuna.samplers.RandomSampler(seed=2))
    assert again is not None
    assert again.number == trial.number
    assert SPACE.suggest(again) == chosen
    shared.put_back_lost(60, attempts=2)  # somebody looks before it has signed for it
    assert shared.trials()[0].state == TrialState.RUNNING
    shared.study.tell(again, 1.0)
    assert shared.study.best_trial.intermediate_values == {0: 0.5}


def test_a_trial_that_is_lost_too_often_fails(storage: BaseStorage) -> None:
    shared = begin(storage, 1)
    for _ in range(2):
        trial = shared.take(point)
        assert trial is not None
        storage.set_trial_user_attr(trial._trial_id, LEASE, dead_lease())
        shared.put_back_lost(60, attempts=2)
    (failed,) = shared.trials()
    assert failed.state == TrialState.FAIL
    assert failed.user_attrs["error"] == "its process was killed 2 times, perhaps for want of memory"


def test_a_lease_is_renewed_and_noticed_when_taken_over(storage: BaseStorage) -> None:
    shared = begin(storage)
    trial = shared.take(point)
    assert trial is not None
    with Lease(trial, seconds=0.4) as lease:
        first = storage.get_trial(trial._trial_id).user_attrs[LEASE]
        assert lease.held()
        assert not is_lost(storage.get_trial(trial._trial_id), 60)
        time.sleep(0.5)
        second = storage.get_trial(trial._trial_id).user_attrs[LEASE]
        assert second["beat"] > first["beat"]
        storage.set_trial_user_attr(trial._trial_id, LEASE, {**second, "owner": "another"})
        assert lease.lost.wait(5)
        assert not lease.held()


def test_processes_of_other_machines_count_by_their_last_sign_of_life(tmp_path: Path) -> None:
    storage = open_storage(None, tmp_path)
    shared = begin(storage)
    trial = shared.take(point)
    assert trial is not None
    lease = {"owner": "o", "host": "elsewhere", "pid": 1, "started": 0.0, "beat": time.time() - 30}
    storage.set_trial_user_attr(trial._trial_id, LEASE, lease)
    frozen = storage.get_trial(trial._trial_id)
    assert is_lost(frozen, 10)
    assert not is_lost(frozen, 60)


def test_a_reused_process_number_is_not_the_same_process() -> None:
    own = psutil.Process()
    assert is_alive(own.pid, own.create_time())
    assert not is_alive(own.pid, own.create_time() - 100)


def dead_lease() -> dict[str, object]:
    import socket

    process = subprocess.Popen([sys.executable, "-c", ""])
    started = psutil.Process(process.pid).create_time()
    process.wait()
    return {"owner": "o", "host": socket.gethostname(), "pid": process.pid, "started": started, "beat": time.time()}


def take_all(folder: Path, go: "multiprocessing.synchronize.Event") -> list[int]:
    go.wait()
    shared = join_study("race", open_storage(None, folder), directions=["maximize"], plan={}, n_trials=30)
    taken = []
    while trial := shared.take(point_mod):
        trial.suggest_int("x", 0, 2)
        taken.append(trial.number)
        shared.study.tell(trial, 1.0)
    return taken


def point_mod(number: int) -> Params:
    return {"x": number % 3}


def in_process(
    folder: Path, go: "multiprocessing.synchronize.Event", queue: "multiprocessing.Queue[list[int]]"
) -> None:
    queue.put(take_all(folder, go))


def test_processes_that_begin_together_share_the_trials(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    go, queue = context.Event(), context.Queue()
    processes = [context.Process(target=in_process, args=(tmp_path, go, queue)) for _ in range(3)]
    for process in processes:
        process.start()
    go.set()
    taken = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(number for numbers in taken for number in numbers) == list(range(30))
    shared = join_study("race", open_storage(None, tmp_path), directions=["maximize"], plan={}, n_trials=30)
    assert [trial.params["x"] for trial in shared.trials()] == [number % 3 for number in range(30)]
    assert {trial.state for trial in shared.trials()} == {TrialState.COMPLETE}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+psycopg://me:secret@127.0.0.1/x", "holds a password.*RECSYS_STORAGE_PASSWORD"),
        ("postgresql+psycopg://me:sec/ret@127.0.0.1/x", "holds a password"),
        ("postgresql+psycopg://me@127.0.0.1/x?password=secret", "holds a password"),
        ("mysql+pymysql://me@127.0.0.1/x?charset=utf8&passwd=secret", "holds a password"),
        ("postgresql//me:secret@127.0.0.1/x", "is no database URL"),
        ("postgresql://me:secret@127.0.0.1:x/x", "is no database URL"),
        ("nonsense", "is no database URL"),
        ("oracle+nodriver://me@127.0.0.1/x", "driver"),
        ("postgresql+psycopg://me@127.0.0.1:1/x", "does not answer"),
    ],
)
def test_bad_storage(url: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said) as raised:
        open_storage(url, tmp_path)
    assert not {"secret", "sec/ret"} & {*re.split(r"[\s:@=]", str(raised.value))}


def test_the_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []
    monkeypatch.setenv("RECSYS_STORAGE_PASSWORD", "secret")
    monkeypatch.setattr(optuna.storages, "get_storage", asked.append)
    open_storage("postgresql+psycopg://me@127.0.0.1/x", tmp_path)
    assert make_url(asked[0]).password == "secret"


def test_the_lock_of_a_killed_process_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that is named from the working directory, as the default one is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("recsys.tuning.storage.STALE_LOCK", 3)
    killed: Any = open_storage(None, Path("sweep"))
    killed._backend._lock.acquire()  # and never released
    optuna.create_study(storage=open_storage(None, Path("sweep")))
    assert not (tmp_path / "sweep" / f"{JOURNAL}.lock").is_symlink()
