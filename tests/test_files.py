"""Files that are replaced as a whole, by however many processes at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recsys.files import replacing


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "final.json"

    def write(writer: int) -> None:
        for _ in range(100):
            with replacing(path) as temporary:
                temporary.write_text(str(writer) * 10_000)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    text = path.read_text()
    assert text == text[0] * 10_000
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "final.json"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError), replacing(path) as temporary:
        temporary.write_text("half\ud83d", encoding="utf-8")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("final.json", "before")]
