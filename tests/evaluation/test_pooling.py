"""Metrics of several origins by hand."""

import pytest

from recsys.evaluation.pooling import mean_over_origins, over_origins, pooled

FIRST = {"all": {"users": 3, "positives": 5, "ndcg@10": 0.2, "auroc": 0.6}, "cold_users": {"users": 1, "ndcg@10": 0.1}}
SECOND = {"all": {"users": 1, "positives": 2, "ndcg@10": 0.6}}


def test_pooled_weighs_by_users_and_adds_counts() -> None:
    found = pooled([FIRST, SECOND])
    assert found["all"] == {"users": 4, "positives": 7, "ndcg@10": pytest.approx(0.3), "auroc": pytest.approx(0.6)}
    assert found["cold_users"] == {"users": 1, "ndcg@10": pytest.approx(0.1)}
    assert isinstance(found["all"]["users"], int)


def test_the_mean_counts_every_origin_the_same() -> None:
    assert mean_over_origins([FIRST, SECOND])["all"]["ndcg@10"] == pytest.approx(0.4)
    assert mean_over_origins([FIRST, SECOND])["all"]["auroc"] == pytest.approx(0.6)


def test_one_origin_stays_as_it_is() -> None:
    assert pooled([FIRST]) is FIRST
    assert over_origins([{"validation": FIRST, "threshold": 0.5}]) == {"validation": FIRST, "threshold": 0.5}


def test_several_origins() -> None:
    cold = {"validation": {}, "test": {"cold_contents": {"users": 2, "ndcg@10": 0.3}}}
    of_origins = [
        {
            "validation": one,
            "test": other,
            "threshold": threshold,
            "references": {"popularity": {"validation": SECOND, "test": one}, **more},
            "references_left_out": left_out,
        }
        for one, other, threshold, more, left_out in (
            (FIRST, SECOND, 0.5, {"random": cold}, {"creator popularity": "none."}),
            (SECOND, FIRST, 0.4, {}, {"random": "nothing is cold.", "creator popularity": "none."}),
        )
    ]
    found = over_origins(of_origins)
    assert found["threshold"] == 0.4
    assert found["test"] == pooled([SECOND, FIRST])
    assert found["references"]["popularity"] == {"validation": pooled([SECOND] * 2), "test": pooled([FIRST, SECOND])}
    assert found["references"]["random"] == cold, "over the origins that have it"
    assert found["references_left_out"] == {"creator popularity": "none."}
    assert found["mean"].keys() == {"validation", "test"}
    assert found["origins"] == of_origins
