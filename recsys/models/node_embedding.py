"""From a node's features to its first vector (report, section V.A); the layers that follow are in `layers.py`."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys.models.layers import BatchNorm


class NodeEmbedding(nn.Module):
    """Linear(Concat(CategoryEmbed(x_cat), BatchNorm(x))): the report's ContentEmbedding (Eq. 3) and its projection.

    Index 0 of each vocabulary means unknown; its vector starts at zero, so a value never seen in training says nothing.

    Args:
        numbers: width of `x`, may be 0.
        categories: sizes of the vocabularies behind the columns of `x_cat`.
        hidden: width of the result.
        category_dim: width of each category's vector.
        normalise: whether numbers pass a batch normalisation.
    """

    def __init__(
        self, numbers: int, categories: Sequence[int], *, hidden: int, category_dim: int, normalise: bool
    ) -> None:
        super().__init__()
        self.categories = nn.ModuleList(_category_embedding(size, category_dim) for size in categories)
        self.norm = BatchNorm(numbers) if normalise and numbers else None
        width = numbers + category_dim * len(categories)
        self.projection = nn.Linear(width, hidden) if width else None
        self.constant = None if width else nn.Parameter(torch.zeros(hidden))

    def forward(self, x: Tensor, x_cat: Tensor) -> Tensor:
        """Numbers [n, numbers] and category indices [n, num vocabularies] -> [n, hidden]."""
        if self.projection is None:
            assert self.constant is not None
            return self.constant.expand(len(x), -1)
        numbers = x if self.norm is None else self.norm(x)
        embedded = [embedding(x_cat[:, column]) for column, embedding in enumerate(self.categories)]
        return self.projection(torch.cat([*embedded, numbers], dim=1))  # type: ignore[no-any-return]


class UserEmbedding(nn.Module):
    """Dropout(ReLU(BatchNorm(Linear(features)))) (report, section V.A.1 and Eq. 1); categories enter as vectors.

    Args:
        numbers, categories, hidden, category_dim: as for `NodeEmbedding`.
        dropout: probability of dropping a component.
    """

    def __init__(
        self, numbers: int, categories: Sequence[int], *, hidden: int, category_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.linear = NodeEmbedding(numbers, categories, hidden=hidden, category_dim=category_dim, normalise=False)
        self.norm = BatchNorm(hidden)
        self.dropout = dropout

    def forward(self, x: Tensor, x_cat: Tensor) -> Tensor:
        """Numbers [n, numbers] and category indices [n, num vocabularies] -> [n, hidden]."""
        return F.dropout(self.norm(self.linear(x, x_cat)).relu(), self.dropout, self.training)


def _category_embedding(size: int, width: int) -> nn.Embedding:
    """Vectors of `size` values; that of index 0, unknown, starts at zero."""
    embedding = nn.Embedding(size, width)
    nn.init.zeros_(embedding.weight.data[0])
    return embedding
