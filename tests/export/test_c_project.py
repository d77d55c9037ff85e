"""The exported project compiles without a warning wherever a compiler is, and its own test passes there."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.export.export import REPORT, ExportOptions, export_bundle
from tests.export.c_library import build, compiler
from tests.export.test_c_answers import exact_bundle
from tests.factories import tiny_log
from tests.serving.bundles import make_bundle

VARIANTS = {
    "gat_sage": ExportOptions(),
    "gat_sage int8 blob": ExportOptions(precision="int8", blob=True),
    "gat_sage float16": ExportOptions(precision="float16", users="none"),
    "hetero_sage": ExportOptions(precision="float16"),
    "hetero_sage blob": ExportOptions(blob=True),
    "gat_sage three contents": ExportOptions(subset=("popular:3",)),
    "moodless": ExportOptions(),
    "exact": ExportOptions(),
    "exact int8 blob": ExportOptions(precision="int8", blob=True),
}
SANITIZED = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
LIBC = {"memcpy", "memcmp", "memset", "strcmp", "expf", "logf", "sqrtf"}
COMPILER = {"__cpu_model"}  # of gcc's and clang's own library: what the processor can do


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exports")
    bundles = {name: make_bundle(name, folder / name, tiny_log(seed=3)).folder for name in ("gat_sage", "hetero_sage")}
    bundles["exact"], bundles["moodless"] = folder / "exact", folder / "moodless"
    exact_bundle(bundles["exact"])
    make_bundle("gat_sage", bundles["moodless"], replace(tiny_log(seed=3), moods=np.empty(0, dtype=np.int64)))
    for name, options in VARIANTS.items():
        export_bundle(bundles[name.split()[0]], folder / "out" / name, options)
    return {name: folder / "out" / name for name in VARIANTS}


def make_test(folder: Path, *settings: str) -> str:
    command = ["make", "-s", "-B", "-C", str(folder), "test", *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""
    assert " 0 failed" in done.stdout
    return done.stdout


@pytest.mark.parametrize("variant", VARIANTS)
def test_as_it_comes(exports: dict[str, Path], variant: str) -> None:
    compiler("cc")
    make_test(exports[variant])


@pytest.mark.parametrize("name", ["gcc", "clang"])
@pytest.mark.parametrize("variant", ["gat_sage int8 blob", "exact", "hetero_sage"])
def test_sanitizers_find_nothing(exports: dict[str, Path], variant: str, name: str) -> None:
    make_test(exports[variant], f"CC={compiler(name)}", f"CFLAGS={SANITIZED}")


def test_on_arm(exports: dict[str, Path]) -> None:
    """On another machine with another libm."""
    emulator = compiler("qemu-arm")
    make_test(
        exports["gat_sage int8 blob"],
        f"CC={compiler('arm-linux-gnueabihf-gcc')}",
        "CFLAGS=-O2 -static",
        f"RUN={emulator}",
    )


def test_fits_a_cortex_m4(exports: dict[str, Path]) -> None:
    """It takes no more than the report estimates, and no writable memory but the blob's address."""
    gcc, size = compiler("arm-none-eabi-gcc"), compiler("arm-none-eabi-size")
    for variant, writable in (("gat_sage int8 blob", 4), ("gat_sage", 0)):
        folder = exports[variant]
        target = ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "-Os")
        build(gcc, "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *target, "-c", "-o", folder / "m4.o",
              folder / "recsys.c")  # fmt: skip
        text, data, bss = map(int, build(size, folder / "m4.o").stdout.splitlines()[1].split()[:3])
        estimate = json.loads((folder / REPORT).read_text())["bytes"]["total"]
        outside = sum(path.stat().st_size for path in folder.glob("*.bin"))
        assert 0.3 * estimate < text + outside <= estimate
        assert (data, bss) == (0, writable)


def test_asks_nothing_of_the_system(exports: dict[str, Path]) -> None:
    folder = exports["exact"]
    build(compiler("cc"), "-std=c99", "-O2", "-fno-stack-protector", "-c", "-o", folder / "all.o", folder / "recsys.c")
    undefined = build(compiler("nm"), "-u", folder / "all.o").stdout.split()[1::2]
    assert set(undefined) - {"_GLOBAL_OFFSET_TABLE_"} <= LIBC | COMPILER


def test_headers_serve_cpp(exports: dict[str, Path], tmp_path: Path) -> None:
    folder = exports["gat_sage"]
    source = tmp_path / "main.cpp"
    source.write_text(
        '#include "recsys.h"\n#include "recsys.h"\n#include "recsys_weights.h"\n#include "recsys_weights.h"\n'
        "int main() { return recsys_content_index(recsys_content_ids[1]) == 1 ? 0 : 1; }\n"
    )
    build(compiler("cc"), "-std=c99", "-O1", "-c", "-o", tmp_path / "recsys.o", folder / "recsys.c")
    build(compiler("g++"), "-Wall", "-Wextra", "-Werror", "-Wno-unused-variable", "-Wno-unused-const-variable",
          f"-I{folder}", "-o", tmp_path / "main", source, tmp_path / "recsys.o", "-lm")  # fmt: skip
    build(tmp_path / "main")


def test_a_spoilt_number_fails_the_test(exports: dict[str, Path], tmp_path: Path) -> None:
    """What `make test` is worth: it must see one changed number."""
    for name in ("Makefile", "recsys.h", "recsys.c", "recsys_config.h", "recsys_selftest.c", "recsys_weights.h"):
        (tmp_path / name).write_text((exports["gat_sage"] / name).read_text())
    config = (tmp_path / "recsys_config.h").read_text()
    (tmp_path / "recsys_config.h").write_text(config.replace("RECSYS_HEAD_BIAS ", "RECSYS_HEAD_BIAS 0.001f + "))
    done = subprocess.run(["make", "-s", "-C", str(tmp_path), "test"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "failed: user" in done.stderr


def test_a_foreign_blob_is_refused(exports: dict[str, Path], tmp_path: Path) -> None:
    folder = exports["gat_sage int8 blob"]
    make_test(folder)
    foreign = bytearray((folder / "recsys_tables.bin").read_bytes())
    foreign[20] ^= 1  # in the checksum
    (tmp_path / "foreign.bin").write_bytes(foreign)
    done = subprocess.run(
        [folder / "recsys_selftest", tmp_path / "foreign.bin"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "not the one of this export" in done.stderr
