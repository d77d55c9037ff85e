"""The first vectors of nodes; `test_networks.py` has the networks that begin with them."""

import torch

from recsys.models.node_embedding import NodeEmbedding


def test_features_are_hidden_in_training_only() -> None:
    """Of x = 1 and category 1, whose vector is 10, each is hidden with probability 0.25; numbers make up for it."""
    torch.manual_seed(0)
    embedding = NodeEmbedding(1, (2,), hidden=1, category_dim=1, normalise=False, feature_dropout=0.25)
    embedding.categories[0].weight.data = torch.tensor([[0.0], [10.0]])
    embedding.projection.weight.data, embedding.projection.bias.data = torch.ones(1, 2), torch.zeros(1)
    x, x_cat = torch.ones(20_000, 1), torch.ones(20_000, 1, dtype=torch.int64)
    assert torch.equal(embedding.eval()(x, x_cat), torch.full((20_000, 1), 11.0))
    found = embedding.train()(x, x_cat)[:, 0]
    seen_category, seen_number = found >= 10, (found % 10) > 1
    torch.testing.assert_close(found, 10.0 * seen_category + seen_number / 0.75)
    for seen in (seen_category, seen_number):
        assert abs(seen.float().mean() - 0.75) < 0.02
    assert abs((seen_category & seen_number).float().mean() - 0.75**2) < 0.02
