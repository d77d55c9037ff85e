"""Hydra's door to `recsys.tuning`; Hydra only takes sweepers from `hydra_plugins`, and runs this file a second time."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from recsys.errors import UserError

ROOT = Path(__file__).parents[2]
BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"

ConfigStore.instance().store(
    group="hydra/sweeper", name="recsys", node={"_target_": "hydra_plugins.recsys_sweeper.RecsysSweeper"}
)


class ProjectSource(FileConfigSource):
    """The project's folder with nothing but `sweeps/` to be seen: Hydra's help lists whatever a source lists."""

    @staticmethod
    def scheme() -> str:
        """What paths of this source begin with."""
        return "recsys"

    def is_group(self, config_path: str) -> bool:
        """Whether the source has such a folder."""
        return config_path.partition("/")[0] in ("", "sweeps") and super().is_group(config_path)

    def is_config(self, config_path: str) -> bool:
        """Whether the source has such a file."""
        return config_path.startswith("sweeps/") and super().is_config(config_path)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Names in a folder of the source."""
        if not config_path:
            return [] if results_filter == ObjectType.CONFIG else ["sweeps"]
        return super().list(config_path, results_filter)


class SweepsSearchPath(SearchPathPlugin):
    """Makes `sweeps/` at the top of the project a config group, from any working directory."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the project's folder."""
        search_path.append(provider="recsys", path=f"{ProjectSource.scheme()}://{ROOT}")


class RecsysSweeper(Sweeper):
    """`python train.py -m sweeps=NAME`."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra offers."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config
        self.launcher = None

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep that the config describes."""
        from recsys.tuning.sweeper import Sweep  # noqa: PLC0415 - not paid for by single runs

        assert self.config is not None
        assert self.hydra_context is not None
        HydraConfig.instance().set_config(self.config)
        if "_target_" not in (self.config.get("sweeps") or {}):  # sweeps/wandb.yaml is for W&B's agents
            known = {*self.hydra_context.config_loader.get_group_options("sweeps")} - {"base", "wandb"}
            raise UserError(f"-m needs a search: add sweeps=NAME, one of {', '.join(sorted(known))}.")
        settings = instantiate(OmegaConf.to_container(self.config.sweeps, resolve=True), _convert_="object")
        Sweep(
            settings,
            arguments=arguments,
            command=sys.argv,
            config_loader=self.hydra_context.config_loader,
            launch=self._launch if self.config.hydra.launcher._target_ != BASIC_LAUNCHER else None,
        ).run()

    def _launch(self, jobs: Sequence[Sequence[str]]) -> None:
        assert self.config is not None
        assert self.hydra_context is not None
        launcher: Any = Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context, task_function=self.task_function, config=self.config
        )
        for done in launcher.launch(jobs, initial_job_idx=0):
            _ = done.return_value  # raises what the job has raised
