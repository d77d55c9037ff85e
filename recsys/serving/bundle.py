"""The bundle of a run: all that is needed to score again on another machine. `recommender` recommends from it.

    manifest.json       versions, settings, threshold, time, checksums: see `recsys.serving.manifest`
    encoders.json       the fitted encoders of users' and contents' attributes
    model.safetensors   the network's weights; a popularity bundle has none
    log/                the event log as Parquet and JSON: events, id maps, attributes

Nothing in it is code and nothing is pickled: a network is built by its name in `recsys.models.registry` from plain
settings, and numbers are read from safetensors, Parquet and JSON.
"""

import json
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import safetensors.torch
import torch

from recsys import __version__
from recsys.data.event_log import EventLog
from recsys.data.event_log_files import read_log, write_log
from recsys.data.features import FeatureEncoders
from recsys.errors import UserError
from recsys.graph.schema import GraphSchema
from recsys.graph.settings import GraphSettings
from recsys.graph.temporal_graph import TemporalGraph
from recsys.models.baselines.popularity import Popularity
from recsys.models.graph_scorer import GraphScorer
from recsys.models.network import Network
from recsys.models.registry import NETWORKS
from recsys.models.scorer import Scorer
from recsys.serving.manifest import MANIFEST, Manifest, check_files, describe_files, id_maps_hash, without_secrets

ENCODERS, WEIGHTS, LOG = "encoders.json", "model.safetensors", "log"
NETWORK, POPULARITY = "network", "popularity"


@dataclass(frozen=True)
class Bundle:
    """A model with everything it scores from.

    Attributes:
        log: the event log.
        graph: the log as a graph at any time.
        scorer: the model, ready to score.
        threshold: the probability (for models without logits: the score) from which a pair is predicted positive.
        time: the time that recommendations are for unless another is asked, ns.
        manifest: all that the bundle says about itself.
    """

    log: EventLog
    graph: TemporalGraph
    scorer: Scorer
    threshold: float
    time: int
    manifest: Manifest


def save_bundle(
    directory: Path,
    *,
    graph: TemporalGraph,
    encoders: FeatureEncoders,
    scorer: Scorer,
    threshold: float,
    time: int,
    config: Mapping[str, Any],
) -> None:
    """Write a bundle under a temporary name, then let it take the place of `directory`.

    Args:
        directory: where the bundle goes; an older bundle there is replaced.
        graph: the graph of the log that scores rest on.
        encoders: the encoders that the graph was made with.
        scorer: a `GraphScorer` or `Popularity`.
        threshold: the probability (for models without logits: the score) from which a pair is predicted positive.
        time: the time that recommendations are for unless another is asked, ns.
        config: how the run was configured, as plain JSON values. What its names call a token, password, secret or
            API key is left out, and so are logins in addresses.

    Raises:
        UserError: `directory` holds something that is no bundle, or something cannot be kept in a bundle.
    """
    directory = directory.resolve()
    if directory.exists() and not (directory / MANIFEST).is_file():
        raise UserError(f"{directory} exists and is no bundle: move it away or choose another folder for the bundle.")
    kind, model, settings = _described(scorer)
    temporary = _sibling(directory)
    try:
        temporary.mkdir(parents=True)
        write_log(graph.log, temporary / LOG)
        (temporary / ENCODERS).write_text(json.dumps(encoders.to_json(), allow_nan=False) + "\n", encoding="utf-8")
        if isinstance(scorer, GraphScorer):
            weights = {name: tensor.cpu().contiguous() for name, tensor in scorer.network.state_dict().items()}
            safetensors.torch.save_file(weights, temporary / WEIGHTS)
        manifest = Manifest(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=_versions(),
            kind=kind,
            model=model,
            settings=settings,
            schema=graph.schema.to_json(),
            graph=graph.settings.to_json(),
            threshold=float(threshold),
            time=int(time),
            data_time=int(graph.log.time[-1]),
            id_maps=id_maps_hash(graph.log.users.ids, graph.log.contents.ids),
            config=without_secrets(config),
            files=describe_files(temporary),
        )
        manifest.write(temporary)
        _take_place(temporary, directory)
    except ValueError as error:
        raise UserError(f"The bundle {directory} was not written, since {error}: change that setting.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load_bundle(directory: Path) -> Bundle:
    """Read and check a bundle, whoever wrote it, and build its graph and model.

    Raises:
        UserError: the bundle is missing, foreign, newer, incomplete, changed, or its parts do not fit together.
    """
    manifest = Manifest.read(directory)
    needed = {ENCODERS, WEIGHTS} if manifest.kind == NETWORK else {ENCODERS}
    if unlisted := needed - manifest.files.keys():
        raise UserError(f"{directory / MANIFEST} does not list {min(unlisted)}: make the bundle anew with a run.")
    check_files(directory, manifest.files)
    with _reading(directory / MANIFEST):
        schema = GraphSchema.from_json(manifest.schema)
    network = _read_network(directory, manifest, schema) if manifest.kind == NETWORK else None
    with _reading(directory / LOG):
        log = read_log(directory / LOG)
        if id_maps_hash(log.users.ids, log.contents.ids) != manifest.id_maps:
            raise ValueError("the ids of its users and contents are not those of the manifest")
    with _reading(directory / ENCODERS):
        encoders = FeatureEncoders.from_json(json.loads((directory / ENCODERS).read_text(encoding="utf-8")))
    with _reading(directory / MANIFEST):
        graph = TemporalGraph(log, encoders, GraphSettings.from_json(manifest.graph))
        if graph.schema != schema:
            raise ValueError("its schema is not the one of the log and the encoders")
        scorer = _popularity(manifest, log) if network is None else GraphScorer(network, graph)
    return Bundle(log, graph, scorer, float(manifest.threshold), manifest.time, manifest)


def _described(scorer: Scorer) -> tuple[str, str, dict[str, Any]]:
    """Kind, name and settings of a model."""
    if isinstance(scorer, GraphScorer):
        return NETWORK, scorer.network.name, scorer.network.settings
    if isinstance(scorer, Popularity):
        return POPULARITY, POPULARITY, {"window": scorer.window}
    raise UserError(f"A bundle cannot hold a {type(scorer).__name__}: choose model=popularity or one of the networks.")


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("torch", "torch-geometric", "numpy", "pandas")}
    return {"recsys": __version__, "python": platform.python_version(), **libraries}


