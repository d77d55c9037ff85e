"""Every command of the README runs, in its order, on small sizes, and so does its Python."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.loader import LinkLoader

from recsys.data.interaction_index import InteractionIndex
from recsys.loading.negatives import Uniform
from recsys.sources.synthetic import SyntheticPlatform
from tests.conftest import ROOT
from tests.factories import tiny_log
from tests.sources.platform.server import TOKEN, TOKEN_VARIABLE, Server, generate, serving

SMALL_PLATFORM = ("data.num_users=150", "data.num_contents=200", "data.num_events=4000")
SMALL_RUN = ("trainer.max_epochs=1", "loader.snapshots=2", "negatives.count=4")


def commands() -> list[str]:
    """Lines that begin with `$` in the README's console blocks, in order; a trailing backslash joins lines."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line[2:].split("  #")[0].strip() for line in lines if line.startswith("$ ")]


def test_the_samplers_example_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    log, data, edges = tiny_log(num_contents=30), HeteroData(), ("user", "buys", "item")
    data["user"].num_nodes, data["item"].num_nodes = len(log.users), len(log.contents)
    data["item"].time = torch.from_numpy(log.contents.exists_from)
    data[edges].edge_index, data[edges].time = (
        torch.from_numpy(np.stack([log.user, log.content])),
        torch.from_numpy(log.time),
    )
    names = {"data": data, "log": log, "index": InteractionIndex(log), "negatives": Uniform(count=2)}
    exec(block, names)
    assert len(next(iter(names["batches"]))["user", "buys", "item"].edge_label) > 1

    asked = {
        "edge_label_index": (edges, data[edges].edge_index[:, -4:]),
        "edge_label_time": data[edges].time[-1].expand(4),
    }
    for sampler, is_one_set in ((names["shared"], True), (names["own"], False)):
        triplets = {"mode": "triplet", "amount": 2}
        batch = next(iter(LinkLoader(data, sampler, **asked, neg_sampling=triplets, batch_size=4)))
        negative = batch["item"].n_id[batch["item"].dst_neg_index]
        assert (negative == negative[0]).all() == is_one_set
        user = batch["user"].n_id[batch["user"].src_index].numpy()[:, None]
        assert not names["index"].seen_before(user, negative.numpy(), int(log.time[-1])).any()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to run the commands in, with the tables that they name and a platform that answers."""
    folder = tmp_path_factory.mktemp("readme")
    tables = SyntheticPlatform(num_users=150, num_contents=200, num_events=4000, seed=1).load()
    assert tables.contents is not None
    logs = folder / "logs"
    for name in ("shop", "kuairand"):
        (logs / name).mkdir(parents=True)
        interactions = tables.interactions.rename(columns={"content_id": "item_id"})
        interactions.to_csv(logs / name / "interactions.csv.gz", index=False)
        contents = pd.DataFrame(
            {
                "item_id": tables.contents["content_id"],
                "upload_dt": pd.to_datetime(tables.contents["created_at"], unit="ms"),
                "genres": tables.contents["tags"].map("|".join),
            }
        )
        contents.to_csv(logs / name / "items.csv.gz", index=False)
    rows = generate(num_users=60, num_posts=80, num_events=1500)
    (logs / "answers").mkdir()
    for endpoint, part in rows.items():
        (logs / "answers" / f"{endpoint}.json").write_bytes(Server.envelope(endpoint, part, 1, len(part)))
    with serving(rows) as server:
        (folder / "platform.yaml").write_text(f"api: {{base_url: '{server.url}', requests_per_second: 1000}}\n")
        yield folder


def test_first_two_commands_set_up() -> None:
    assert commands()[:2] == ["make train", "make test"]


def test_make_targets_exist() -> None:
    for command in commands():
        if command.startswith("make "):
            done = subprocess.run(["make", "-n", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_every_other_command_runs(workplace: Path) -> None:
    for command in commands():
        words = shlex.split(command)
        if words[0] == "make":
            continue
        bin_dir = Path(sys.executable).parent
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{bin_dir}:{os.environ['PATH']}", TOKEN_VARIABLE: TOKEN}
        if words[:2] == ["python", "train.py"]:
            small = SMALL_RUN if "ckpt" not in command else ()
            small = tuple(option for option in small if "loader=" not in command or not option.startswith("loader."))
            small += () if "data=" in command or "experiment=" in command or "ckpt" in command else SMALL_PLATFORM
            small = () if "--" in command else small
            if "-m" in words:
                small += (f"sweeps.best_dir={workplace}/best/experiment",)
            elif "experiment=best_" in command:
                small = (f"hydra.searchpath=[file://{workplace}/best]",)
            words = [sys.executable, str(ROOT / "train.py"), *words[2:], *small]
        elif words[0] == "recsys":
            words = [sys.executable, "-m", "recsys.cli", *words[1:]]
            env["PYTHONPATH"] = str(ROOT)
        done = subprocess.run(words, cwd=workplace, env=env, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
