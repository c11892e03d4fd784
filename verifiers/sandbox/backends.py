"""Choosing a sandbox: the first backend that is seen to hold what is required."""

import os
import sys
from pathlib import Path

from ..errors import ConfigError, LachesisError
from .job import Level
from .pool import AgentPool, Backend
from .process import ProcessBackend
from .settings import SandboxSettings

_SYSTEM = ("/proc", "/sys", "/dev")

BACKENDS = ("process", "docker")
"""In the order in which ``auto`` tries them."""


def open_sandbox(settings: SandboxSettings) -> AgentPool:
    """A sandbox that holds at least ``settings.require``.

    Raises:
        ConfigError: there is none; the message says what was tried, what each lacks, and the cure.
    """
    required = Level[settings.require.upper()]
    tried = []
    for name in BACKENDS if settings.backend == "auto" else (settings.backend,):
        try:
            pool = open_backend(name, settings)
            try:
                level = pool.level  # which starts it
            except BaseException:
                pool.close()
                raise
        except LachesisError as error:
            tried.append(f"{name}: {error}")
            continue
        if level >= required:
            return pool
        lacking = [f"{layer.name} ({layer.found}; {layer.cure})" for layer in pool.layers if not layer.held]
        tried.append(f"{name} holds {level.name.lower()} only, it lacks {', '.join(lacking)}")
        pool.close()
    raise ConfigError(
        f"untrusted programs need a sandbox of level {settings.require!r} and none is here. {'. '.join(tried)}. "
        "Cure: gain what is lacking (lachesis doctor says more), or set sandbox.require lower, at your own risk"
    )


def open_backend(name: str, settings: SandboxSettings) -> AgentPool:
    """The sandbox of one backend, whatever it holds. Raises ``LachesisError`` where there is none."""
    size = settings.size or max(2, os.cpu_count() or 2)
    return AgentPool(_backend(name, settings), max(2, size))


def _backend(name: str, settings: SandboxSettings) -> Backend:
    if name == "process":
        if sys.platform != "linux":
            raise ConfigError(f"the process sandbox needs Linux, this is {sys.platform}; use Docker")
        for folder in settings.packages:
            _check_folder(folder)
        return ProcessBackend(settings.network, settings.packages)
    from .docker.containers import DockerBackend

    return DockerBackend(settings.image, settings.network)


def _check_folder(folder: Path) -> None:
    """Raise ``ConfigError`` where a job would not find what ``folder`` holds."""
    found = folder.resolve()
    if not found.is_dir():
        raise ConfigError(f"sandbox.packages names {str(folder)!r}, which is no folder")
    if found == found.parent or any(found.is_relative_to(place) for place in _SYSTEM):
        raise ConfigError(
            f"sandbox.packages names {str(folder)!r}, which holds more than packages; name a folder of them"
        )
