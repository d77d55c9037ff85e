"""The MovieLens data sets, downloaded from GroupLens or read from a local copy; `movielens_files` reads their files."""

import io
import logging
import re
from pathlib import Path

import pooch

from recsys.errors import UserError
from recsys.sources.base import Tables
from recsys.sources.movielens_files import read_movielens

logger = logging.getLogger(__name__)

GROUPLENS = "https://files.grouplens.org/datasets/movielens"
# MD5 of each archive as GroupLens publishes it; None for the one that GroupLens says may change.
CHECKSUMS = {
    "latest-small": None,
    "100k": "0e33842e24a9c977be4e0107933c0723",
    "1m": "c4d9eecfca2ab87c1945afe126590906",
    "32m": "d472be332d4daa821edc399621853b57",
}
_RETRIES = 2


class MovieLens:
    """Ratings of films by the users of movielens.org, with title, year and genres of each film.

    Where the set has them, tags that users gave are events of type "tag". What they wrote is left out: as a static
    tag of the film it would be known before it was written. Users of 100k and 1m have age, gender and occupation.

    Args:
        variant: what to download: latest-small (100,836 ratings), 100k, 1m or 32m.
        path: a local copy instead: the zip, or a folder with its files (each may be compressed with gzip). Which
            variant it is shows from its files.
        cache_dir: where downloads are kept; the platform's cache folder by default.
        base_url: where the archives are.
    """

    def __init__(
        self,
        *,
        variant: str = "latest-small",
        path: str | Path | None = None,
        cache_dir: str | Path | None = None,
        base_url: str = GROUPLENS,
    ) -> None:
        self.variant = variant
        self.path = None if path is None else Path(path).expanduser()
        self.cache_dir = Path(pooch.os_cache("recsys") if cache_dir is None else cache_dir).expanduser()
        self.base_url = base_url.rstrip("/")

    def load(self) -> Tables:
        """Read the local copy or the cached or downloaded archive.

        Raises:
            UserError: if the variant or the path does not exist, the download fails or differs from its checksum,
                or the files are not as GroupLens lays them out.
        """
        tables = read_movielens(self._archive() if self.path is None else self.path)
        num_contents = 0 if tables.contents is None else len(tables.contents)
        logger.info("movielens: %s events on %s films", f"{len(tables.interactions):,}", f"{num_contents:,}")
        return tables

    def _archive(self) -> Path:
        """The archive in the cache, downloaded unless it is there; nothing but a whole, checked one gets there."""
        if self.variant not in CHECKSUMS:
            raise UserError(f"There is no MovieLens variant {self.variant!r}: choose from {', '.join(CHECKSUMS)}.")
        name = f"ml-{self.variant}.zip"
        try:
            self.cache_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"Cannot write to {self.cache_dir}: give another folder as data.cache_dir=DIR.") from error
        checksum = CHECKSUMS[self.variant] or self._published_checksum(name)
        pooch.get_logger().setLevel("WARNING")  # this module's log says what happens
        fetcher = pooch.create(
            path=self.cache_dir,
            base_url=f"{self.base_url}/",
            registry={name: f"md5:{checksum}"},
            retry_if_failed=_RETRIES,
        )
        logger.info("movielens: %s, cached in %s", f"{self.base_url}/{name}", self.cache_dir)
        downloader = pooch.HTTPDownloader(progressbar=True, chunk_size=1 << 16)
        try:
            return Path(fetcher.fetch(name, downloader=downloader))
        except OSError as error:  # every failure of the network is one, too
            raise _failed(f"{self.base_url}/{name}", error) from error
        except ValueError as error:
            raise UserError(
                f"What {self.base_url}/{name} gave does not have the checksum {checksum} and was deleted: try again "
                "later, or give an archive from elsewhere as data.path=FILE."
            ) from error

    def _published_checksum(self, name: str) -> str:
        """MD5 that GroupLens publishes beside an archive; the one from the time of download for a cached archive."""
        archive, kept = self.cache_dir / name, self.cache_dir / f"{name}.md5"
        if archive.exists() and kept.exists():
            checksum = kept.read_text()
            if pooch.file_hash(str(archive), alg="md5") == checksum:
                return checksum
        url = f"{self.base_url}/{name}.md5"
        text = io.BytesIO()
        try:
            pooch.HTTPDownloader()(url, text, None)
        except OSError as error:
            raise _failed(url, error) from error
        found = re.search(rb"\b[0-9a-fA-F]{32}\b", text.getvalue())
        if found is None:
            raise UserError(
                f"{url} holds no MD5 checksum: download {name} by other means and give it as data.path=FILE."
            )
        checksum = found[0].decode().lower()
        partial = kept.with_suffix(".partial")
        partial.write_text(checksum)
        partial.replace(kept)
        return checksum


def _failed(url: str, error: OSError) -> UserError:
    reasons = {
        "ConnectionError": "no connection",
        "ConnectTimeout": "no connection",
        "ReadTimeout": "no answer in time",
        "SSLError": "the server's certificate is not valid",
        "ChunkedEncodingError": "the connection broke",
    }
    reason = reasons.get(type(error).__name__, " ".join(str(error).split()))
    return UserError(
        f"Could not download {url} ({reason}): check the network, or get the archive by other means and give it as "
        "data.path=FILE."
    )
