"""Numbers and texts as C99 source, such that a compiler reads back the same bits."""

from collections.abc import Iterable

import numpy as np

from recsys.errors import UserError

PER_LINE = 8
LONGEST = 1_000  # bytes of an id; C99 compilers need not take literals of more than 4,095 characters

_TYPES = {
    "float32": "float",
    "float16": "uint16_t",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
    "uint32": "uint32_t",
}
_TYPES |= {"int64": "int64_t"}
_INT32, _INT64 = np.iinfo(np.int32), np.iinfo(np.int64)


def c_type(array: np.ndarray) -> str:
    """The C type of an array's elements; float16 as its bits."""
    return _TYPES[array.dtype.name]


def c_float(value: float) -> str:
    """A finite float32, printed with nine digits, which tell any two apart."""
    text = f"{value:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def c_values(array: np.ndarray) -> str:
    """The elements of an array for an initialiser, over lines; C has no empty one, so a 0 stands for nothing."""
    texts = _texts(array) or ["0"]
    return ",\n".join("    " + ", ".join(texts[at : at + PER_LINE]) for at in range(0, len(texts), PER_LINE))


def c_row(array: np.ndarray) -> str:
    """The elements of an array for an initialiser, on one line."""
    return ", ".join(_texts(array) or ["0"])


def c_text(text: str) -> str:
    """A string literal; all but plain ASCII is written as octal escapes, and so nothing in it means anything to C.

    Raises:
        UserError: the text has a character NUL or is too long for a literal.
    """
    data = text.encode("utf-8")
    if 0 in data or len(data) > LONGEST:
        raise UserError(f"The id {text[:40]!r}... holds NUL or more than {LONGEST} bytes, which C headers cannot hold.")
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-.,:;/+*=()[]{}<>@#&|~^$!"
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in data) + '"'


def c_texts(texts: Iterable[str]) -> str:
    """String literals for an initialiser, one a line."""
    return ",\n".join(f"    {c_text(text)}" for text in texts)


def _texts(array: np.ndarray) -> list[str]:
    flat = np.asarray(array).reshape(-1)
    match flat.dtype.name:
        case "float32":
            return [c_float(value) for value in flat.tolist()]
        case "float16":
            return [str(bits) for bits in flat.view(np.uint16).tolist()]
        case "int8":
            return [str(value) for value in flat.tolist()]
        case "int64":
            return [_c_int64(value) for value in flat.tolist()]
        case _:
            return [f"{value}u" for value in flat.tolist()]


def _c_int64(value: int) -> str:
    if value == _INT64.min:  # C has no literal of it
        return f"(-INT64_C({_INT64.max}) - 1)"
    return str(value) if -_INT32.max <= value <= _INT32.max else f"INT64_C({value})"
