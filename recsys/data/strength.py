"""How much an event counts: weight of type and value, recency, strength (report, section II.B)."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recsys.checks import check_switch
from recsys.data.plain_values import as_word
from recsys.errors import UserError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TypeWeight:
    """Weight of the events of one type.

    Attributes:
        weight: the weight, or its largest value if it scales with the event's value.
        by_value: whether the weight is multiplied by the event's value scaled to [0, 1].
    """

    weight: float
    by_value: bool = False


# The report, section II.B; any other type counts 1.
DEFAULT_WEIGHTS = {
    "view": TypeWeight(1.0),
    "like": TypeWeight(3.0),
    "inspire": TypeWeight(4.0),
    "rating": TypeWeight(1.0, by_value=True),
}


def type_weights(types: Sequence[str], overrides: Mapping[object, object] | None) -> tuple[TypeWeight, ...]:
    """Weight of each type: the user's, else the report's, else 1.

    Args:
        types: names of the event types, [num_types].
        overrides: type, a number where types are codes -> a number, "value" (weight 1, scaled by value) or
            {weight: number, by_value: bool}.

    Raises:
        UserError: a type that is not in `types`, a weight that is negative or no number, or all weights 0.
    """
    given = {str(as_word(name)): weight for name, weight in (overrides or {}).items()}
    for name in given:
        if name not in types:
            raise UserError(
                f"The weights name the event type {name}, but before validation there is only {_list(types)}."
            )
    weights = tuple(
        _read_weight(name, given[name]) if name in given else DEFAULT_WEIGHTS.get(name, TypeWeight(1.0))
        for name in types
    )
    if not any(w.weight for w in weights):
        raise UserError(f"All weights of the event types {_list(types)} are 0: give at least one a positive weight.")
    return weights


def event_weights(
    type_: np.ndarray, value: np.ndarray, num_train: int, types: Sequence[str], weights: Sequence[TypeWeight]
) -> np.ndarray:
    """weight(type, value) of each event, float32, [num_events].

    A weight by value is `weight x (value - low) / (high - low)`, clipped to [0, weight], where low and high are the
    least and the largest value of the type among the first `num_train` events (1 where they are equal). An event
    without a value counts as one with the mean of these values.

    Args:
        type_: index into `types`, int64, [num_events].
        value: NaN for none, [num_events].
        num_train: number of events before validation begins.
        types: names of the types.
        weights: their weights, as `type_weights` gives them.

    Raises:
        UserError: a type is to be weighted by value but has no values before validation begins.
    """
    weight: np.ndarray = np.array([w.weight for w in weights], dtype=np.float64)[type_]
    for index, (name, type_weight) in enumerate(zip(types, weights, strict=True)):
        if not type_weight.by_value:
            continue
        train_values = value[:num_train][type_[:num_train] == index].astype(np.float64)
        train_values = train_values[~np.isnan(train_values)]
        if not len(train_values):
            raise UserError(
                f"The weight of {name} is to scale with its value, but no {name} before validation has one: "
                f"set data.weights.{name} to a number."
            )
        rows = np.flatnonzero(type_ == index)
        values = value[rows].astype(np.float64)
        missing = np.isnan(values)
        if missing.any():
            logger.info(
                "%s: %d events have no value and count as the mean, %g", name, missing.sum(), train_values.mean()
            )
            values[missing] = train_values.mean()
        low, high = train_values.min(), train_values.max()
        scaled = np.clip((values - low) / (high - low), 0.0, 1.0) if high > low else np.ones(len(values))
        weight[rows] *= scaled
    return np.asarray(weight, dtype=np.float32)


def recency(time: np.ndarray, first: int, t: int | np.ndarray) -> np.ndarray:
    """How late each event lies in [first, t], min-max scaled to [0, 1] with `t` as the maximum; float32, [n].

    Args:
        time: times of the events, ns, int64, [n].
        first: time of the log's first event, ns.
        t: the time from which they are seen, or that of each, ns; where it equals `first` recency is 1.
    """
    span = np.asarray(t) - first
    share: np.ndarray = np.where(span > 0, np.clip((time - first) / np.maximum(span, 1), 0.0, 1.0), 1.0)
    return share.astype(np.float32)


def strength(weight: np.ndarray, recency: np.ndarray) -> np.ndarray:
    """Weight x (1 + recency), of the inputs' shape."""
    product: np.ndarray = weight * (1 + recency)
    return product


def _read_weight(name: str, given: object) -> TypeWeight:
    entry = {"by_value": True} if given == "value" else given if isinstance(given, Mapping) else {"weight": given}
    unknown = set(entry) - {"weight", "by_value"}
    if unknown:
        raise UserError(
            f"The weight of {name} has the unknown entry {min(map(str, unknown))}: use weight and by_value."
        )
    weight = entry.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        raise UserError(f"The weight of {name} is {weight!r}: give a number of at least 0, or value.")
    by_value = entry.get("by_value", False)
    check_switch(f"data.weights.{name}.by_value", by_value)
    return TypeWeight(float(weight), bool(by_value))


def _list(types: Sequence[str]) -> str:
    return ", ".join(types)
