"""Where a study is kept: a journal file in the sweep's folder, or a database that machines share."""

import os
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from recsys.errors import UserError
from recsys.files import writing
from recsys.secret_values import is_secret

JOURNAL = "study.journal"
PASSWORD = "RECSYS_STORAGE_PASSWORD"
STALE_LOCK = 10  # seconds after which the lock of a killed process is broken; it is held for milliseconds


def open_storage(url: str | None, folder: Path) -> BaseStorage:
    """The storage at `url`, or the journal in `folder` where it is None.

    Args:
        url: such as `postgresql://user@host/database`, without a password: that comes from RECSYS_STORAGE_PASSWORD, as
            a sweep's options are written to its folders.
        folder: the sweep's folder, made if it is missing.

    Raises:
        UserError: if the URL is none or holds a password, its driver is not installed, or the database does not answer.
    """
    if url is None:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        # The lock is a link to this path. A relative one would lead nowhere, and Optuna would wait for ever for a lock
        # that a killed process has left.
        path = str((folder / JOURNAL).resolve())
        return JournalStorage(JournalFileBackend(path, JournalFileSymlinkLock(path, grace_period=STALE_LOCK)))
    parsed = without_password(url)
    try:
        password = os.environ.get(PASSWORD)
        full = parsed.set(password=password) if password else parsed
        return optuna.storages.get_storage(full.render_as_string(hide_password=False))
    except ImportError as error:
        raise UserError(
            f"sweeps.storage={url} needs a driver that is not installed ({one_line(error)}): "
            "pip install 'recsys[storage]'."
        ) from None
    except SQLAlchemyError as error:
        raise UserError(f"sweeps.storage={url} does not answer: {one_line(error)}") from None


def without_password(url: str) -> URL:
    """The URL as the database's driver reads it.

    Raises:
        UserError: if it is none, or holds a password, which would end up in run folders and logs.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        # Not shown, since whatever it is may hold a password.
        raise UserError("sweeps.storage is no database URL such as postgresql://user@host/database.") from None
    if parsed.password or any(is_secret(name) for name in parsed.query):
        raise UserError(f"sweeps.storage holds a password: leave it out of the URL and put it into {PASSWORD}.")
    return parsed


def one_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
