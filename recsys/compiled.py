"""How numba compiles functions, and where it keeps what it has compiled."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numba
import platformdirs

Result = TypeVar("Result")

PACKAGE = Path(__file__).parent
# The files that hold compiled code, besides `*_kernel.py`, and those whose constants it is compiled with.
OTHERS = ("compiled.py", "data/positions.py", "graph/counters.py", "graph/similarity.py", "graph/values.py")


def cache_folder(package: Path = PACKAGE) -> Path:
    """Where the compiled functions of a `package` with these files are kept.

    Numba looks for changes in a function's own file only, but compiles into it what other files hold. So every state of
    all these files has a folder of its own. It is in `NUMBA_CACHE_DIR`, by default in the user's cache folder; those of
    other states stay there, as another checkout may be using them.
    """
    version = hashlib.sha256(numba.__version__.encode())
    for path in sorted([*package.rglob("*_kernel.py"), *(package / name for name in OTHERS)]):
        version.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    base = numba.config.CACHE_DIR or platformdirs.user_cache_path("recsys") / "compiled"
    return Path(base) / version.hexdigest()[:16]


_FOLDER = cache_folder()


def outer(function: Callable[..., Result]) -> Callable[..., Result]:
    """A function that Python calls, compiled at its first call and kept for later processes."""
    of_others, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(_FOLDER)  # numba asks for it when it decorates
    try:
        compiled: Callable[..., Result] = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    finally:
        numba.config.CACHE_DIR = of_others
    return compiled


def inner(function: Callable[..., Result]) -> Callable[..., Result]:
    """A function that only compiled code calls.

    Without what Python would call it by, and without files of its own beside those of its callers: this spares a part
    of the time that compiling takes.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    compiled: Callable[..., Result] = numba.njit(nogil=True, error_model="numpy", **options)(function)
    return compiled
