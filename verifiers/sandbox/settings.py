"""The settings of a sandbox: its backend, the level that it has to hold, and its size."""

import os
from pathlib import Path
from typing import Annotated, Literal

from ..settings import Settings
from .backends import AUTO, BACKENDS


class SandboxSettings(Settings):
    """The ``[sandbox]`` table of a configuration. Datasets and verifiers cannot change it."""

    backend: Annotated[str, BACKENDS.setting] = AUTO
    """process, docker, your own as module:name, or auto: the first built-in one that reaches ``require``."""
    require: Literal["accident", "contained", "strong"] = "contained"
    """The lowest level to accept; where the sandbox does not reach it, the run ends before the first rollout."""
    size: int = 0
    """How many jobs run at one time; 0 means one per CPU, and at least 2."""
    image: str = "lachesis-sandbox"
    """The Docker image, which must contain Python; `lachesis doctor --build-image` makes the default one."""
    packages: tuple[Path, ...] = ()
    """Folders of Python packages that jobs may import; process backend only, a Docker image has its own packages."""
    network: bool = False
    """Whether jobs may use the network."""

    @property
    def jobs(self) -> int:
        """How many jobs run at one time: at least 2, because a test may need two that talk to each other."""
        return max(2, self.size or os.cpu_count() or 2)
