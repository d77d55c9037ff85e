"""Real logs, as they are: who is evaluated under the protocol."""

from pathlib import Path

import pytest

from recsys.data.features import fit_encoders
from recsys.data.interaction_index import InteractionIndex
from recsys.data.preparation import LogSettings, prepare
from recsys.data.ranking_task import RankingTask
from recsys.sources.tables import TableSource


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "target", "users", "merged"),
    [("kuairand", ["like"], 531, 1_174), ("movielens_small", ["rating"], 74, 1_908), ("taobao", None, 14_792, 0)],
)
def test_real_logs(name: str, target: list[str] | None, users: int, merged: int, real_data: Path) -> None:
    tables = TableSource(path=real_data / name, columns={"content_id": "item_id"}).load()
    prepared = prepare(tables, LogSettings(target=target))
    log, report = prepared.log, prepared.report
    assert report.rows("interactions", "read") == len(log) + merged
    assert report.rows("interactions", "merged") == merged
    assert prepared.quarantine.empty
    assert len(RankingTask.build(log, InteractionIndex(log), "test", 0).user) == users
    encoders = fit_encoders(log)
    assert encoders.content.encode(log.contents).numbers.shape == (
        len(log.contents),
        len(encoders.content.number_names),
    )
