"""What the graph consists of: the switches of `conf/graph`, kept with every bundle; `temporal_graph` obeys them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from recsys.checks import check_switch
from recsys.errors import UserError


@dataclass(frozen=True)
class SimilaritySettings:
    """Which similarity edges the graph has (report, section III.B).

    Attributes:
        k: most neighbours of a node.
        threshold: least cosine of the features, in (0, 1].
        users: whether similar users are linked.
        contents: whether similar contents are linked.
    """

    k: int = 10
    threshold: float = 0.5
    users: bool = True
    contents: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or self.k < 1:
            raise UserError(
                f"graph.similarity.k must be a whole number of at least 1, not {self.k}: "
                "users=false and contents=false switch similarity off."
            )
        if not isinstance(self.threshold, (int, float)) or not 0 < self.threshold <= 1:
            raise UserError(f"graph.similarity.threshold must be a cosine in (0, 1], not {self.threshold}.")
        check_switch("graph.similarity.users", self.users)
        check_switch("graph.similarity.contents", self.contents)


@dataclass(frozen=True)
class GraphSettings:
    """What a graph consists of besides users, contents and events.

    Attributes:
        windows: ascending shares, in (0, 1], of the last events in which events are counted.
        similarity: which similarity edges there are.
        creators: whether creators are nodes, with edges to their contents. A user's own number of posts stays among
            the user's features either way.
        tags: whether tags are nodes, with edges to the contents that carry them. Moods can be stated either way: the
            mood head knows them from the log.
        time_features: whether nodes have features that depend on the time: counts, trends and ages. Without them only
            attributes remain, so creators have no feature at all, and nodes are similar by attributes alone.
    """

    windows: Sequence[float] = (0.01, 0.05, 0.2, 1.0)
    similarity: SimilaritySettings = field(default_factory=SimilaritySettings)
    creators: bool = True
    tags: bool = True
    time_features: bool = True

    def __post_init__(self) -> None:
        windows = tuple(self.windows) if isinstance(self.windows, Sequence) else ()
        shares = all(isinstance(w, (int, float)) and 0 < w <= 1 for w in windows)
        if not windows or not shares or list(windows) != sorted(set(windows)):
            raise UserError(f"graph.windows must be ascending shares of the last events in (0, 1], not {self.windows}.")
        object.__setattr__(self, "windows", tuple(float(w) for w in windows))
        for name in ("creators", "tags", "time_features"):
            check_switch(f"graph.{name}", getattr(self, name))

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {**asdict(self), "windows": list(self.windows)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(**{**plain, "similarity": SimilaritySettings(**plain["similarity"])})
