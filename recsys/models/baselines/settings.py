"""Checks of the peers' settings, which may come from a command line or from a bundle of unknown origin."""

from recsys.checks import check_count, check_number
from recsys.errors import UserError
from recsys.options import MOST_SEED

TARGET, ALL = "target", "all"
EVENTS = (TARGET, ALL)

# Of the events before t: with a shorter one, the weights of old events would no longer be numbers above 0.
LEAST_HALF_LIFE = 0.005


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
            check_number(f"model.{name}", value, LEAST_HALF_LIFE, 1)
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
    check_count("model.seed", value, 0, most)
