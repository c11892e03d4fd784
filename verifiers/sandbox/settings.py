"""Which sandbox a run uses, and how much it has to hold."""

from pathlib import Path
from typing import Literal

from ..settings import Settings


class SandboxSettings(Settings):
    """The ``[sandbox]`` table of a configuration. Datasets and verifiers cannot change it."""

    backend: Literal["auto", "process", "docker"] = "auto"
    """process, docker, or the first of these that reaches ``require``."""
    require: Literal["accident", "contained", "strong"] = "contained"
    """The least that it must hold; a lower one ends the run before the first rollout."""
    size: int = 0
    """Jobs at one time; 0: as many as there are CPUs, at least 2."""
    image: str = "lachesis-sandbox"
    """Docker image that holds a Python; `lachesis doctor --build-image` makes this one."""
    packages: tuple[Path, ...] = ()
    """Folders of Python packages that jobs may import (process backend; an image brings its own)."""
    network: bool = False
    """Whether jobs reach the network."""
