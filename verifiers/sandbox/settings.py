"""The settings of a sandbox: its backend, the level that it has to hold, and its size."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ..settings import Settings
from .backends import AUTO, BACKENDS


class SandboxSettings(Settings):
    """The sandbox in which programs of the model run. Datasets and verifiers cannot change these settings."""

    backend: Annotated[str, BACKENDS.setting] = AUTO
    """``auto`` takes the first of ``process`` and ``docker`` that reaches ``require``.

    ``remote`` and ``sandbox_fusion`` use a server at ``url``.
    """
    require: Literal["accident", "contained", "strong"] = "contained"
    """The lowest level to accept. If the sandbox does not reach it, the run ends before the first rollout."""
    size: int = 0
    """How many jobs run at the same time. 0 means one for each CPU, and at least 2; for ``remote``, as the server."""
    starts: int = Field(0, ge=0)
    """How many sandboxes start at the same time; more only delay each other. 0 means one for each CPU, at least 2."""
    image: str = "lachesis-sandbox"
    """The Docker image, which must contain Python. ``lachesis doctor --build-image`` makes the default one."""
    packages: tuple[Path, ...] = ()
    """Folders of Python packages that jobs may import. Only for ``process``: a Docker image has its own packages."""
    folders: tuple[Path, ...] = ()
    """Folders that jobs may read at their own paths, such as a virtual environment. Only for ``process``."""
    writable: tuple[str, ...] = ()
    """Folders such as ``/app`` that each job may write, besides /box and /tmp; empty at first. Only for ``process``."""
    network: bool = False
    """Whether jobs may use the network."""
    url: str = ""
    """The server of ``remote`` or ``sandbox_fusion``; its token is read from LACHESIS_SANDBOX_TOKEN."""
    ca_file: Path | None = None
    """The certificates that this server may have. Without it, those that this machine trusts."""

    @property
    def jobs(self) -> int:
        """How many jobs run at one time: at least 2, because a test may need two that talk to each other."""
        return max(2, self.size or os.cpu_count() or 2)

    @property
    def most_starts(self) -> int:
        """How many sandboxes start at the same time."""
        return self.starts or max(2, os.cpu_count() or 2)
