"""What a run costs: seconds of its stages, memory, and the size of its model."""

import logging
import resource
import sys
import time

from recsys.models.graph_scorer import GraphScorer
from recsys.models.scorer import Scorer

logger = logging.getLogger(__name__)


def num_parameters(scorer: Scorer) -> int:
    """Trained numbers behind a scorer; none behind a classical peer."""
    if not isinstance(scorer, GraphScorer):
        return 0
    return sum(parameter.numel() for parameter in scorer.network.parameters())


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, MB (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


class Clock:
    """Seconds of each stage of a run, over all its origins."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str, in_all: float = 0.0) -> None:
        """End `stage`, or one more part of it, which began when the one before it ended.

        Args:
            stage: its name.
            in_all: seconds that it took in all, if it began in an earlier sitting of a resumed run.
        """
        now = time.perf_counter()
        taken = round(max(now - self._last, in_all), 3)
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + taken, 3)
        self._last = now
        logger.info("%s took %.1f s", stage, taken)
