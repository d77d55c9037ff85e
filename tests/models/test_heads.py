import math

import pytest
import torch
from torch import nn

from recsys.models.heads import TILE_CONTENTS, TILE_USERS, DotHead, HadamardHead, MoodHead
from tests.models.helpers import pick_running_statistics, same_bits


def set_linear(linear: nn.Linear, weight: list[list[float]], bias: list[float]) -> None:
    linear.weight.data, linear.bias.data = torch.tensor(weight), torch.tensor(bias)


def test_hadamard_head_by_hand() -> None:
    """u = (1, 2), c = (3, -1). P_u u = (1, 3), P_c c = (6, -1), product (6, -3); W and b: (6 - 6 + 1, 3 + 0) = (1, 3).

    BatchNorm with mean (0, 1), variance (1, 4), scale (1, 2) and shift (0, -3): (1, 2 x 2/2 - 3) = (1, -1), ReLU
    (1, 0), and w^T (1, 0) + b' = 5 + 0.5.
    """
    head = HadamardHead(2, 2).eval()
    set_linear(head.user, [[1.0, 0.0], [1.0, 1.0]], [0.0, 0.0])
    set_linear(head.content, [[2.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    set_linear(head.inner, [[1.0, 2.0], [0.5, 0.0]], [1.0, 0.0])
    head.norm.running_mean, head.norm.running_var = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 4.0])
    head.norm.weight.data, head.norm.bias.data = torch.tensor([1.0, 2.0]), torch.tensor([0.0, -3.0])
    set_linear(head.outer, [[5.0, 7.0]], [0.5])
    user, content = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])
    torch.testing.assert_close(head(user, content), torch.tensor([5.5]), atol=1e-4, rtol=0)
    torch.testing.assert_close(head.block_logits(user, content), torch.tensor([[5.5]]), atol=1e-4, rtol=0)


def test_dot_head_by_hand() -> None:
    """(1, 2, 0, 2) . (3, 0, 1, 1) / sqrt(4) + 0.5 = 5 / 2 + 0.5."""
    head = DotHead(4)
    head.bias.data.fill_(0.5)
    user, content = torch.tensor([[1.0, 2.0, 0.0, 2.0]]), torch.tensor([[3.0, 0.0, 1.0, 1.0]])
    assert head(user, content).tolist() == [3.0]
    assert head.block_logits(user, content).tolist() == [[3.0]]


def test_mood_head_by_hand() -> None:
    """Mood (3, 4) and content (0, 2) become r (0.6, 0.8, 0, 1) with r the root of 2; ReLU gives r (1.6, 0)."""
    head = MoodHead(2, 2, 2)
    head.moods.weight.data = torch.tensor([[9.0, 9.0], [3.0, 4.0]])
    set_linear(head.inner, [[1.0, 0.0, 5.0, 1.0], [0.0, -1.0, 3.0, 0.0]], [0.0, 0.0])
    set_linear(head.outer, [[2.0, 3.0]], [-0.2])
    content = torch.tensor([[0.0, 2.0]])
    expected = 2 * 1.6 * math.sqrt(2) - 0.2
    torch.testing.assert_close(head(torch.tensor([1]), content), torch.tensor([expected]))
    torch.testing.assert_close(head.block_logits(torch.tensor([1]), content), torch.tensor([[expected]]))


def test_moods_have_xavier_initialisation() -> None:
    weight = MoodHead(40, 60, 8).moods.weight.data
    bound = math.sqrt(6 / (40 + 60))
    assert 0.9 * bound < weight.abs().max() <= bound
    assert abs(weight.std() / (bound / math.sqrt(3)) - 1) < 0.1


@pytest.mark.parametrize("head", [HadamardHead(12, 5), DotHead(12)])
def test_block_logits_equal_pair_logits(head: HadamardHead | DotHead) -> None:
    torch.manual_seed(0)
    pick_running_statistics(head)
    head.eval()
    user, content = torch.randn(TILE_USERS + 3, 12), torch.randn(TILE_CONTENTS + 50, 12)
    with torch.no_grad():
        torch.testing.assert_close(
            head.block_logits(user, content), head(user[:, None], content[None]), atol=1e-5, rtol=1e-5
        )
        assert head.block_logits(user[:0], content).shape == (0, len(content))
        assert head.block_logits(user, content[:0]).shape == (len(user), 0)


def test_mood_block_logits_equal_pair_logits() -> None:
    torch.manual_seed(0)
    head, content, moods = MoodHead(4, 12, 5), torch.randn(30, 12), torch.tensor([3, 0, 1])
    torch.testing.assert_close(head.block_logits(moods, content), head(moods[:, None], content), atol=1e-5, rtol=1e-5)
    assert head.block_logits(moods[:0], content).shape == (0, 30)


def test_a_score_does_not_depend_on_who_else_is_asked_for() -> None:
    torch.manual_seed(0)
    head = HadamardHead(12, 5).eval()
    user, content = torch.randn(TILE_USERS + 3, 12), torch.randn(40, 12)
    with torch.no_grad():
        together = head.block_logits(user, content)
        for row in (0, 7, TILE_USERS + 2):
            assert same_bits(head.block_logits(user[row : row + 1], content)[0], together[row])


def test_block_logits_need_eval_mode() -> None:
    with pytest.raises(RuntimeError, match="eval"):
        HadamardHead(4, 2).block_logits(torch.zeros(2, 4), torch.zeros(3, 4))


def test_training_normalises_over_all_pairs_of_the_batch() -> None:
    torch.manual_seed(0)
    head = HadamardHead(4, 2)
    user, content = torch.randn(5, 1, 4), torch.randn(5, 3, 4)
    logits = head(user, content)
    product = (head.user(user) * head.content(content)).reshape(15, 4)
    inner = head.inner(product)
    normal = (inner - inner.mean(dim=0)) / torch.sqrt(inner.var(dim=0, unbiased=False) + head.norm.eps)
    torch.testing.assert_close(logits, head.outer(normal.relu()).view(5, 3))
