"""What a device needs of a bundle, as arrays: embeddings, heads with everything constant folded, histories, ids.

`unseen_users` gives the part for users without an embedding, `c_files` writes it all, `precision` shrinks it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array, vstack
from torch import Tensor

from recsys.data.interaction_index import InteractionIndex
from recsys.errors import UserError
from recsys.models.graph_scorer import GraphScorer
from recsys.models.heads import HadamardHead, MoodHead
from recsys.models.pair_signals import block_size, signals_of_block
from recsys.models.registry import NETWORKS
from recsys.serving.bundle import Bundle
from recsys.serving.manifest import Manifest

LANES = 8  # every width is padded with zeros to a multiple of this, which vector instructions want
BLOCK = 32  # contents whose vectors the C code reads together
HADAMARD, DOT = "hadamard", "dot"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Chosen nodes of one type.

    Attributes:
        rows: rows in the log, ascending, int64, [n].
        ids: original ids, int64 or str, [n].
        vectors: float32, [n, width]: the embedding, hidden, and beside it of a user the popularity gates and minus its
            level, of a content what they weigh and 1.
    """

    rows: np.ndarray
    ids: np.ndarray
    vectors: Tensor

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, kw_only=True)
class DeviceModel:
    """A network's answers at one time, without the network's encoder.

    Attributes:
        scorer: the network and its graph; scores what is exported here for comparison.
        manifest: of the bundle.
        time: the time of the embeddings and histories, ns.
        contents, users: what has a place in the tables.
        paths: what paths add to the logits of users and contents, before the calibration, float32 [U, N]; None for a
            network that asks for none. Contents in rising order.
        history: (place in `users`, place in `contents`) pairs met strictly before `time`, sorted; int64, [2, S].
        mood_names: names of the moods; none if the network has no mood head.
        event_types: names of the event types.
    """

    scorer: GraphScorer
    manifest: Manifest
    time: int
    contents: Table
    users: Table
    paths: csr_array | None
    history: np.ndarray
    mood_names: tuple[str, ...]
    event_types: tuple[str, ...]

    @property
    def hidden(self) -> int:
        """Width of the embeddings."""
        return self.scorer.network.hidden

    @property
    def head(self) -> str:
        """Kind of the regular head."""
        return HADAMARD if isinstance(self.scorer.network.head, HadamardHead) else DOT

    @property
    def calibration(self) -> tuple[float, float]:
        """Scale and shift of the logits."""
        scale, shift = self.scorer.network.calibration.tolist()
        return scale, shift

    def user_logits(self, users: Tensor, contents: Tensor | None = None, *, paths: csr_array | None = None) -> Tensor:
        """PyTorch's logits of user vectors [U, width] for contents [N, width], by default the exported; [U, N].

        `paths` are added, [U, N]; without them the logits lack what paths say.
        """
        with torch.no_grad():
            logits = self.scorer.network.block_logits(users, self.contents.vectors if contents is None else contents)
            if paths is not None:
                logits += torch.from_numpy(paths.toarray())
            return self._calibrated(logits)

    def table_logits(self, places: np.ndarray | slice = slice(None)) -> Tensor:
        """PyTorch's logits of users of the table for the exported contents, what paths say included; [U, N]."""
        return self.user_logits(self.users.vectors[places], paths=self.paths_of(places))

    def paths_of(self, places: np.ndarray | slice) -> csr_array | None:
        """What paths add to the logits of users of the table."""
        return None if self.paths is None else self.paths[places]

    def mood_logits(self, contents: Tensor | None = None) -> Tensor:
        """PyTorch's logits of all moods for contents [N, width], by default the exported; [M, N]."""
        with torch.no_grad():
            moods = torch.arange(len(self.mood_names))
            vectors = self.contents.vectors if contents is None else contents
            return self._calibrated(self.scorer.network.mood_block_logits(moods, vectors))

    def _calibrated(self, logits: Tensor) -> Tensor:
        scale, shift = self.scorer.network.calibration
        calibrated: Tensor = logits * scale + shift
        return calibrated


def device_model(bundle: Bundle, t: int, contents: np.ndarray, users: np.ndarray) -> DeviceModel:
    """What a device needs of a bundle.

    Args:
        bundle: a loaded bundle.
        t: the time of the embeddings, ns.
        contents: rows of the contents, which exist at `t`, ascending, int64, [N].
        users: rows of the users, ascending, int64, [U].

    Raises:
        UserError: the model has no embeddings, or they are not finite.
    """
    scorer, log = bundle.scorer, bundle.log
    if not isinstance(scorer, GraphScorer):
        raise UserError(why_not(bundle.manifest.model))
    user_vectors, content_vectors = scorer.vectors(users, contents, t)
    state = scorer.network.state_dict().values()
    if not all(bool(tensor.isfinite().all()) for tensor in (user_vectors, content_vectors, *state)):
        raise UserError("The model's numbers are NaN or infinite, so its training diverged: train it again.")
    place = np.full(len(log.contents), -1)
    place[contents] = np.arange(len(contents))
    user, content = InteractionIndex(log).history(users, t)
    kept = place[content] >= 0
    return DeviceModel(
        scorer=scorer,
        manifest=bundle.manifest,
        time=t,
        contents=Table(rows=contents, ids=log.contents.ids[contents], vectors=content_vectors),
        users=Table(rows=users, ids=log.users.ids[users], vectors=user_vectors[:, : content_vectors.shape[1]]),
        paths=path_logits(scorer, users, user_vectors, contents, t),
        history=np.stack([user[kept], place[content[kept]]]),
        mood_names=log.mood_names if scorer.network.mood_head is not None else (),
        event_types=log.types,
    )


