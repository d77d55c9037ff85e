"""MovieLens in each of its layouts, and its download from a server that may be away, cut off or give other bytes."""

import gzip
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pooch
import pytest

from recsys.errors import UserError
from recsys.sources import movielens
from recsys.sources.base import Tables
from recsys.sources.movielens import MovieLens

CSV = {
    "ml-latest-small/ratings.csv": "userId,movieId,rating,timestamp\n1,10,4.0,964982703\n2,11,0.5,964982704\n",
    "ml-latest-small/movies.csv": "movieId,title,genres\n"
    '10,"American President, The (1995)",Comedy|Drama\n'
    "11,Death Note (2006–2007),(no genres listed)\n12,NULL,Film-Noir\n",
    "ml-latest-small/tags.csv": "userId,movieId,tag,timestamp\n2,10,très drôle,1445714994\n",
    "ml-latest-small/links.csv": "movieId,imdbId,tmdbId\n10,1,2\n",
    "ml-latest-small/README.txt": "Summary\n",
}
GENRES_100K = "0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0"  # animation, children's, comedy
ML_100K = {
    "ml-100k/u.data": "196\t1\t3\t881250949\n186\t267\t5\t891717742\n",
    "ml-100k/u.item": f"1|Misérables, Les (1995)|01-Jan-1995||http://us.imdb.com/M/x|{GENRES_100K}\n"
    f"267|unknown||||1{'|0' * 18}\n",
    "ml-100k/u.user": "186|39|F|executive|00000\n196|49|M|writer|T8H1N\n",
}
ML_1M = {
    "ml-1m/ratings.dat": "1::1193::5::978300760\n6040::661::3::978302109\n",
    "ml-1m/movies.dat": '1193::One "Flew" (1975)::Drama\n' + "661::James: Pêche (1996)::Animation|Children's\n",
    "ml-1m/users.dat": "1::F::1::10::48067\n6040::M::25::6::11106\n",
}


def zipped(files: dict[str, str], encoding: str = "utf-8") -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(next(iter(files)).split("/")[0] + "/", "")  # the folder itself, as GroupLens has it
        for name, text in files.items():
            archive.writestr(name, text.encode(encoding))
    return memory.getvalue()


def unpacked(folder: Path, files: dict[str, str], encoding: str = "utf-8", compress: bool = False) -> Path:
    for name, text in files.items():
        data = text.encode(encoding)
        file = folder / name.split("/")[1]
        if compress:
            file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(data))
        else:
            file.write_bytes(data)
    return folder


def same(a: Tables, b: Tables) -> bool:
    return all(
        (x is None and y is None) or (isinstance(x, pd.DataFrame) and x.equals(y))
        for x, y in ((a.interactions, b.interactions), (a.contents, b.contents), (a.users, b.users))
    )


def refuses(match: str, source: MovieLens) -> None:
    with pytest.raises(UserError, match=match) as caught:
        source.load()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("compress", [False, True])
def test_csv_layout(tmp_path: Path, compress: bool) -> None:
    tables = MovieLens(path=unpacked(tmp_path, CSV, compress=compress)).load()
    assert tables.name == "movielens"
    assert tables.interactions.drop(columns="value").to_dict("records") == [
        {"user_id": 1, "content_id": 10, "type": "rating", "timestamp": 964982703},
        {"user_id": 2, "content_id": 11, "type": "rating", "timestamp": 964982704},
        {"user_id": 2, "content_id": 10, "type": "tag", "timestamp": 1445714994},
    ]
    assert tables.interactions["value"].tolist()[:2] == [4.0, 0.5]
    assert tables.interactions["value"].isna().tolist() == [False, False, True]
    assert tables.contents is not None
    assert tables.contents["content_id"].tolist() == [10, 11, 12]
    assert tables.contents["title"].tolist() == ["American President, The (1995)", "Death Note (2006–2007)", "NULL"]
    assert tables.contents["tags"].tolist() == [["Comedy", "Drama"], [], ["Film-Noir"]]
    assert tables.contents["year"].tolist()[:2] == [1995, 2006]
    assert pd.isna(tables.contents["year"][2])
    assert tables.users is None
    assert tables.content_tags is None  # what users wrote was not known before they wrote it
    assert tables.kinds == {"contents": {"year": "number"}}


def test_csv_layout_without_tags(tmp_path: Path) -> None:
    unpacked(tmp_path, CSV)
    (tmp_path / "tags.csv").unlink()
    assert MovieLens(path=tmp_path).load().interactions["type"].tolist() == ["rating", "rating"]


