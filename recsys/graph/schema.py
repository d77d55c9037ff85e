"""Names and widths of everything in a snapshot: all that a model must know to be built."""

from dataclasses import asdict, dataclass
from typing import Any, Self

EdgeType = tuple[str, str, str]

USER, CONTENT, CREATOR, TAG = "user", "content", "creator", "tag"
SIMILAR = "similar"
# Columns of `edge_attr` on event edges, each in [0, 1]: weight / max_weight, recency, strength / (2 max_weight).
EVENT_ATTRIBUTES = ("weight", "recency", "strength")


def event_edge(event_type: str) -> EdgeType:
    """Edge type of an event type, user -> content."""
    return (USER, event_type, CONTENT)


def reverse(edge_type: EdgeType) -> EdgeType:
    """The edge type that carries messages the other way."""
    source, relation, target = edge_type
    return (target, f"rev_{relation}", source)


@dataclass(frozen=True)
class GraphSchema:
    """Node features and edge types of every snapshot of one `TemporalGraph`; fixed by events before t_val.

    Attributes:
        numbers: node type -> width of `x`.
        categories: node type -> sizes of the vocabularies behind the columns of `x_cat`, index 0 = unknown.
        edge_types: every edge type, reverse ones included. Event edges carry `edge_attr` with the columns
            EVENT_ATTRIBUTES; similarity edges carry `edge_attr` [E, 1], the cosine; the others none.
        event_types: the event types among the edge types.
        num_moods: number of moods a newcomer can choose from; 0 where the data has none.
        popularity: the columns of contents' `x` that count events or compare such counts.
        pair_signals: names of what paths say about a pair (see `PairPaths`).
        num_met: node type -> number of nodes with an event before t_val (see `MetNodes`), for users and contents.
    """

    numbers: dict[str, int]
    categories: dict[str, tuple[int, ...]]
    edge_types: tuple[EdgeType, ...]
    event_types: tuple[str, ...]
    num_moods: int
    popularity: tuple[int, ...]
    pair_signals: tuple[str, ...]
    num_met: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(
            numbers={str(k): int(v) for k, v in plain["numbers"].items()},
            categories={str(k): tuple(int(i) for i in v) for k, v in plain["categories"].items()},
            edge_types=tuple((str(a), str(b), str(c)) for a, b, c in plain["edge_types"]),
            event_types=tuple(str(t) for t in plain["event_types"]),
            num_moods=int(plain["num_moods"]),
            popularity=tuple(int(i) for i in plain["popularity"]),
            pair_signals=tuple(str(s) for s in plain["pair_signals"]),
            num_met={str(k): int(v) for k, v in plain["num_met"].items()},
        )