def path_logits(
    scorer: GraphScorer, users: np.ndarray, vectors: Tensor, contents: np.ndarray, t: int
) -> csr_array | None:
    """What paths add to the logits of users (rows [U], vectors [U, width]) and contents (rows [N]) at `t` (ns).

    Returns:
        float32 [U, N], before the calibration, with an entry where a path adds something; None for a network that asks
        for no paths.
    """
    network = scorer.network
    if network.pair is None:
        return None
    size = block_size(network, len(contents))
    blocks = [csr_array(np.zeros((0, len(contents)), dtype=np.float32))]
    for first in range(0, len(users), size):
        with torch.no_grad():
            signals = signals_of_block(network.eval(), scorer.graph, users[first : first + size], contents, t)
            found = np.zeros(signals.shape[:2], dtype=np.float32)
            for row, (vector, of_user) in enumerate(zip(vectors[first : first + size], signals, strict=True)):
                has_path = (of_user[:, network.pair.columns] != 0).any(dim=1)
                found[row, has_path] = network.path_logits(vector, of_user[has_path]).numpy()
        blocks.append(csr_array(found))
    return csr_array(vstack(blocks, format="csr", dtype=np.float32))


def why_not(model: str) -> str:
    """Why a model that is no network cannot be exported, in one sentence."""
    return (
        f"{model} has no embeddings and no heads to export: ship the lists that `recsys recommend` prints, or choose "
        f"one of the networks, {' or '.join(NETWORKS)}."
    )


def head_arrays(model: DeviceModel) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The regular head as float32 arrays and single numbers by name.

    The batch normalisation's running statistics are folded into the inner layer's weights and bias, the calibration
    into the outer layer's.
    """
    head, (factor, shift) = model.scorer.network.head, model.calibration
    if not isinstance(head, HadamardHead):
        return {}, {"HEAD_SCALE": head.scale * factor, "HEAD_BIAS": head.bias.item() * factor + shift}
    norm = head.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).double()
        bias = (head.inner.bias - norm.running_mean) * scale + norm.bias
        outer = head.outer.weight[0] * factor
        order = raising_first(outer)
        arrays = {
            "head_user_weight": padded(head.user.weight.t()),
            "head_user_bias": padded(head.user.bias),
            "head_content_weight": padded(head.content.weight),
            "head_content_bias": padded(head.content.bias),
            "head_inner_weight": padded((head.inner.weight * scale[:, None])[order], first=False),
            "head_inner_bias": bias[order].float().numpy(),
            "head_outer_weight": outer[order].numpy(),
        }
    return arrays, {"HEAD_BIAS": head.outer.bias.item() * factor + shift}


def mood_arrays(model: DeviceModel) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The mood head as float32 arrays and single numbers by name; empty without moods.

    A mood's half of the hidden layer is constant, so the table of moods holds it, bias included, instead of vectors.
    The calibration is folded in as in `head_arrays`.
    """
    network, (factor, shift) = model.scorer.network, model.calibration
    head = network.mood_head
    if not isinstance(head, MoodHead) or not model.mood_names:
        return {}, {}
    with torch.no_grad():
        outer = head.outer.weight[0] * factor
        order = raising_first(outer)
        moods = torch.arange(len(model.mood_names))
        halves = head.mood(moods) + head.inner.bias
        arrays = {
            "moods": halves[:, order].numpy(),
            "mood_content_weight": padded(head.inner.weight.chunk(2, dim=1)[1][order], first=False),
            "mood_outer_weight": outer[order].numpy(),
            "mood_gates": padded(network.mood_gates(moods), first=False),
        }
    return arrays, {"MOOD_BIAS": head.outer.bias.item() * factor + shift, "MOOD_LENGTH": model.hidden**0.5}


def raising_first(outer: Tensor) -> np.ndarray:
    """The order in which the C code sums up a hidden layer's units, from their outer weights [units]; int64, [units].

    First the units that can only raise a logit, then those that can only lower it, so that a content may be given up in
    between; the heaviest first, since they tell most.
    """
    weight = outer.detach().numpy()
    return np.lexsort((-np.abs(weight), weight < 0))


def padded(array: Tensor | np.ndarray, *, first: bool = True) -> np.ndarray:
    """The array as float32 with zeros up to multiples of LANES in the last dimensions; `first`: in the first too."""
    plain = np.asarray(array.detach() if isinstance(array, Tensor) else array, dtype=np.float32)
    missing = [(0, -size % LANES) for size in plain.shape]
    if not first and plain.ndim > 1:
        missing[: plain.ndim - 1] = [(0, 0)] * (plain.ndim - 1)
    return np.pad(plain, missing)


def user_vectors(vectors: Tensor, hidden: int) -> np.ndarray:
    """Vectors of users [..., width] as the C code wants them: embedding and gates each padded, float32."""
    return np.concatenate([padded(part, first=False) for part in vectors.tensor_split([hidden], dim=-1)], axis=-1)


def by_blocks(rows: np.ndarray) -> np.ndarray:
    """Rows of contents [n, ...] as blocks of BLOCK with the contents in the last dimension, [blocks, ..., BLOCK].

    The last block is filled up with zeros.
    """
    filled = np.pad(rows, [(0, -len(rows) % BLOCK)] + [(0, 0)] * (rows.ndim - 1))
    return np.ascontiguousarray(np.moveaxis(filled.reshape(-1, BLOCK, *rows.shape[1:]), 1, -1))
