"""The report: one valid, self-contained page that tells what it must and trusts no title."""

import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.data.cleaning_report import CleaningReport
from recsys.data.event_log import Split
from recsys.evaluation import plots
from recsys.evaluation.protocol import Evaluation, Metrics, evaluate
from recsys.evaluation.references import References
from recsys.evaluation.report import ReportInputs, write_report
from tests.evaluation.fakes import FixedMoodScorer, FixedScorer, early_log, perfect_scorer, random_scorer, task_of

HOSTILE = "<script>alert('x')</script> & \"Söhne\""
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags close in order, and collects ids, addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self._note(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [str(value) for name, value in attrs if name == "id"]
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "xlink:href", "action")]


COLD = {"users": 3, "positives": 4, "ndcg@10": 0.5, "recall@20": 0.6, "mrr@10": 0.7, "hit_rate@10": 0.8}


def reached(found: Evaluation) -> dict[Split, Metrics]:
    return {"validation": {}, "test": found.metrics}


@pytest.fixture
def inputs() -> ReportInputs:
    log = early_log(1)
    attributes = log.contents.attributes.assign(title=HOSTILE)
    attributes.loc[0, "title"] = None
    log = replace(log, contents=replace(log.contents, attributes=attributes))
    index, validation_task = task_of(log, "validation")
    _, test_task = task_of(log, "test")
    scorer = FixedMoodScorer(random_scorer(log).matrix, by_mood=random_scorer(log, 1).matrix[: len(log.moods)])
    validation = evaluate(scorer, log, index, validation_task)
    return ReportInputs(
        name="tiny_gat_sage",
        model="gat_sage",
        seed=0,
        log=log,
        validation=validation,
        test=evaluate(scorer, log, index, test_task, threshold=validation.threshold),
        cleaning=CleaningReport((("interactions", "read", "", 1234), ("interactions", "set aside", "no time", 5))),
        started=datetime(2024, 5, 6, 7, 8, 9),
        seconds={"preparation": 1.25, "training": 61.0},
        config="model: gat_sage\nname: <b>bold</b>\n",
        references=References(
            metrics={
                "oracle": reached(evaluate(perfect_scorer(log, test_task), log, index, test_task, threshold=0.5)),
                "random": {"validation": {}, "test": {"cold_contents": COLD | {"ndcg@10": 0.0123}}},
            },
            left_out={"creator popularity": "no content has a <creator>."},
        ),
        history=pd.DataFrame(
            {
                "epoch": [0, 0, 1, 1],
                "step": [3, 3, 7, 7],
                "train/loss": [0.9, np.nan, 0.7, np.nan],
                "val/ndcg@10": [np.nan, 0.1, np.nan, 0.2],
            }
        ),
    )


def read(tmp_path: Path, inputs: ReportInputs) -> str:
    return write_report(tmp_path / "report.html", inputs).read_text(encoding="utf-8")


def test_page_is_valid_and_self_contained(tmp_path: Path, inputs: ReportInputs) -> None:
    text = read(tmp_path, inputs)
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    assert page.addresses
    assert all(address.startswith("#") for address in page.addresses)
    assert {address[1:] for address in page.addresses} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"(src|href)\s*=\s*[\"']?\s*(https?:)?//", text)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert page.tags.count("svg") == 6
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_what_users_wrote_is_escaped(tmp_path: Path, inputs: ReportInputs) -> None:
    text = read(tmp_path, inputs)
    page = Page(text)
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &#34;Söhne&#34;" in text
    assert "name: <b>bold</b>" in "".join(page.text)


def test_page_shows_the_numbers(tmp_path: Path, inputs: ReportInputs) -> None:
    text = " ".join("".join(Page(read(tmp_path, inputs)).text).split())
    for slice_, values in inputs.test.metrics.items():
        assert slice_.replace("_", " ") in text
        assert f"{values['ndcg@10']:.4f}" in text
    assert f"{inputs.validation.metrics['all']['recall@50']:.4f}" in text
    assert "2024-05-06 07:08:09" in text
    assert "61.0 s" in text
    assert "1,234" in text
    assert f"{inputs.validation.threshold:.4f}" in text


def test_example_users_are_warm_and_cold_with_hits_marked(tmp_path: Path, inputs: ReportInputs) -> None:
    text = read(tmp_path, inputs)
    test = inputs.test
    cold = test.per_user["cold"]
    assert text.count('<article class="user">') == min(10, len(cold))
    assert text.count('class="tag cold"') == min(cold.sum(), max(5, 10 - (~cold).sum()))
    met = set(map(tuple, test.pairs.loc[test.pairs["positive"], ["user", "content"]].to_numpy()))
    users = [int(id_) for id_ in re.findall(r"<h3>User (\d+)</h3>", text)]
    top = test.recommendations[test.recommendations["rank"] <= 10]
    shown = top[np.isin(inputs.log.users.ids[top["user"]], users)]
    hits = sum((user, content) in met for user, content in shown[["user", "content"]].itertuples(index=False))
    assert text.count('<li class="hit">') == hits > 0
    assert str(inputs.log.contents.ids[0]) in text  # the one content without a title goes by its id