def test_100k_layout(tmp_path: Path) -> None:
    tables = MovieLens(path=unpacked(tmp_path, ML_100K, "latin-1")).load()
    assert tables.interactions.to_dict("records") == [
        {"user_id": 196, "content_id": 1, "type": "rating", "value": 3.0, "timestamp": 881250949},
        {"user_id": 186, "content_id": 267, "type": "rating", "value": 5.0, "timestamp": 891717742},
    ]
    assert tables.contents is not None
    assert tables.users is not None
    assert tables.contents["title"].tolist() == ["Misérables, Les (1995)", "unknown"]
    assert tables.contents["tags"].tolist() == [["Animation", "Children's", "Comedy"], []]
    assert tables.contents["year"][0] == 1995
    assert tables.users.to_dict("records") == [
        {"user_id": 186, "age": 39, "gender": "F", "occupation": "executive"},
        {"user_id": 196, "age": 49, "gender": "M", "occupation": "writer"},
    ]
    assert tables.kinds["users"] == {"age": "number", "gender": "category", "occupation": "category"}


def test_1m_layout(tmp_path: Path) -> None:
    tables = MovieLens(path=unpacked(tmp_path, ML_1M, "latin-1")).load()
    assert tables.interactions["user_id"].tolist() == [1, 6040]
    assert tables.interactions["value"].tolist() == [5, 3]
    assert tables.contents is not None
    assert tables.users is not None
    assert tables.contents["title"].tolist() == ['One "Flew" (1975)', "James: Pêche (1996)"]
    assert tables.contents["tags"].tolist() == [["Drama"], ["Animation", "Children's"]]
    assert tables.contents["year"].tolist() == [1975, 1996]
    assert tables.users.to_dict("records") == [
        {"user_id": 1, "age": 1, "gender": "F", "occupation": "10"},
        {"user_id": 6040, "age": 25, "gender": "M", "occupation": "6"},
    ]


@pytest.mark.parametrize(("files", "encoding"), [(CSV, "utf-8"), (ML_100K, "latin-1"), (ML_1M, "latin-1")])
def test_zip_and_folder_are_the_same(tmp_path: Path, files: dict[str, str], encoding: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "any.zip").write_bytes(zipped(files, encoding))
    folder = MovieLens(path=unpacked(tmp_path / "folder", files, encoding)).load()
    assert same(MovieLens(path=tmp_path / "any.zip").load(), folder)


def test_bad_local_copies(tmp_path: Path) -> None:
    refuses("no folder or file", MovieLens(path=tmp_path / "nowhere"))
    refuses("has no ratings of MovieLens", MovieLens(path=tmp_path))
    (tmp_path / "no.zip").write_bytes(b"no zip")
    refuses("no.zip is damaged", MovieLens(path=tmp_path / "no.zip"))
    whole = zipped(CSV)
    broken = bytearray(whole)
    broken[whole.index(b"ratings.csv") + 20] ^= 0xFF  # inside the compressed ratings
    (tmp_path / "broken.zip").write_bytes(broken)
    refuses("is damaged", MovieLens(path=tmp_path / "broken.zip"))
    for name, text, match in (
        ("movies.csv", None, "has no movies.csv"),
        ("movies.csv", "movieId,title\n10,a\n", "movies.csv is damaged or not a file of MovieLens"),
        ("ratings.csv", "userId,movieId,rating,timestamp\n1,ten,4.0,964982703\n", "ratings.csv is damaged"),
        ("ratings.csv", "", "ratings.csv is damaged"),
    ):
        unpacked(tmp_path, CSV)
        if text is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_text(text)
        refuses(match, MovieLens(path=tmp_path))
    (tmp_path / "ratings.csv").unlink()
    (tmp_path / "ratings.csv.gz").write_bytes(gzip.compress(CSV["ml-latest-small/ratings.csv"].encode() * 99)[:-9])
    refuses("ratings.csv.gz is damaged", MovieLens(path=tmp_path))


def test_unknown_variant(tmp_path: Path) -> None:
    refuses(
        "no MovieLens variant '10k': choose from latest-small, 100k, 1m, 32m",
        MovieLens(variant="10k", cache_dir=tmp_path),
    )


@dataclass
class Server:
    """Answers with `files`, cut off after `limit` bytes where that is set, and notes what was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    limit: int | None = None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rsplit("/", 1)[1]
            state.asked.append(name)
            if name not in state.files:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(state.files[name])))
            self.end_headers()
            self.wfile.write(state.files[name][: None if name.endswith(".md5") else state.limit])

        def log_message(self, *_: Any) -> None:
            """Keep the tests' output clean."""

    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)  # between retries
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        state.url = f"http://127.0.0.1:{running.server_port}/datasets"
        yield state
        running.shutdown()
        thread.join()


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def latest_small(server: Server, files: dict[str, str] = CSV) -> bytes:
    archive = zipped(files)
    published = f"MD5 (ml-latest-small.zip) = {md5(archive)}\n"
    server.files = {"ml-latest-small.zip": archive, "ml-latest-small.zip.md5": published.encode()}
    return archive


