"""Milliseconds to score 10,000 contents and take the top 10: exported C, onnxruntime and PyTorch, each on one thread.

`python -m benchmarks.export`; needs a C compiler and the extra `export`. They take turns in one process; of each user
the best of REPEATS counts, and of those the median. C takes the top 10 by `recsys_recommend_user`, which gives up
contents early, and by `recsys_score_user` with `recsys_top_k`; with RECSYS_PLAIN it has no code for wider vectors.
onnxruntime runs `users.onnx` with a TopK behind it; PyTorch scores one user by `Network.pair_logits`, then
`torch.topk`, both without what `recsys recommend` does besides. Weights are random. Then: size and compile time of the
headers against the number of contents.
"""

import ctypes
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from recsys.data.features import fit_encoders
from recsys.data.preparation import LogSettings, prepare
from recsys.export.c_files import CProject
from recsys.export.device_model import DeviceModel, Table, user_vectors
from recsys.export.onnx_files import OPSET, UserScores
from recsys.export.unseen_users import unseen_users
from recsys.graph.temporal_graph import TemporalGraph
from recsys.models.graph_scorer import GraphScorer
from recsys.models.registry import NETWORKS
from recsys.serving.bundle import load_bundle, save_bundle
from recsys.sources.synthetic import SyntheticPlatform

CONTENTS, K, USERS, REPEATS = 10_000, 10, 300, 5
NOBODY = ctypes.c_uint32(2**32 - 1)  # RECSYS_NOT_FOUND: no paths
BUILDS = (("gcc", "-O2"), ("gcc", "-O2 -DRECSYS_PLAIN"), ("clang", "-O2"))


class TopK(nn.Module):
    """Scores and places of the best contents."""

    def __init__(self, scores: UserScores) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, user: Tensor) -> tuple[Tensor, Tensor]:
        """int64 [B] -> [B, K] and int64 [B, K]."""
        values, places = self.scores(user).topk(K, dim=1)
        return values, places


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            model = random_model(name, Path(folder) / name)
            race(name, model, Path(folder))
        sizes(model, Path(folder))


def random_model(name: str, folder: Path) -> DeviceModel:
    """A network with random weights, over random embeddings of 10,000 contents."""
    log = prepare(SyntheticPlatform(num_users=500, num_contents=600, num_events=8_000).load(), LogSettings()).log
    encoders = fit_encoders(log)
    graph = TemporalGraph(log, encoders)
    torch.manual_seed(0)
    scorer = GraphScorer(NETWORKS[name](graph.schema, hidden=64, pair="none"), graph)
    save_bundle(
        folder, graph=graph, encoders=encoders, scorer=scorer, threshold=0.5, time=log.boundaries.t_test, config={}
    )
    bundle = load_bundle(folder)
    scorer = bundle.scorer
    assert isinstance(scorer, GraphScorer)
    width = scorer.vectors(np.arange(1), np.arange(1), bundle.time)[0].shape[1]
    return DeviceModel(
        paths=None,
        scorer=scorer,
        manifest=bundle.manifest,
        time=bundle.time,
        contents=random_table(CONTENTS, width),
        users=random_table(USERS, width),
        history=np.empty((2, 0), dtype=np.int64),
        mood_names=log.mood_names,
        event_types=log.types,
    )


def random_table(count: int, width: int) -> Table:
    return Table(rows=np.arange(count), ids=np.arange(count), vectors=torch.randn(count, width))