def test_a_user_without_any_candidate_has_no_list(tmp_path: Path, inputs: ReportInputs) -> None:
    shown = re.findall(r"<h3>User (\d+)</h3>", read(tmp_path, inputs))
    user = int(np.flatnonzero(inputs.log.users.ids == int(shown[0]))[0])
    rest = inputs.test.recommendations[inputs.test.recommendations["user"] != user]
    text = read(tmp_path, replace(inputs, test=replace(inputs.test, recommendations=rest)))
    assert text.count("this user has met every content there was") == 1
    assert re.findall(r"<h3>User (\d+)</h3>", text) == shown


def with_test(inputs: ReportInputs, scorer: FixedScorer) -> ReportInputs:
    index, task = task_of(inputs.log, "test")
    return replace(inputs, test=evaluate(scorer, inputs.log, index, task, threshold=0.5))


def warnings(text: str) -> str:
    return " ".join(re.findall(r'<p class="warning" role="alert">(.*?)</p>', text))


def test_a_collapsed_model_is_called_out(tmp_path: Path, inputs: ReportInputs) -> None:
    spread_out = perfect_scorer(inputs.log, task_of(inputs.log, "test")[1])
    collapsed = FixedScorer(spread_out.matrix * 1e-3)
    assert "collapsed" in warnings(read(tmp_path, with_test(inputs, collapsed)))
    assert "collapsed" not in warnings(read(tmp_path, with_test(inputs, spread_out)))


def test_a_better_reference_is_called_out_but_not_the_oracle(tmp_path: Path, inputs: ReportInputs) -> None:
    best = inputs.references.metrics["oracle"]
    assert "Ranks better" not in warnings(read(tmp_path, inputs))
    others = References(metrics={"recent_popularity": best}, left_out={})
    assert f"recent_popularity ({best['test']['all']['ndcg@10']:.4f})" in warnings(
        read(tmp_path, replace(inputs, references=others))
    )


def test_cold_contents_stand_beside_their_rivals(tmp_path: Path, inputs: ReportInputs) -> None:
    text = read(tmp_path, inputs)
    rows = re.findall(r"<tr><td>(.*?)</td>", text.split('<section id="cold">')[1].split("</section>")[0])
    assert rows == ["gat_sage", "random", "oracle"]
    assert "0.0123" in text
    assert "Without creator popularity: no content has a &lt;creator&gt;." in text
    assert "Ranks cold contents better" not in warnings(text)
    own = inputs.test.metrics["cold_contents"]["ndcg@10"]
    for name, said in (("random", True), ("oracle", False), ("popularity", False)):
        rival: dict[Split, Metrics] = {"validation": {}, "test": {"cold_contents": COLD | {"ndcg@10": own + 0.1}}}
        text = read(tmp_path, replace(inputs, references=References(metrics={name: rival}, left_out={})))
        assert (f"Ranks cold contents better than this model ({own:.4f}" in warnings(text)) == said
    metrics = {name: values for name, values in inputs.test.metrics.items() if name != "cold_contents"}
    text = read(tmp_path, replace(inputs, test=replace(inputs.test, metrics=metrics)))
    assert "No user has a positive on test among the contents without any event before." in text


def test_a_model_that_only_ranks_has_no_calibration(tmp_path: Path, inputs: ReportInputs) -> None:
    text = read(tmp_path, replace(with_test(inputs, random_scorer(inputs.log, gives_logits=False)), history=None))
    page = Page(text)
    assert page.tags.count("svg") == 4  # slices, scores, confusion, popularity
    assert "they are no probabilities" in " ".join(text.split())
    assert "#learning" not in page.addresses


def test_same_inputs_same_bytes(tmp_path: Path, inputs: ReportInputs) -> None:
    assert read(tmp_path / "a", inputs) == read(tmp_path / "b", inputs)
    assert read(tmp_path / "a", inputs) != read(tmp_path / "b", replace(inputs, seed=1, config="other"))


def test_confusion_matrix_counts_what_is_predicted() -> None:
    positive = np.array([True, True, True, False, False, False, False, False])
    predicted = np.array([True, True, False, True, False, False, False, False])
    text = re.sub(r"<[^>]*>", " ", plots.confusion(positive, predicted)).split()
    cells = [word for word in text if word[0].isdigit()]
    assert cells == ["4", "80.0%", "1", "20.0%", "1", "33.3%", "2", "66.7%"]  # actual negatives, then actual positives


def test_learning_curves_need_something_recorded() -> None:
    assert plots.learning_curves(pd.DataFrame({"epoch": [0, 1], "step": [1, 2], "lr-Adam": [0.1, 0.1]})) is None
    curves = plots.learning_curves(pd.DataFrame({"epoch": [0, 1], "step": [1, 2], "val/auroc": [0.5, 0.6]}))
    assert curves is not None
    assert "val/auroc" in curves
