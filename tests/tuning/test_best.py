"""The best configuration is the best on average, not the luckiest."""

from recsys.tuning.best import best_trial
from tests.tuning.sweeps import trial


def numbered(*trials: tuple[dict[str, int], float]) -> list:
    made = [trial(params, value) for params, value in trials]
    for number, one in enumerate(made):
        one.number = number
    return made


def test_the_mean_over_seeds_counts() -> None:
    trials = numbered(
        ({"model.heads": 8, "seed": 0}, 0.9),
        ({"model.heads": 8, "seed": 1}, 0.1),
        ({"model.heads": 1, "seed": 0}, 0.6),
        ({"model.heads": 1, "seed": 1}, 0.6),
        ({"model.heads": 2, "seed": 0}, 1.0),  # only one seed was completed
    )
    assert best_trial(trials, maximize=True).number == 2
    assert best_trial(trials, maximize=False).number == 0


def test_without_seeds_the_best_value_counts() -> None:
    trials = numbered(({"model.heads": 1}, 0.2), ({"model.heads": 2}, 0.4), ({"model.heads": 2}, 0.4))
    assert best_trial(trials, maximize=True).number == 1
