"""Numbers over seeds, by hand."""

import pytest

from recsys.tuning.spread import Spread, over_seeds


def test_mean_and_deviation_of_what_all_seeds_have() -> None:
    found = over_seeds([{"ndcg": 0.2, "auroc": 0.9}, {"auroc": 0.5, "ndcg": 0.4}, {"ndcg": 0.6}])
    assert list(found) == ["ndcg"]
    assert found["ndcg"].values == (0.2, 0.4, 0.6)
    assert found["ndcg"].mean == pytest.approx(0.4)
    assert found["ndcg"].std == pytest.approx(0.2)  # of the sample: root of (0.04 + 0 + 0.04) / 2


def test_one_seed_has_no_deviation() -> None:
    assert over_seeds([{"ndcg": 1}]) == {"ndcg": Spread(mean=1.0, std=0.0, values=(1.0,))}
