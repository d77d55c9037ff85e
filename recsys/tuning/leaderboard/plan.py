"""What a leaderboard is made of: a YAML file of data sets and models, and the sweep that each pair of them takes."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recsys.checks import check_count, check_switch
from recsys.errors import UserError
from recsys.tuning.config_files import ConfigFiles

METRIC = "ndcg@10"  # what models are tuned, ranked and compared by
FINAL, ERROR = "final.json", "error.txt"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set.

    Attributes:
        name: in the tables.
        overrides: of `train.py`, such as `data=tables` and `data.path=DIR`.
        folder: what must exist for the set to take part; None for one that is generated or downloaded.
        origins: rolling origins, see `evaluation.origins`.
        n_trials: the most trials of any model on it; None for as many as the model has.
        seeds: likewise the most seeds.
    """

    name: str
    overrides: tuple[str, ...] = ()
    folder: str | None = None
    origins: int = 1
    n_trials: int | None = None
    seeds: int | None = None

    @property
    def missing(self) -> str | None:
        """Why the set does not take part; None if it does."""
        if self.folder is None or Path(self.folder).expanduser().exists():
            return None
        return f"{self.name} is left out: there is no folder {self.folder}."

    @cached_property
    def digests(self) -> dict[str, str]:
        """A digest of every file in the folder, hidden ones left out, by its path there.

        Raises:
            UserError: if one cannot be read.
        """
        folder = Path(self.folder or "").expanduser()
        found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        digests = {}
        for name, path in found.items():
            if not any(part.startswith(".") for part in name.split("/")):
                try:
                    with path.open("rb") as file:
                        digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
                except OSError as error:
                    raise UserError(f"{path} cannot be read ({error.strerror}): mend that or leave it out.") from error
        return digests


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model.

    Attributes:
        name: in the tables.
        overrides: of `train.py`, such as `model=ease`.
        sweep: the search, a file in `sweeps/`; None for a model without hyperparameters.
        n_trials: trials of the search; 0 tests the model as it is.
        seeds: with which the best configuration is tested.
        peer: whether it is one of those that a new model must beat.
        control: whether other models that are no peers are compared with it too.
    """

    name: str
    overrides: tuple[str, ...]
    sweep: str | None = None
    n_trials: int
    seeds: int
    peer: bool = False
    control: bool = False


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model on a data set: one sweep.

    Attributes:
        data, model: as above.
        folder: of the sweep; its name is a digest of all settings, so that others begin another sweep.
    """

    data: DataSet
    model: Model
    folder: Path

    @property
    def name(self) -> str:
        """The data set and the model."""
        return f"{self.data.name}/{self.model.name}"

    @property
    def n_trials(self) -> int:
        """Trials of the search; 0 if the model is tested as it is."""
        asked = 0 if self.model.sweep is None else self.model.n_trials
        return asked if self.data.n_trials is None else min(asked, self.data.n_trials)

    @property
    def seeds(self) -> int:
        """Seeds of the test."""
        return self.model.seeds if self.data.seeds is None else min(self.model.seeds, self.data.seeds)

    @property
    def is_finished(self) -> bool:
        """Whether the model has been tuned, and tested with as many seeds as were asked for."""
        try:
            final = json.loads((self.folder / FINAL).read_text(encoding="utf-8"))
            return bool(len(final["seeds"]) == final["asked"])
        except (OSError, ValueError, KeyError, TypeError):
            return False  # its sweep writes the file, anew if it cannot be read

    @property
    def error(self) -> str | None:
        """Why the last attempt failed; None if it did not."""
        path = self.folder / ERROR
        return path.read_text(encoding="utf-8").strip() if path.is_file() and not self.is_finished else None

    @property
    def overrides(self) -> list[str]:
        """What every run of the entry is given."""
        own = [f"name={self.data.name}_{self.model.name}", f"evaluation.origins={self.data.origins}"]
        return [*self.data.overrides, *self.model.overrides, *own]

    @property
    def sweep(self) -> str:
        """The file in `sweeps/`; where nothing is searched, the one that asks for nothing."""
        return self.model.sweep if self.model.sweep is not None and self.n_trials else "grid"

    def arguments(self, threads: int) -> list[str]:
        """Arguments of `train.py` that run the entry, or go on with it."""
        return [
            "-m",
            f"sweeps={self.sweep}",
            *self.overrides,
            f"sweeps.name={self.data.name}-{self.model.name}",
            f'sweeps.folder="{self.folder}"',
            f'sweeps.best_dir="{self.folder}"',
            f"sweeps.n_trials={self.n_trials}",
            f"sweeps.final_seeds={self.seeds}",
            f"sweeps.threads={threads}",
        ]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A leaderboard.

    Attributes:
        out: where sweeps and tables go.
        data: the data sets that are there.
        left_out: a sentence on each that is not.
        models: the models.
        entries: every model on every data set.
    """

    out: Path
    data: tuple[DataSet, ...]
    left_out: tuple[str, ...]
    models: tuple[Model, ...]
    entries: tuple[Entry, ...]


def read_plan(path: Path, conf: Path, data: Iterable[str] = (), models: Iterable[str] = ()) -> Plan:
    """Read a leaderboard's file.

    Args:
        path: of the YAML file; `benchmarks/leaderboard.yaml` documents it.
        conf: the folder that `train.py` composes its configuration from.
        data: names of the data sets to take; none for all.
        models: likewise.

    Raises:
        UserError: if the file cannot be read or says something that it should not.
    """
    try:
        content: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        reason = (str(error).splitlines() or ["it is empty"])[0]
        raise UserError(f"{path} cannot be read as a leaderboard: {reason}.") from error
    _require(path, "", content, {"out", "n_trials", "seeds", "data", "models"})
    defaults = {key: content[key] for key in ("n_trials", "seeds") if key in content}
    sets = [_made(DataSet, path, "data", name, of) for name, of in content["data"].items()]
    all_models = [_made(Model, path, "models", name, of, defaults=defaults) for name, of in content["models"].items()]
    chosen_sets = _chosen(path, "data", sets, data)
    chosen_models = _chosen(path, "models", all_models, models)
    if sum(model.control for model in chosen_models) > 1:
        raise UserError(f"{path}: only one of models can be the control.")
    there = tuple(one for one in chosen_sets if one.missing is None)
    out = Path(content["out"])
    with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
        files = ConfigFiles(GlobalHydra.instance().config_loader())
        entries = tuple(_entry(one, model, out, files) for one in there for model in chosen_models)
    return Plan(
        out=out,
        data=there,
        left_out=tuple(one.missing for one in chosen_sets if one.missing is not None),
        models=tuple(chosen_models),
        entries=entries,
    )


def _entry(data: DataSet, model: Model, out: Path, files: ConfigFiles) -> Entry:
    """The entry of a model on a data set, in the folder that its settings name.

    The settings are the overrides with the files that these and the search are composed of, and what the data's folder
    holds: a changed default, search or table is another question, a comment or a file of some other model is not.
    """
    plain = Entry(data=data, model=model, folder=out)
    search = [f"sweeps={plain.sweep}"] if plain.n_trials else []  # without trials nothing of it counts
    try:
        behind: Any = files.behind([*search, *plain.overrides])
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, OSError, ValueError) as error:
        behind = str(error)  # the entry's own run says the same, so that the others go on
    asked = {"overrides": plain.overrides, "files": behind, "n_trials": plain.n_trials, "seeds": plain.seeds}
    asked |= {} if data.folder is None else {"data": data.digests}
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:10]
    return Entry(data=data, model=model, folder=out / "entries" / data.name / model.name / digest)


def _made(
    kind: type[T],
    path: Path,
    group: str,
    name: Any,
    content: Any,
    *,
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> T:
    """A data set or a model of what the file says of it; null is as good as nothing."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise UserError(
            f"{path}: {group} has the name {name!r}: name it in letters, digits, - and _, in quotes if it looks like "
            "anything but a word."
        )
    where = f"{group}.{name}"
    content = {} if content is None else content
    _require(path, where, content, {field.name for field in fields(kind)} - {"name"})  # type: ignore[arg-type]
    given = {key: value for of in (defaults, content) for key, value in of.items() if value is not None}
    for key, value in given.items():
        _CHECKS[key](f"{path}: {where}.{key}", value)
    if "overrides" in given:
        given["overrides"] = tuple(given["overrides"])
    try:
        return kind(**{"name": name, **given})
    except TypeError as error:
        raise UserError(f"{path}: {where} is incomplete: {error}.") from error


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _check_text(name: str, value: Any, what: str) -> None:
    if not _is_text(value):
        raise UserError(f"{name} is {value}: it must be {what}.")


