"""Mood words fold into few moods, by the table and by likeness."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from recsys.errors import UserError
from recsys.sources.platform.moods import MoodTable
from tests.conftest import ROOT


def shipped() -> dict[str, list[str]]:
    found: dict[str, list[str]] = yaml.safe_load((ROOT / "conf/data/platform.yaml").read_text())["moods"]
    return found


def test_words_are_found_whatever_their_case_and_hyphens() -> None:
    moods = MoodTable({"calm": ["peace of mind"], "playful": ["light-heartedness"]})
    for word, mood in (("Calm", "calm"), (" PEACE-OF mind ", "calm"), ("light heartedness", "playful")):
        assert moods.fold(word) == mood
        assert moods.knows(word)


def test_a_missing_word_goes_where_the_most_alike_goes() -> None:
    moods = MoodTable({"reflective": ["contemplation", "wistful"], "calm": ["contentment"], "curious": ["analytical"]})
    for word, mood in (
        ("contemplative", "reflective"),  # contemplati-, not conte-
        ("content", "calm"),
        ("wistfulness", "reflective"),
        ("analysis", "curious"),
        ("contempt", "reflective"),  # likeness is a rule for spelling, not for meaning
        ("wise", None),  # three letters in common
        ("calmly", None),  # four
        ("contrast", None),
        ("zzz", None),
    ):
        assert moods.fold(word) == mood, word
        assert not moods.knows(word)


def test_a_word_belongs_to_one_mood() -> None:
    with pytest.raises(UserError, match="'joy' under happy and calm"):
        MoodTable({"happy": ["joy"], "calm": ["Joy"]})


def test_the_shipped_table_names_8_to_16_moods() -> None:
    table = shipped()
    assert 8 <= len(table) <= 16
    words = Counter(word.casefold() for words in table.values() for word in words)
    assert max(words.values()) == 1
    moods = MoodTable(table)
    for word, mood in (("hopefulness", "hopeful"), ("Serene", "calm"), ("contemplative", "reflective")):
        assert moods.fold(word) == mood
    assert moods.fold("cheerfully") == "joyful"


@pytest.mark.data
def test_the_shipped_table_has_every_word_of_the_real_platform(real_data: Path) -> None:
    words = set()
    for path in (real_data / "social_platform").glob("posts.summary*"):
        for row in json.loads(gzip.decompress(path.read_bytes()))["posts"]:
            emotions = row["post_summary"].get("emotions") if row["post_summary"] else None
            words.update((emotions or {}).get("moods", []))
    moods = MoodTable(shipped())
    assert len(words) > 200
    assert [word for word in words if not moods.knows(word)] == []
    assert {moods.fold(word) for word in words} == set(moods.names)
