"""What the moods are that a newcomer can choose from: how many contents carry each, and which are met most."""

from dataclasses import dataclass

import numpy as np

from recsys.data.event_log import EventLog


@dataclass(frozen=True)
class MoodCounts:
    """One mood as of a time.

    Attributes:
        name: the mood.
        kind: what it is in the data: "mood", "tag" or "category".
        contents: number of contents that carry it.
        events: number of events on these contents.
        examples: titles (else ids) of those with the most events.
    """

    name: str
    kind: str
    contents: int
    events: int
    examples: tuple[str, ...]


def list_moods(log: EventLog, t: int, num_examples: int) -> list[MoodCounts]:
    """The moods by falling number of contents, as of `t` (ns), from contents and events strictly before it."""
    num_contents = log.contents.count_before(t)
    events = np.bincount(log.content[: log.count_before(t)], minlength=num_contents)
    content, tag = log.content_tags
    listed = []
    for mood, name in zip(log.moods, log.mood_names, strict=True):
        carriers = content[(tag == mood) & (content < num_contents)]
        best = carriers[np.argsort(-events[carriers], kind="stable")][:num_examples]
        kind = str(log.tags.attributes["kind"].iloc[mood])
        titles = tuple(log.title(int(row)) for row in best)
        listed.append(MoodCounts(name, kind, len(carriers), int(events[carriers].sum()), titles))
    return sorted(listed, key=lambda mood: -mood.contents)
