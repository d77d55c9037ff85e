"""From tables to an `EventLog`: the steps of the data room in their order."""

import logging
import math
import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pandas as pd

from recsys.data.boundaries import count_before_share, split_at, split_by_share
from recsys.data.cleaning import CleanTables, Entities, clean_tables
from recsys.data.cleaning_report import CleaningReport, Findings
from recsys.data.event_log import Boundaries, EventLog, NodeTable
from recsys.data.nodes import build_nodes
from recsys.data.plain_values import as_word
from recsys.data.schema import check_tables
from recsys.data.strength import event_weights, type_weights
from recsys.data.tags import build_creators, build_tags, choose_moods, content_words
from recsys.data.timestamps import read_time
from recsys.errors import UserError
from recsys.sources.base import Kind, Tables

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """How tables become a log.

    Attributes:
        target: event types that count as positives when ranking, numbers where these are codes; None for all.
        target_least: least value of a target event; one without a value is then no target.
        weights: event type -> weight, over the report's: a number, "value", or {weight: number, by_value: bool}.
        repeats: "merge" repeated (user, content, type) into the first one, its value included, or "keep" all.
        train_share: share of the events before validation begins.
        validation_share: share of the events of validation; the rest is test.
        boundaries: times at which validation and test begin, in place of the shares.
        max_moods: how many moods a newcomer can choose from at most.
        now: events later than this time are set aside; the wall clock where None.
    """

    target: Sequence[object] | None = None
    target_least: float | None = None
    weights: Mapping[object, object] | None = None
    repeats: str = "merge"
    train_share: float = 0.7
    validation_share: float = 0.2
    boundaries: Sequence[object] | None = None
    max_moods: int = 64
    now: object = None

    def __post_init__(self) -> None:
        if self.repeats not in ("merge", "keep"):
            raise UserError(f"The setting repeats is {self.repeats!r}: choose merge or keep.")
        if self.boundaries is not None and not (_is_list(self.boundaries) and len(self.boundaries) == 2):
            raise UserError("The setting boundaries takes two times, where validation and where test begins.")
        for name in ("train_share", "validation_share", "max_moods", "target_least"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not number and not (name == "target_least" and value is None):
                raise UserError(f"The setting {name} is {value!r}: give a number.")
        if self.max_moods < 0 or self.max_moods != int(self.max_moods):
            raise UserError(f"The setting max_moods is {self.max_moods}: give a whole number of at least 0.")
        if self.weights is not None and not isinstance(self.weights, Mapping):
            raise UserError(f"The setting weights is {self.weights!r}: give event types with their weights.")
        if self.target is not None and not _is_list(self.target):
            raise UserError(f"The setting target is {self.target!r}: give a list, as in data.target=[like].")
        if self.target is not None and not self.target:
            raise UserError("The setting target is empty: name at least one event type, or leave it out for all.")


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


@dataclass(frozen=True)
class Prepared:
    """A log and what became of every row of the tables behind it.

    Attributes:
        log: the events.
        report: counts of rows by outcome and reason.
        quarantine: the rows set aside: table, reason, row_number (position in its table, from 0), row (JSON text).
    """

    log: EventLog
    report: CleaningReport
    quarantine: pd.DataFrame


def prepare(tables: Tables, settings: LogSettings, end: Fraction = Fraction(1)) -> Prepared:
    """Clean, order, split, number and weight the tables of a source.

    Whatever is fitted or chosen here (kinds of columns, types, value scales, moods) rests only on what exists or
    happened strictly before validation begins, and no number of a node or place of an event depends on later rows.

    Args:
        tables: what the source gave.
        settings: how to read it.
        end: share of the events, in time order, after which the log ends; for rolling origins. Nothing that happens at
            the time of the first event left out, or later, has any influence on the log before that time.

    Raises:
        UserError: the tables or the settings are unusable; the message says why and what to do.
    """
    findings = Findings()
    for note in tables.notes:
        findings.count(*note)
    check_tables(tables)
    now = clock.time_ns() if settings.now is None else read_time(settings.now, "setting now")
    clean = clean_tables(tables, now, findings)
    events = _in_order(clean, settings.repeats, findings)
    kept = count_before_share(events["timestamp"].to_numpy(), end)
    findings.count("interactions", "set aside", "after the end of this rolling origin", len(events) - kept)
    events = events.iloc[:kept]
    boundaries = _boundaries(events["timestamp"].to_numpy(), settings)
    events, types = _without_late_types(events, clean.types, boundaries.t_val, tables.interactions, findings)
    findings.count("interactions", "used", "", len(events))
    log = _build_log(
        tables, clean, events=events, types=types, boundaries=boundaries, settings=settings, findings=findings
    )
    logger.info(
        "%s: %d events of %d users and %d contents; validation begins at %s, test at %s (UTC)",
        log.name, len(log), len(log.users), len(log.contents),
        pd.Timestamp(boundaries.t_val), pd.Timestamp(boundaries.t_test),
    )  # fmt: skip
    return Prepared(log, findings.report(), findings.quarantine())


def _in_order(clean: CleanTables, repeats: str, findings: Findings) -> pd.DataFrame:
    """Events by time, ties by user, content, type and value; repeats merged into the first one if asked for."""
    events = clean.events
    for what, entities in (("user", clean.users), ("content", clean.contents)):
        codes = events[what].to_numpy()
        if (codes == codes[0]).all():
            raise UserError(f"All usable events are of one {what}, {entities.ids[codes[0]]}: a log needs at least two.")
    # Codes follow the order of ids, and more ids leave the order of these as it is.
    key = (events["user"] * len(clean.contents.ids) + events["content"]) * len(clean.types) + events["type"]
    order = np.lexsort((events["value"].to_numpy(), key.to_numpy(), events["timestamp"].to_numpy()))
    if repeats == "merge":
        repeated = key.iloc[order].duplicated().to_numpy()
        findings.count(
            "interactions", "merged", "repeated user, content and type: the first one counts", int(repeated.sum())
        )
        order = order[~repeated]
    return events.iloc[order].reset_index(drop=True)


def _boundaries(time: np.ndarray, settings: LogSettings) -> Boundaries:
    if settings.boundaries is None:
        return split_by_share(time, settings.train_share, settings.validation_share)
    t_val, t_test = (read_time(value, "setting boundaries") for value in settings.boundaries)
    return split_at(time, t_val, t_test)


def _without_late_types(
    events: pd.DataFrame, types: tuple[str, ...], t_val: int, source: pd.DataFrame, findings: Findings
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Events of the types that were seen before validation, and these types: the others cannot be learned."""
    code = events["type"].to_numpy()
    early = np.unique(code[events["timestamp"].to_numpy() < t_val])
    late = ~np.isin(code, early)
    findings.set_aside(
        "interactions", source, events["row"].to_numpy()[late], "type first seen after the training period"
    )
    events = events[~late].reset_index(drop=True)
    return events.assign(type=np.searchsorted(early, events["type"])), tuple(types[i] for i in early)


def _build_log(
    tables: Tables,
    clean: CleanTables,
    *,
    events: pd.DataFrame,
    types: tuple[str, ...],
    boundaries: Boundaries,
    settings: LogSettings,
    findings: Findings,
) -> EventLog:
    t_val, time = boundaries.t_val, events["timestamp"].to_numpy(copy=True)

    def nodes(entities: Entities, event_codes: np.ndarray) -> tuple[NodeTable, np.ndarray]:
        kinds: Mapping[str, Kind] = tables.kinds.get(entities.name, {})
        return build_nodes(entities, event_codes, event_times=time, t_val=t_val, kinds=kinds, findings=findings)

    users, user_number = nodes(clean.users, events["user"].to_numpy())
    contents, content_number = nodes(clean.contents, events["content"].to_numpy())
    users = replace(users, readings=clean.user_readings.renumbered(user_number))
    contents = replace(contents, readings=clean.content_readings.renumbered(content_number))
    content_rows = content_number[clean.contents.codes]
    creators, creator_of, user_of_creator = build_creators(clean.creators, content_rows, contents, users)
    tag_rows = _of_known_contents(clean.content_tags, content_number, tables.content_tags, findings)
    words = content_words(clean.contents.table, content_rows, tag_rows)
    tags, content_tags = build_tags(words, contents, t_val)

    type_, value = events["type"].to_numpy(copy=True), events["value"].to_numpy(dtype=np.float32)
    weights = type_weights(types, settings.weights)
    num_train = int(np.searchsorted(time, t_val, side="left"))
    weight = event_weights(type_, value, num_train, types, weights)
    is_target = _targets(type_, value, types, settings)
    if is_target[:num_train].any() and not weight[:num_train][is_target[:num_train]].any():
        raise UserError(
            "Every target event before validation has the weight 0, so nothing could be learned from it: give a type "
            "of data.target a weight above 0 in data.weights."
        )
    return EventLog(
        name=tables.name,
        types=types,
        user=user_number[events["user"].to_numpy()],
        content=content_number[events["content"].to_numpy()],
        type=type_,
        value=value,
        weight=weight,
        time=time,
        is_target=is_target,
        users=users,
        contents=contents,
        creators=creators,
        tags=tags,
        creator_of=creator_of,
        user_of_creator=user_of_creator,
        content_tags=content_tags,
        moods=choose_moods(tags, content_tags, contents, t_val, settings.max_moods),
        max_weight=max(weight.weight for weight in weights),
        boundaries=boundaries,
        oracle=tables.oracle,
    )


def _of_known_contents(
    rows: pd.DataFrame, content_number: np.ndarray, source: pd.DataFrame | None, findings: Findings
) -> pd.DataFrame:
    """Rows of content_tags whose content is known, with its number in the log as `content`."""
    content = content_number[rows["content"].to_numpy()]
    known = content >= 0
    if source is not None:
        findings.set_aside("content_tags", source, rows["row"].to_numpy()[~known], "unknown content")
        findings.count("content_tags", "used", "", int(known.sum()))
    found: pd.DataFrame = rows.assign(content=content)[known]
    return found


def _targets(type_: np.ndarray, value: np.ndarray, types: Sequence[str], settings: LogSettings) -> np.ndarray:
    """Whether each event counts as a positive, bool, [num_events]."""
    target = list(types) if settings.target is None else [str(as_word(name)) for name in settings.target]
    unknown = [name for name in target if name not in types]
    if unknown:
        raise UserError(
            f"The target {', '.join(unknown)} was not seen before validation: choose among the event types "
            f"{', '.join(types)}, as in data.target=[{types[0]}]."
        )
    is_target = np.isin(type_, [list(types).index(name) for name in target])
    if settings.target_least is not None:
        is_target &= value >= settings.target_least
    if not is_target.any():
        raise UserError(
            f"No {' or '.join(target)} has a value of at least {settings.target_least}: lower data.target_least."
        )
    return is_target
