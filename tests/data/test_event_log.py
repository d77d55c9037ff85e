"""What a log says of itself."""

from dataclasses import replace

from tests.factories import tiny_log


def test_a_content_goes_by_its_title_or_else_its_id() -> None:
    log = tiny_log()
    ids = [str(log.contents.ids[row]) for row in range(4)]
    attributes = log.contents.attributes.drop(columns="title", errors="ignore")
    without = replace(log, contents=replace(log.contents, attributes=attributes))
    assert [without.title(row) for row in range(4)] == ids
    titles = ["A title", None, float("nan"), " "] + ["x"] * (len(attributes) - 4)
    titled = replace(log, contents=replace(log.contents, attributes=attributes.assign(title=titles)))
    assert [titled.title(row) for row in range(4)] == ["A title", *ids[1:]]
