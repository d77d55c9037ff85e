"""Checks of single settings, which may come from a command line or from a bundle of unknown origin."""

import math

from recsys.errors import UserError


def check_switch(name: str, value: object) -> None:
    """Check that the setting `name` is true or false; what YAML takes for a word, such as none, would count as true.

    Raises:
        UserError: it is not.
    """
    if not isinstance(value, bool):
        raise UserError(f"{name} is {value}: it must be true or false.")


def check_count(name: str, value: object, least: int, most: float = math.inf, *, optional: bool = False) -> None:
    """Check that the setting `name` is a whole number in [least, most], or None where it is `optional`.

    Raises:
        UserError: it is not.
    """
    if value is None and optional:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UserError(f"{name} is {value}: it must be a whole number {_bounds(least, most, optional=optional)}.")


def check_number(
    name: str,
    value: object,
    least: float,
    most: float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
    optional: bool = False,
) -> None:
    """Check that the setting `name` is a finite number in [least, most], or None where it is `optional`.

    Args:
        name: what it is called on the command line.
        value: what it was set to.
        least: the lower bound.
        most: the upper bound.
        above: whether `least` itself is too little.
        below: whether `most` itself is too much.
        optional: whether it may be None.

    Raises:
        UserError: it is not.
    """
    if value is None and optional:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not least <= value <= most or (above and value == least) or (below and value == most):  # type: ignore[operator]
        bounds = _bounds(least, most, above=above, below=below, optional=optional)
        raise UserError(f"{name} is {value}: it must be a number {bounds}.")


def _bounds(least: float, most: float, *, above: bool = False, below: bool = False, optional: bool) -> str:
    text = f"above {least:.10g}" if above else f"of at least {least:.10g}"
    if most < math.inf:
        text += f" and below {most:.10g}" if below else f" and at most {most:.10g}"
    return f"{text}, or null" if optional else text
