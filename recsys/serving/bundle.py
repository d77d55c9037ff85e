"""The bundle of a run: all that is needed to score again on another machine. `recommender` recommends from it.

    manifest.json       versions, settings, threshold, time, checksums: see `recsys.serving.manifest`
    encoders.json       the fitted encoders of users' and contents' attributes
    model.safetensors   the network's weights; a classical peer has none and is fitted on the log when it is asked
    log/                the event log as Parquet and JSON: events, id maps, attributes

Nothing in it is code and nothing is pickled: a model is built by its name in `recsys.models.registry` from plain
settings, and numbers are read from safetensors, Parquet and JSON.
"""

import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from recsys import __version__
from recsys.data.event_log import EventLog
from recsys.data.event_log_files import read_log, write_log
from recsys.data.features import FeatureEncoders
from recsys.errors import UserError
from recsys.files import replacing_folder
from recsys.graph.schema import GraphSchema
from recsys.graph.settings import GraphSettings
from recsys.graph.temporal_graph import TemporalGraph
from recsys.models.baselines.peer import Peer
from recsys.models.graph_scorer import GraphScorer
from recsys.models.network import Network
from recsys.models.registry import NETWORKS, PEERS
from recsys.models.scorer import Scorer
from recsys.secret_values import without_secrets
from recsys.serving.manifest import MANIFEST, Manifest, check_files, describe_files, id_maps_hash

ENCODERS, WEIGHTS, LOG = "encoders.json", "model.safetensors", "log"
NETWORK, PEER = "network", "peer"


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
        scorer: a `GraphScorer` or a `Peer`.
        threshold: the probability (for models without logits: the score) from which a pair is predicted positive.
        time: the time that recommendations are for unless another is asked, ns.
        config: how the run was configured, as plain JSON values; kept `without_secrets`.

    Raises:
        UserError: `directory` holds something that is no bundle, or something cannot be kept in a bundle.
    """
    directory = directory.resolve()
    if directory.exists() and not (directory / MANIFEST).is_file():
        raise UserError(f"{directory} exists and is no bundle: move it away or choose another folder for the bundle.")
    kind, model, settings = _described(scorer)
    try:
        with replacing_folder(directory) as temporary:
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
    except ValueError as error:
        raise UserError(f"The bundle {directory} was not written, since {error}: change that setting.") from error


def load_bundle(directory: Path) -> Bundle:
    """Read and check a bundle, whoever wrote it, and build its graph and model.

    Raises:
        UserError: the bundle is missing, foreign, newer, incomplete, changed, or its parts do not fit together.
    """
    manifest = Manifest.read(directory)
    _check_model(directory, manifest)
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
        scorer: Scorer = _peer(manifest, log) if network is None else GraphScorer(network, graph)
    return Bundle(log, graph, scorer, float(manifest.threshold), manifest.time, manifest)


def _described(scorer: Scorer) -> tuple[str, str, dict[str, Any]]:
    """Kind, name and settings of a model."""
    if isinstance(scorer, GraphScorer):
        return NETWORK, scorer.network.name, scorer.network.settings
    if isinstance(scorer, Peer):
        return PEER, scorer.name, scorer.settings
    known = ", ".join((*NETWORKS, *PEERS))
    raise UserError(f"A bundle cannot hold a {type(scorer).__name__}: choose model= one of {known}.")


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("torch", "torch-geometric", "numpy", "pandas")}
    return {"recsys": __version__, "python": platform.python_version(), **libraries}


def _read_network(directory: Path, manifest: Manifest, schema: GraphSchema) -> Network:
    """The network with its weights.

    It is first built without memory for its weights and then takes those of the file, so that no number in the
    manifest can ask for more memory than the file has, and no random number is drawn.
    """
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


def _peer(manifest: Manifest, log: EventLog) -> Peer:
    build: Callable[..., Peer] = PEERS[manifest.model]
    return build(log, **manifest.settings)


def _check_model(directory: Path, manifest: Manifest) -> None:
    """Check that this recsys has the model; it is built from the manifest's settings later."""
    known: dict[str, Sequence[str]] = {NETWORK: list(NETWORKS), PEER: list(PEERS)}
    if manifest.kind not in known or manifest.model not in known[manifest.kind]:
        names = ", ".join(name for of_kind in known.values() for name in of_kind)
        raise UserError(
            f"{directory / MANIFEST} names the {manifest.kind} {manifest.model!r}, but this recsys has {names}: "
            "use the version that wrote it."
        )


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
