"""What turns a user's or a mood's vector and a content's vector into a logit (report, section V.C).

Every head projects each side by itself (`user` or `mood`, `content`) and lets two projections `meet`, so that a node
in many pairs is projected once.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys.models.layers import BatchNorm

# Tile of `HadamardHead.block_logits`: its hidden values stay in the processor's cache.
TILE_USERS, TILE_CONTENTS = 32, 512


class HadamardHead(nn.Module):
    """logit = w^T ReLU(BatchNorm(W (P_u u * P_c c) + b)) + b' (report, section V.C.1).

    Separate projections P_u and P_c, their element-wise product, then a multi-layer network with batch normalisation.

    Args:
        hidden: width of user and content vectors.
        head_hidden: width of the network's hidden layer.
    """

    def __init__(self, hidden: int, head_hidden: int) -> None:
        super().__init__()
        self.user = nn.Linear(hidden, hidden)
        self.content = nn.Linear(hidden, hidden)
        self.inner = nn.Linear(hidden, head_hidden)
        self.norm = BatchNorm(head_hidden)
        self.outer = nn.Linear(head_hidden, 1)

    def forward(self, user: Tensor, content: Tensor) -> Tensor:
        """Logits of pairs, [..., hidden] and [..., hidden] -> [...]; the leading dimensions broadcast.

        In training all pairs of the call, positives and negatives, are one batch for the normalisation.
        """
        return self.meet(self.user(user), self.content(content))

    def meet(self, user: Tensor, content: Tensor) -> Tensor:
        """Logits of pairs of projections; like `forward`."""
        product = user * content
        inner = self.norm(self.inner(product.flatten(0, -2)))
        return self.outer(inner.relu()).view(product.shape[:-1])  # type: ignore[no-any-return]

    def block_logits(self, user: Tensor, content: Tensor) -> Tensor:
        """Logits of all pairs, [U, hidden] and [C, hidden] -> [U, C], equal to `forward`; in eval mode only.

        W (p_u * p_c) = (W diag(p_u)) p_c: one matrix product for several users and all contents, in place of an
        array [U, C, hidden]. The normalisation's running statistics are folded into W and b.
        """
        if self.training:
            raise RuntimeError("block_logits uses running statistics in place of the batch's: call eval() first.")
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        scale = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        weight = self.inner.weight * scale[:, None]
        bias = (self.inner.bias - self.norm.running_mean) * scale + self.norm.bias
        biases = bias.repeat(TILE_USERS)[:, None]
        contents = self.content(content).t().contiguous()
        # Every tile has the same number of users, so that a user's bits do not depend on who else is asked for.
        padded = F.pad(user, (0, 0, 0, -len(user) % TILE_USERS))
        logits = user.new_empty(len(user), len(content))
        for first in range(0, len(user), TILE_USERS):
            users = self.user(padded[first : first + TILE_USERS])
            weights = (users[:, None] * weight).flatten(0, 1)  # W diag(p_u) of each user, [users x head_hidden, hidden]
            rows = logits[first : first + TILE_USERS]
            for column in range(0, len(content), TILE_CONTENTS):
                columns = slice(column, column + TILE_CONTENTS)
                inner = torch.addmm(biases, weights, contents[:, columns]).relu_()
                tile = self.outer.weight[0] @ inner.view(TILE_USERS, len(bias), inner.shape[1])
                rows[:, columns] = tile[: len(rows)]
        return logits.add_(self.outer.bias)


class DotHead(nn.Module):
    """logit = u^T c / sqrt(hidden) + b: the article's dot product, scaled so that its spread does not grow with width.

    Args:
        hidden: width of user and content vectors.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.user = nn.Identity()
        self.content = nn.Identity()
        self.scale = hidden**-0.5
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, user: Tensor, content: Tensor) -> Tensor:
        """Logits of pairs, [..., hidden] and [..., hidden] -> [...]; the leading dimensions broadcast."""
        return self.meet(user, content)

    def meet(self, user: Tensor, content: Tensor) -> Tensor:
        """Logits of pairs; the projections are the vectors themselves."""
        logits: Tensor = (user * content).sum(dim=-1) * self.scale + self.bias
        return logits

    def block_logits(self, user: Tensor, content: Tensor) -> Tensor:
        """Logits of all pairs, [U, hidden] and [C, hidden] -> [U, C]."""
        logits: Tensor = torch.addmm(self.bias, user, content.t(), alpha=self.scale)
        return logits


class MoodHead(nn.Module):
    """logit = w^T ReLU(W [m' || c'] + b) + b' of a mood's and a content's L2-normalised vectors (report, V.C.2).

    The moods' vectors are a lookup table with Xavier initialisation (report, section V.A.3). Normalised vectors get the
    length sqrt(hidden) rather than 1: components of the size that a linear layer is initialised for learn faster.

    Args:
        num_moods: number of moods.
        hidden: width of mood and content vectors.
        head_hidden: width of the network's hidden layer.
    """

    def __init__(self, num_moods: int, hidden: int, head_hidden: int) -> None:
        super().__init__()
        self.moods = nn.Embedding(num_moods, hidden)
        nn.init.xavier_uniform_(self.moods.weight)
        self.inner = nn.Linear(2 * hidden, head_hidden)
        self.outer = nn.Linear(head_hidden, 1)

    def forward(self, mood: Tensor, content: Tensor) -> Tensor:
        """Logits of pairs: moods int64 [...], contents [..., hidden] -> [...]; the leading dimensions broadcast."""
        return self.meet(self.mood(mood), self.content(content))

    def mood(self, mood: Tensor) -> Tensor:
        """The moods' half of W [m || c], int64 [...] -> [..., head_hidden]; the halves only need to be added."""
        return F.linear(_direction(self.moods(mood)), self.inner.weight.chunk(2, dim=1)[0])

    def content(self, content: Tensor) -> Tensor:
        """The contents' half of W [m || c] + b, [..., hidden] -> [..., head_hidden]."""
        return F.linear(_direction(content), self.inner.weight.chunk(2, dim=1)[1], self.inner.bias)

    def meet(self, mood: Tensor, content: Tensor) -> Tensor:
        """Logits of pairs of halves, [..., head_hidden] each -> [...]; the leading dimensions broadcast."""
        return self.outer((mood + content).relu())[..., 0]  # type: ignore[no-any-return]

    def block_logits(self, moods: Tensor, content: Tensor) -> Tensor:
        """Logits of all pairs: moods int64 [M], contents [C, hidden] -> [M, C]."""
        contents = self.content(content)
        logits = [self.meet(mood, contents) for mood in self.mood(moods)]
        return torch.stack(logits) if logits else content.new_empty(0, len(content))


def _direction(vectors: Tensor) -> Tensor:
    """Vectors [..., d] with the length sqrt(d)."""
    scaled: Tensor = F.normalize(vectors, dim=-1) * vectors.shape[-1] ** 0.5
    return scaled
