"""From a node's features to its first vector (report, section V.A); the layers that follow are in `layers.py`."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys.checks import check_count, check_number
from recsys.graph.schema import GraphSchema
from recsys.models.layers import BatchNorm


class NodeEmbedding(nn.Module):
    """Linear(Concat(CategoryEmbed(x_cat), BatchNorm(x))): the report's ContentEmbedding (Eq. 3) and its projection.

    Index 0 of each vocabulary means unknown: missing, never seen in training or hidden by `feature_dropout`. Its vector
    starts at zero and is learned where values are missing or hidden.

    Args:
        numbers: width of `x`, may be 0.
        categories: sizes of the vocabularies behind the columns of `x_cat`.
        hidden: width of the result.
        category_dim: width of each category's vector.
        normalise: whether numbers pass a batch normalisation.
        feature_dropout: probability of hiding each of a node's features in training: a number becomes 0, which is the
            mean of a z-score, a category becomes unknown.
    """

    def __init__(
        self,
        numbers: int,
        categories: Sequence[int],
        *,
        hidden: int,
        category_dim: int,
        normalise: bool,
        feature_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.feature_dropout = feature_dropout
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
        if self.training and self.feature_dropout:
            x = F.dropout(x, self.feature_dropout)
            x_cat = x_cat * (torch.rand(x_cat.shape, device=x_cat.device) >= self.feature_dropout)
        numbers = x if self.norm is None else self.norm(x)
        embedded = [embedding(x_cat[:, column]) for column, embedding in enumerate(self.categories)]
        return self.projection(torch.cat([*embedded, numbers], dim=1))  # type: ignore[no-any-return]


class UserEmbedding(nn.Module):
    """Dropout(ReLU(BatchNorm(Linear(features)))) (report, section V.A.1 and Eq. 1); categories enter as vectors.

    Args:
        numbers, categories, hidden, category_dim, feature_dropout: as for `NodeEmbedding`.
        dropout: probability of dropping a component.
    """

    def __init__(
        self,
        numbers: int,
        categories: Sequence[int],
        *,
        hidden: int,
        category_dim: int,
        dropout: float,
        feature_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.linear = NodeEmbedding(
            numbers,
            categories,
            hidden=hidden,
            category_dim=category_dim,
            normalise=False,
            feature_dropout=feature_dropout,
        )
        self.norm = BatchNorm(hidden)
        self.dropout = dropout

    def forward(self, x: Tensor, x_cat: Tensor) -> Tensor:
        """Numbers [n, numbers] and category indices [n, num vocabularies] -> [n, hidden]."""
        return F.dropout(self.norm(self.linear(x, x_cat)).relu(), self.dropout, self.training)


class IdEmbedding(nn.Module):
    """Linear(u + e_i) for the i-th node that was met (see `MetNodes`), to add to its first vector.

    u is one vector for everything unknown, and e_i starts at 0 and is 0 for a node that was not met. In training e_i is
    left out with the given probability, so that u, which stands alone for newcomers and for whatever had no event in
    training, is as good as it can be, and the rest of the network learns not to lean on identities.

    Args:
        num_met: nodes with an event in training; later ones are unknown.
        dim: width of u and e_i.
        hidden: width of the result.
        dropout: probability of leaving e_i out.
    """

    def __init__(self, num_met: int, *, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.unknown = nn.Parameter(torch.zeros(dim))
        self.own = nn.Embedding(num_met + 1, dim, padding_idx=0)  # index 0 stays 0
        nn.init.zeros_(self.own.weight)
        self.projection = nn.Linear(dim, hidden, bias=False)

    def forward(self, met: Tensor) -> Tensor:
        """Numbers of nodes, 0 for unknown ones, int64 [n] -> [n, hidden]."""
        is_known = met < self.own.num_embeddings
        if self.training:
            is_known = is_known & (torch.rand(len(met), device=met.device) >= self.dropout)
        return self.projection(self.unknown + self.own(met * is_known))  # type: ignore[no-any-return]


def id_embeddings(schema: GraphSchema, dim: int | None, *, hidden: int, dropout: float) -> dict[str, IdEmbedding]:
    """The embeddings that `model.id_embedding` asks for, of users and contents; none for None.

    Raises:
        UserError: for a width or a probability that cannot be.
    """
    check_count("model.id_embedding", dim, 1, optional=True)
    check_number("model.id_dropout", dropout, 0, 1, below=True)
    if dim is None:
        return {}
    return {
        node_type: IdEmbedding(num_met, dim=dim, hidden=hidden, dropout=dropout)
        for node_type, num_met in schema.num_met.items()
    }


def _category_embedding(size: int, width: int) -> nn.Embedding:
    """Vectors of `size` values; that of index 0, unknown, starts at zero."""
    embedding = nn.Embedding(size, width)
    nn.init.zeros_(embedding.weight.data[0])
    return embedding
