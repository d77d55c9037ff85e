"""A token in the environment, and settings that hurry."""

import pytest

from recsys.sources.platform.moods import MoodTable
from tests.sources.platform.server import TOKEN, TOKEN_VARIABLE


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)


@pytest.fixture(scope="session")
def moods() -> MoodTable:
    return MoodTable({"joyful": ["joy"], "calm": ["serenity"], "hopeful": ["hope"], "reflective": ["contemplation"]})
