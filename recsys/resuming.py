"""What a run that is resumed was asked: the overrides in the folder of its checkpoint.

A folder may come from anyone. So what it holds is read as options of a run and nothing else: no override from there
may name code, lead to a configuration outside `conf/`, read the environment, or say where secrets are sent.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from recsys.errors import UserError

# Keys that no run keeps among its own options. Of Hydra's, some name code; a sweep's trials come from its storage.
FOREIGN = ("", "hydra", "sweeps")
# Settings of servers that are sent a token or key.
SERVERS = ("data.api", "logger.wandb.settings")
# Interpolations that give a value of the configuration, or the time; others, such as oc.decode, make code of a text,
# and oc.env tells what no run's folder is to know.
HARMLESS = re.compile(r"\$\{(now:[^${}]*|[^${}:]*)\}")


def resumed(arguments: list[str]) -> list[str]:
    """Command-line arguments with those of the run that `ckpt=` names put before them, and its folder as run_dir.

    Raises:
        UserError: if the checkpoint is missing, or its run's `.hydra/overrides.yaml` is missing, damaged or has
            what is not taken from a folder.
    """
    given = {argument.lstrip("+~").partition("=")[0]: argument.partition("=")[2] for argument in arguments}
    path = given.get("ckpt", "null").strip("'\"")
    if path in ("null", ""):
        return arguments
    checkpoint = Path(path)
    if not checkpoint.is_file():
        raise UserError(f"ckpt={path}: there is no such file; name the last.ckpt of a run's checkpoints folder.")
    run_dir = checkpoint.resolve().parent.parent
    if run_dir.name == "checkpoints":  # those of earlier origins lie one folder deeper
        run_dir = run_dir.parent
    file = run_dir / ".hydra" / "overrides.yaml"
    if not file.is_file():
        raise UserError(f"ckpt={path}: {file} is missing, so the run's own options are not known.")
    own = [one for one in _overrides(file) if _key(one) not in {*given, "run_dir"}]
    parser = OverridesParser.create()
    for override in own:
        try:
            parsed = parser.parse_override(override)
        except HydraException as error:
            raise _damaged(file) from error
        if _is_dangerous(parsed):
            raise UserError(
                f"ckpt={path}: {file} holds {override!r}, which could run code or send secrets away, and is not taken "
                "from there: if you want it, repeat it on the command line beside ckpt=."
            )
    return beside_an_option([one for one in arguments if _key(one) != "run_dir"], own, [f'run_dir="{run_dir}"'])


def beside_an_option(arguments: list[str], before: Sequence[str], after: Sequence[str]) -> list[str]:
    """A command line with more options around its first one, since flags of Hydra's may not part them."""
    first = next((place for place, one in enumerate(arguments) if "=" in one and not one.startswith("-")), 0)
    return [*arguments[:first], *before, *arguments[first : first + 1], *after, *arguments[first + 1 :]]


def _overrides(file: Path) -> list[str]:
    """The overrides in a file of Hydra's."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _damaged(file) from error
    if not isinstance(content, list) or not all(isinstance(one, str) for one in content):
        raise _damaged(file)
    return content


def _damaged(file: Path) -> UserError:
    return UserError(
        f"{file} is damaged, so the run's own options are not known: make it a YAML list of them again, or begin anew "
        "without ckpt=."
    )


def _key(override: str) -> str:
    """What an override is about."""
    return override.lstrip("+~").partition("=")[0]


def _is_dangerous(override: Override) -> bool:
    """Whether an override names code, or a configuration that may, or has to do with secrets."""
    key, texts = override.key_or_group, [override.key_or_group, *_texts(override.value())]
    return (
        override.package is not None  # which may be Hydra's
        or re.split("[./]", key)[0] in FOREIGN
        or any(key == name or key.startswith(f"{name}.") for name in SERVERS)
        or (isinstance(override.value(), Mapping) and any(name.startswith(f"{key}.") for name in SERVERS))
        or any("_target_" in text or "${" in HARMLESS.sub("", text) for text in texts)
        or ("." not in key and any(".." in text for text in texts))  # a choice may lie outside its group's folder
    )


def _texts(value: Any) -> Iterator[str]:
    """All keys and values within the value of an override, as text."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from (str(key), *_texts(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    else:
        yield str(value)