def test_downloads_once_and_then_reads_the_cache(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    archive = latest_small(server)
    cache = tmp_path / "new" / "cache"
    tables = MovieLens(cache_dir=cache, base_url=server.url).load()
    assert len(tables.interactions) == 3
    assert "100%" in capfd.readouterr().err  # the progress bar
    assert sorted(file.name for file in cache.iterdir()) == ["ml-latest-small.zip", "ml-latest-small.zip.md5"]
    assert server.asked == ["ml-latest-small.zip.md5", "ml-latest-small.zip"]

    server.files = {}
    assert same(MovieLens(cache_dir=cache, base_url=server.url).load(), tables)
    assert same(MovieLens(path=cache / "ml-latest-small.zip").load(), tables)
    assert len(server.asked) == 2

    # A damaged copy is replaced, even where GroupLens has another version by now.
    (cache / "ml-latest-small.zip").write_bytes(archive[:-9])
    latest_small(server, {**CSV, "ml-latest-small/tags.csv": "userId,movieId,tag,timestamp\n"})
    assert len(MovieLens(cache_dir=cache, base_url=server.url).load().interactions) == 2


@pytest.mark.parametrize(
    ("variant", "files", "encoding"), [("100k", ML_100K, "latin-1"), ("1m", ML_1M, "latin-1"), ("32m", CSV, "utf-8")]
)
def test_fixed_checksums(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variant: str,
    files: dict[str, str],
    encoding: str,
) -> None:
    archive = zipped(files, encoding)
    server.files = {f"ml-{variant}.zip": archive}
    source = MovieLens(variant=variant, cache_dir=tmp_path, base_url=f"{server.url}/")
    refuses(f"ml-{variant}.zip gave does not have the checksum [0-9a-f]{{32}} and was deleted", source)
    assert not list(tmp_path.iterdir())
    assert len(server.asked) == 3  # tried again, since the network may be to blame

    monkeypatch.setitem(movielens.CHECKSUMS, variant, md5(archive))
    assert len(source.load().interactions) >= 2
    assert source.load().name == "movielens"
    assert len(server.asked) == 4


def test_a_cut_off_download_leaves_nothing(server: Server, tmp_path: Path) -> None:
    archive = latest_small(server)
    server.limit = len(archive) // 2
    source = MovieLens(cache_dir=tmp_path, base_url=server.url)
    refuses(
        r"Could not download http://127.0.0.1:\d+/datasets/ml-latest-small.zip \(the connection broke.*data.path=FILE",
        source,
    )
    assert [file.name for file in tmp_path.iterdir()] == ["ml-latest-small.zip.md5"]
    server.limit = None
    assert len(source.load().interactions) == 3


def test_no_server_no_file_no_checksum(server: Server, tmp_path: Path) -> None:
    refuses(
        r"Could not download .*/ml-latest-small.zip.md5 \(.*404", MovieLens(cache_dir=tmp_path, base_url=server.url)
    )
    refuses(
        r"Could not download .*/ml-1m.zip \(.*404", MovieLens(variant="1m", cache_dir=tmp_path, base_url=server.url)
    )
    server.files = {"ml-latest-small.zip.md5": b"<html>moved</html>"}
    refuses("holds no MD5 checksum", MovieLens(cache_dir=tmp_path, base_url=server.url))
    assert not list(tmp_path.iterdir())
    nobody = "http://127.0.0.1:9"  # no server listens on the discard port
    refuses(
        r"Could not download .*\(no connection\): check the network",
        MovieLens(variant="100k", cache_dir=tmp_path, base_url=nobody),
    )
    (tmp_path / "file").write_text("")
    refuses("Cannot write to .*data.cache_dir=DIR", MovieLens(cache_dir=tmp_path / "file" / "x", base_url=nobody))


def test_default_cache_is_the_platforms() -> None:
    assert MovieLens().cache_dir == Path(pooch.os_cache("recsys"))


@pytest.mark.data
def test_real_local_copy(real_data: Path) -> None:
    tables = MovieLens(path=real_data / "movielens_small" / "raw").load()
    assert tables.interactions["type"].value_counts().to_dict() == {"rating": 100_836, "tag": 3_683}
    assert tables.contents is not None
    assert len(tables.contents) == 9_742
    assert (tables.contents["tags"].str.len() == 0).sum() == 34
    assert tables.contents["year"].between(1902, 2018).mean() > 0.99
