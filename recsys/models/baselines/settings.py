"""Checks of the peers' settings, which may come from a command line or from a bundle of unknown origin."""

import math

from recsys.errors import UserError
from recsys.options import MOST_SEED

TARGET, ALL = "target", "all"
EVENTS = (TARGET, ALL)

# Of the events before t: with a shorter one, the weights of old events would no longer be numbers above 0.
LEAST_HALF_LIFE = 0.005


def check_number(name: str, value: object, least: float, most: float, *, above: bool = False) -> None:
    """Check that the setting `name` of a peer is a number in [least, most], with `above` in (least, most].

    Raises:
        UserError: it is not.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not least <= value <= most or (above and value == least):  # type: ignore[operator]
        bounds = f"above {least:g} and at most {most:g}" if above else f"from {least:g} to {most:g}"
        raise UserError(f"model.{name} is {value}: give a number {bounds}.")


def check_count(name: str, value: object, least: int, most: int) -> None:
    """Check that the setting `name` of a peer is a whole number in [least, most].

    Raises:
        UserError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UserError(f"model.{name} is {value}: give a whole number from {least} to {most}.")


def check_share(name: str, value: object) -> None:
    """Check that the setting `name` of a peer is a share of the events in (0, 1], or None.

    Raises:
        UserError: it is not.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and 0 < value <= 1):  # type: ignore[operator]
        raise UserError(f"model.{name} is {value}: it must be a share of the events, above 0 and at most 1, or null.")


def check_half_life(name: str, value: object) -> None:
    """Check that the setting `name` of a peer is a half-life as a share of the events, or None.

    Raises:
        UserError: it is not.
    """
    if value is not None:
        try:
            check_number(name, value, LEAST_HALF_LIFE, 1)
        except UserError:
            raise UserError(
                f"model.{name} is {value}: it must be a share of the events from {LEAST_HALF_LIFE:g} to 1, after which "
                "an event counts half, or null."
            ) from None


def check_events(value: object) -> None:
    """Check the setting `events` of a peer.

    Raises:
        UserError: it is no known choice.
    """
    if value not in EVENTS:
        raise UserError(f"model.events is {value}: choose among {', '.join(EVENTS)}.")


def check_seed(value: object, most: int = MOST_SEED) -> None:
    """Check the setting `seed` of a peer.

    Raises:
        UserError: it is no whole number from 0 to `most`.
    """
    check_count("seed", value, 0, most)