def _check_overrides(name: str, value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UserError(f"{name} is {value}: it must be a list of texts, such as [model=ease].")


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "overrides": _check_overrides,
    "folder": partial(_check_text, what="the path of a folder"),
    "sweep": partial(_check_text, what="the name of a search in sweeps/"),
    "n_trials": partial(check_count, least=0),
    "seeds": partial(check_count, least=1),
    "origins": partial(check_count, least=1),
    "peer": check_switch,
    "control": check_switch,
}


def _require(path: Path, where: str, content: Any, known: set[str]) -> None:
    """Refuse what is no mapping, or has keys that mean nothing or, at the top, lacks some."""
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: {where or 'the file'} must be a mapping with {', '.join(sorted(known))}.")
    if unknown := sorted(set(map(str, content)) - known):
        raise UserError(
            f"{path}: {where or 'the file'} has {unknown[0]!r}, which is none of {', '.join(sorted(known))}."
        )
    if where:
        return
    if not _is_text(content.get("out")):
        raise UserError(f"{path} has no out: name the folder for what is written, such as out: runs/leaderboard.")
    for key in ("data", "models"):
        if not content.get(key) or not isinstance(content[key], Mapping):
            raise UserError(f"{path} has no {key}: list them by name, as benchmarks/leaderboard.yaml does.")


def _chosen(path: Path, what: str, named: list[T], names: Iterable[str]) -> list[T]:
    """Those that were asked for by name, in the file's order."""
    wanted = list(names)
    known = [getattr(one, "name") for one in named]  # noqa: B009 - both kinds have one
    for name in wanted:
        if name not in known:
            raise UserError(f"{path}: {what} has no {name!r}; it has {', '.join(known)}.")
    return [one for one, name in zip(named, known, strict=True) if not wanted or name in wanted]
