"""Writing files so that nobody ever sees half of one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from recsys.errors import UserError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Says which path it was that could not be written.

    Raises:
        UserError: for what the system refuses.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error}): choose another place.") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it takes the place of `path` when all went well.

    Raises:
        UserError: if the system refuses it.
    """
    # Of this call alone: two processes may write the same file.
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(directory: Path) -> Iterator[Path]:
    """A temporary folder beside `directory` to fill; it takes the place of `directory` when all went well.

    Raises:
        UserError: if the system refuses it.
    """
    directory = directory.resolve()
    temporary = _sibling(directory)
    with writing(directory):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            _take_place(temporary, directory)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _take_place(new: Path, directory: Path) -> None:
    """Rename `new` to `directory`; what was there is deleted only once that has succeeded."""
    if not directory.exists():
        new.rename(directory)
        return
    old = directory.rename(_sibling(directory))
    try:
        new.rename(directory)
    except OSError:
        old.rename(directory)
        raise
    shutil.rmtree(old)


def _sibling(directory: Path) -> Path:
    """A new hidden name beside `directory`."""
    return directory.with_name(f".{directory.name}.{uuid4().hex}")
