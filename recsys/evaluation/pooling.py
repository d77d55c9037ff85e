"""Metrics of several rolling origins as those of one evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recsys.evaluation.protocol import SHOWN, Metrics

COUNTS = ("users", "positives", "users_without_mood", "users_without_rest", f"discovery_users@{SHOWN}")
WEIGHTS = {f"discovery@{SHOWN}": f"discovery_users@{SHOWN}"}  # metric -> the count behind its mean, if not `users`


def over_origins(of_origins: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What `metrics.json` says of a run, from what it says of each origin.

    Args:
        of_origins: for each origin `threshold`, `validation`, and of a run that tests `test`, `references` (name ->
            split -> metrics), `references_left_out` (name -> why), `refit`.

    Returns:
        A single origin's content as it is. For several, the same keys with pooled metrics, the threshold and the refit
        being those of the last origin, whose model is kept; and `origins`, the content of each, and `mean`, the metrics
        averaged over origins.
    """
    last = of_origins[-1]
    if len(of_origins) == 1:
        return dict(last)
    splits = [split for split in ("validation", "test") if split in last]
    found = {**last, **{split: pooled([one[split] for one in of_origins]) for split in splits}}
    if "references" in last:
        found |= _references(of_origins, splits)
    return {
        **found,
        "mean": {split: mean_over_origins([one[split] for one in of_origins]) for split in splits},
        "origins": list(of_origins),
    }


def pooled(of_origins: Sequence[Metrics]) -> Metrics:
    """Metrics over all users of all origins.

    Counts add up. Every other metric is the mean weighted by the slice's users in each origin, or those of them that it
    is a mean over; for ranking metrics, the means over users that they are, this is the mean over users x origins. A
    slice or metric that not every origin has is pooled over those that have it. A single origin's metrics stay as they
    are, bit for bit.

    Args:
        of_origins: slice -> metric -> value, of each origin.
    """
    if len(of_origins) == 1:
        return of_origins[0]
    found: Metrics = {}
    for slice_, having in _by_slice(of_origins).items():
        found[slice_] = {}
        for metric in dict.fromkeys(name for values in having for name in values):
            values = [of_one[metric] for of_one in having if metric in of_one]
            weights = [of_one[WEIGHTS.get(metric, "users")] for of_one in having if metric in of_one]
            found[slice_][metric] = sum(values) if metric in COUNTS else float(np.average(values, weights=weights))
    return found


def _references(of_origins: Sequence[Mapping[str, Any]], splits: Sequence[str]) -> dict[str, Any]:
    """The references, each over the origins that have it; left out are those that no origin has."""
    having = {
        name: [one["references"][name] for one in of_origins if name in one["references"]]
        for name in dict.fromkeys(name for one in of_origins for name in one["references"])
    }
    return {
        "references": {
            name: {split: pooled([metrics[split] for metrics in of_name]) for split in splits}
            for name, of_name in having.items()
        },
        "references_left_out": {
            name: why for name, why in of_origins[-1]["references_left_out"].items() if name not in having
        },
    }


def mean_over_origins(of_origins: Sequence[Metrics]) -> Metrics:
    """Mean of every metric over the origins that have it, each counting the same.

    Args:
        of_origins: slice -> metric -> value, of each origin.
    """
    found: Metrics = {}
    for slice_, having in _by_slice(of_origins).items():
        names = dict.fromkeys(name for values in having for name in values)
        found[slice_] = {name: float(np.mean([one[name] for one in having if name in one])) for name in names}
    return found


def _by_slice(of_origins: Sequence[Metrics]) -> dict[str, list[dict[str, float]]]:
    """Slice -> its metrics in each origin that has it."""
    names = dict.fromkeys(name for metrics in of_origins for name in metrics)
    return {name: [metrics[name] for metrics in of_origins if name in metrics] for name in names}
