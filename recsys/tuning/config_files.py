"""The files of `conf/` and `sweeps/` that a run and its search are made of: another file is another question."""

from collections.abc import Iterator, Sequence

from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

File = tuple[str, str, str]  # its name, where in the configuration it goes, what it says but for comments


class ConfigFiles:
    """Finds the files behind a command line of `train.py`.

    With the overrides they say all that the composed configuration says, but are found in a fifth of the time that it
    takes to compose it (0.12 s), as each is read once for all of a leaderboard's entries.

    Args:
        config_loader: of the program's configuration.
    """

    def __init__(self, config_loader: ConfigLoader) -> None:
        # Hydra tells only by its internals which files it puts together.
        self._repository = CachingConfigRepository(ConfigRepository(config_loader.get_search_path()))
        self._parser = OverridesParser.create(config_loader=config_loader)
        self._texts: dict[str, str] = {}

    def behind(self, overrides: Sequence[str]) -> list[File]:
        """The files in the order in which Hydra puts them together, then those of options that a search chooses among.

        Raises:
            HydraException, OmegaConfBaseException, YAMLError, OSError, ValueError: if there is no such configuration.
        """
        parsed = self._parser.parse_overrides(list(overrides))
        fixed = {one.key_or_group: str(one.input_line) for one in parsed if not one.is_sweep_override()}
        swept = {one.key_or_group: str(one.input_line) for one in parsed if one.is_sweep_override()}
        given = list(fixed.values())
        files = list(self._composed(given))
        for name in [name for name, *_ in files if name.startswith("sweeps/")]:
            space = self._config(name).get("space") or {}
            swept = {key: f"{key}={text}" for key, text in space.items() if key not in fixed} | swept
        for group in filter(self._repository.group_exists, swept):
            (choice,) = self._parser.parse_overrides([swept[group]])
            for option in choice.sweep_iterator():
                files += self._composed([*given, f"{group}={option}"])
        return files

    def _composed(self, overrides: list[str]) -> Iterator[File]:
        """The files behind overrides that sweep nothing; without Hydra's own, which say where and how it logs."""
        parsed = self._parser.parse_overrides(overrides)
        found = create_defaults_list(self._repository, "train", parsed, prepend_hydra=True, skip_missing=False)
        for one in found.defaults:
            if one.config_path is not None and not one.config_path.startswith("hydra/"):
                yield one.config_path, one.package or "", self._text(one.config_path)

    def _text(self, name: str) -> str:
        if name not in self._texts:
            self._texts[name] = OmegaConf.to_yaml(self._config(name))
        return self._texts[name]

    def _config(self, name: str) -> DictConfig:
        """What a file says but for its defaults, which are files of their own."""
        loaded = self._repository.load_config(name)
        assert loaded is not None  # it is in the list of those that exist
        assert isinstance(loaded.config, DictConfig)
        return loaded.config