def _take_place(new: Path, directory: Path) -> None:
    """Rename `new` to `directory`; what was there is deleted only once that has succeeded."""
    if not directory.exists():
        new.rename(directory)
        return
    old = directory.rename(_sibling(directory))
    try:
        new.rename(directory)
    except OSError:
        old.rename(directory)
        raise
    shutil.rmtree(old)


def _sibling(directory: Path) -> Path:
    """A new hidden name beside `directory`."""
    return directory.with_name(f".{directory.name}.{uuid4().hex}")


def _read_network(directory: Path, manifest: Manifest, schema: GraphSchema) -> Network:
    """The network with its weights.

    It is first built without memory for its weights and then takes those of the file, so that no number in the
    manifest can ask for more memory than the file has, and no random number is drawn.
    """
    if manifest.model not in NETWORKS:
        raise UserError(
            f"{directory / MANIFEST} names the network {manifest.model!r}, but this recsys has {', '.join(NETWORKS)}: "
            "use the version that wrote it."
        )
    with _reading(directory / WEIGHTS):
        weights = safetensors.torch.load((directory / WEIGHTS).read_bytes())
    build: Callable[..., Network] = NETWORKS[manifest.model]
    try:
        if manifest.settings.get("layers", 0) > len(weights):
            raise ValueError("there are fewer tensors than layers")
        with torch.device("meta"):
            network = build(schema, **manifest.settings)
        for name, tensor in network.state_dict().items():
            if name in weights and weights[name].dtype != tensor.dtype:
                raise ValueError(f"{name} is {weights[name].dtype} and not {tensor.dtype}")
        network.load_state_dict(weights, strict=True, assign=True)
    except Exception as error:
        raise UserError(
            f"{directory / WEIGHTS} does not fit the model that {MANIFEST} describes, {manifest.model}: copy the whole "
            "bundle again or make it anew with a run."
        ) from error
    return network.eval()


def _popularity(manifest: Manifest, log: EventLog) -> Popularity:
    if manifest.kind != POPULARITY:
        raise ValueError(f"the kind of model is {manifest.kind!r}, neither {NETWORK} nor {POPULARITY}")
    return Popularity(log, **manifest.settings)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns whatever a damaged or hostile part of a bundle makes go wrong into one sentence."""
    try:
        yield
    except Exception as error:
        why = " ".join(str(error).split()).removesuffix(".") or type(error).__name__
        raise UserError(
            f"{path} is damaged ({why}): copy the whole bundle again or make it anew with a run."
        ) from error
