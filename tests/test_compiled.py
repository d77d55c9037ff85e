"""Where compiled code is kept: never code that was compiled from other files than those that are there."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from recsys.compiled import OTHERS, PACKAGE, cache_folder
from recsys.graph.path_kernel import degree_before

DECORATORS = ("inner", "outer", "njit")


@pytest.mark.parametrize("changed", ["loading/draw_kernel.py", "graph/path_kernel.py", "graph/values.py"])
def test_a_change_of_any_file_that_is_compiled_in_begins_anew(changed: str, tmp_path: Path) -> None:
    package = tmp_path / "recsys"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    assert cache_folder(package) == cache_folder()
    path = package / changed
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"1", b"2"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert cache_folder(package) != cache_folder()


def test_the_folder_goes_by_all_files_that_compiled_code_is_made_of() -> None:
    known = {*PACKAGE.rglob("*_kernel.py"), *(PACKAGE / name for name in OTHERS)}
    compiling = set()
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        used: set[str] = set()
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef) and any(map(_compiles, function.decorator_list)):
                compiling.add(path)
                used |= {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
        for line in ast.walk(tree):
            if isinstance(line, ast.ImportFrom) and used & {name.asname or name.name for name in line.names}:
                assert line.module is not None
                source = PACKAGE.parent / f"{line.module.replace('.', '/')}.py"
                assert not source.is_file() or source in known, f"{path} compiles in what {source} holds"
    assert compiling <= known
    assert len(compiling) > 12


def _compiles(decorator: ast.expr) -> bool:
    return any(name in ast.unparse(decorator) for name in DECORATORS)


def test_compiled_functions_are_kept_there_and_those_of_others_are_not() -> None:
    assert Path(degree_before.stats.cache_path).parent == cache_folder()
    assert Path(numba.njit(cache=True)(_compiles).stats.cache_path).parent != cache_folder()


def test_a_folder_of_the_users_own(tmp_path: Path) -> None:
    code = (
        "import sys, recsys; assert 'numba' not in sys.modules\n"
        "from recsys.graph.met_nodes_kernel import write_met; print(write_met.stats.cache_path)"
    )
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parent == tmp_path / cache_folder().name
