"""Builds what a group of the configuration describes, once there is what it is made of, as the graph is for a model.

Hydra makes a partial of such a group, so that options that mean nothing only show when it is called.
"""

import logging
import math
from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from types import NoneType
from typing import Any, TypeVar, get_args

import yaml
from torch import Tensor

from recsys.errors import UserError

logger = logging.getLogger(__name__)

Built = TypeVar("Built")


def built(group: str, make: Callable[..., Built], /, *arguments: Any, **further: Any) -> Built:
    """What a group describes.

    Args:
        group: its name.
        make: makes it; a partial with the group's options.
        arguments: what it is made of.
        further: likewise, by name.

    Raises:
        UserError: if nothing can be made with these options.
    """
    func, options = _taken_apart(make)
    check_kinds(group, func, options)
    try:
        return make(*arguments, **further)
    except UserError:
        raise
    except Exception as error:  # every library has its own for options that it does not take
        logger.debug("%s could not be built", group, exc_info=True)  # hydra.verbose=true shows it
        plain = {name: value for name, value in options.items() if _is_plain(value)}
        shown = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=math.inf).strip()
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(
            f"{group} could not be built with these options: {shown} ({type(error).__name__}: {reason})."
        ) from error


def _taken_apart(make: Callable[..., Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """What a partial calls, and the options in it; it may be one of another."""
    if not isinstance(make, partial):
        return make, {}
    func, options = _taken_apart(make.func)
    return func, {**options, **make.keywords}


def check_kinds(group: str, func: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse text for a number or a switch: many classes would only stumble over it when they use it.

    Args:
        group: its name.
        func: what is called with the options.
        options: by name; those that `func` does not name pass.

    Raises:
        UserError: for the first text in the place of a number or a switch.
    """
    try:
        parameters = signature(func, eval_str=True).parameters
    except (NameError, TypeError, ValueError):  # of a type that is not imported there, or of compiled code
        return
    for name, value in options.items():
        kind = parameters[name].annotation if name in parameters else Any
        kinds = {*(get_args(kind) or [kind])} - {NoneType}
        if isinstance(value, str) and kinds <= {int, float, bool, Tensor}:
            raise UserError(
                f"{group}.{name} is {value}: it must be {'true or false' if kinds == {bool} else 'a number'}."
            )


def _is_plain(value: Any) -> bool:
    """Whether a value is as it stood in the configuration."""
    return all(map(_is_plain, value)) if isinstance(value, list) else isinstance(value, str | int | float | None)
