"""Which configuration of a study is the best one."""

from collections.abc import Sequence

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from recsys.tuning.space import SEED, configuration


def pareto_front(completed: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """The trials that no other one beats by some objective without being worse by any.

    Args:
        completed: trials with finite values.
        directions: one for each objective.
    """
    sign = np.where([direction == StudyDirection.MAXIMIZE for direction in directions], 1.0, -1.0)
    values = np.array([trial.values for trial in completed]).reshape(-1, len(sign)) * sign
    beaten = [((values >= one).all(axis=1) & (values > one).any(axis=1)).any() for one in values]
    return [trial for trial, worse in zip(completed, beaten, strict=True) if not worse]


def best_trial(completed: Sequence[FrozenTrial], maximize: bool) -> FrozenTrial:
    """The first trial of the best configuration by the first objective.

    Where a configuration was tried with several seeds its mean counts, not its luckiest seed; and only configurations
    with as many seeds as any other take part.

    Args:
        completed: trials with finite values, at least one.
        maximize: whether more is better.
    """
    groups: dict[object, dict[object, FrozenTrial]] = {}
    for trial in completed:
        groups.setdefault(configuration(trial.params), {}).setdefault(trial.params.get(SEED), trial)
    most = max(map(len, groups.values()))
    sign = 1 if maximize else -1
    best = max(
        (list(of_seeds.values()) for of_seeds in groups.values() if len(of_seeds) == most),
        key=lambda trials: sign * float(np.mean([trial.values[0] for trial in trials])),
    )
    return best[0]