def race(name: str, model: DeviceModel, folder: Path) -> None:
    made = project(model)
    runners: dict[str, Callable[[int], list[int]]] = {}
    for compiler, flags in BUILDS:
        if shutil.which(compiler) is not None:
            recommend, score_all = c_runners(made, folder / f"{name} {compiler} {flags}", compiler, flags)
            runners[f"C99 {compiler} {flags}"] = recommend
            runners[f"C99 {compiler} {flags}, all scores"] = score_all
    runners["onnxruntime"] = onnx_runner(model, folder / f"{name}.onnx")
    runners["PyTorch"] = torch_runner(model)
    seconds: dict[str, list[float]] = {runner: [] for runner in runners}
    for user in range(USERS):
        answers = []
        for runner, run in runners.items():
            taken = []
            for _ in range(REPEATS):
                start = time.perf_counter()
                answer = run(user)
                taken.append(time.perf_counter() - start)
            answers.append(answer)
            seconds[runner].append(min(taken))
        assert all(set(answer) == set(answers[0]) for answer in answers), user
    medians = {runner: statistics.median(values) * 1e3 for runner, values in seconds.items()}
    print(
        f"{name}: score {CONTENTS:,} contents and take the top {K}, one thread, median of {USERS} users, "
        f"best of {REPEATS}"
    )
    for runner, value in medians.items():
        against = ", ".join(
            f"{medians[other] / value:.1f} x as fast as {other}"
            for other in ("onnxruntime", "PyTorch")
            if other != runner
        )
        print(f"  {runner:40} {value:7.3f} ms  {against if runner.startswith('C99') else ''}".rstrip())


def project(model: DeviceModel) -> CProject:
    return CProject(
        model=model,
        unseen=unseen_users(random_histories(model)),
        precision="float32",
        blob=False,
        git_commit="unknown",
        config_hash="0" * 64,
    )


def random_histories(model: DeviceModel) -> DeviceModel:
    """The same model over the log's own contents, from which a regression can be fitted."""
    count = model.scorer.graph.log.contents.count_before(model.time)
    return replace(model, contents=random_table(count, model.contents.vectors.shape[1]))


def c_runners(made: CProject, folder: Path, compiler: str, flags: str) -> list[Callable[[int], list[int]]]:
    """The top 10 of a user at once, and by way of all scores."""
    folder.mkdir()
    made.write(folder)
    path = folder / "recsys.so"
    command = [compiler, "-std=c99", *flags.split(), "-shared", "-fPIC", "-o", path, folder / "recsys.c", "-lm"]
    subprocess.run([str(word) for word in command], check=True)
    library = ctypes.CDLL(str(path))
    vector, best, scores = (
        (ctypes.c_float * user_vectors(made.model.contents.vectors[:1], made.model.hidden).size)(),
        (ctypes.c_float * K)(),
        (ctypes.c_float * CONTENTS)(),
    )
    contents = (ctypes.c_uint32 * K)()

    def recommend(user: int) -> list[int]:
        library.recsys_user_vector(user, vector)
        library.recsys_recommend_user(vector, NOBODY, None, K, contents, best)
        return list(contents)

    def score_all(user: int) -> list[int]:
        library.recsys_user_vector(user, vector)
        library.recsys_score_user(vector, NOBODY, scores)
        library.recsys_top_k(scores, None, K, contents, best)
        return list(contents)

    return [recommend, score_all]


def onnx_runner(model: DeviceModel, path: Path) -> Callable[[int], list[int]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    with torch.no_grad():
        torch.onnx.export(
            TopK(UserScores(model)).eval(), (torch.tensor([0]),), path, input_names=["user"], opset_version=OPSET,
            dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(user: int) -> list[int]:
        places: list[int] = session.run(None, {"user": np.array([user])})[1][0].tolist()
        return places

    return run


def torch_runner(model: DeviceModel) -> Callable[[int], list[int]]:
    top_k = TopK(UserScores(model)).eval()

    def run(user: int) -> list[int]:
        with torch.no_grad():
            places: list[int] = top_k(torch.tensor([user]))[1][0].tolist()
        return places

    return run


def sizes(model: DeviceModel, folder: Path) -> None:
    width = model.contents.vectors.shape[1]
    for count in (1_000, 10_000, 50_000):
        few = replace(model, contents=random_table(count, width), users=random_table(0, width))
        made = project(few)
        out = folder / f"size {count}"
        out.mkdir()
        made.write(out)
        start = time.perf_counter()
        command = ["cc", "-std=c99", "-O2", "-c", "-o", out / "recsys.o", out / "recsys.c"]
        subprocess.run([str(word) for word in command], check=True)
        seconds = time.perf_counter() - start
        header = (out / "recsys_weights.h").stat().st_size / 1e6
        device = sum(made.sizes.values()) / 1e6
        print(
            f"{count:7,} contents: header {header:6.1f} MB, on the device {device:5.1f} MB, compiled in {seconds:.1f} s"
        )


if __name__ == "__main__":
    main()
