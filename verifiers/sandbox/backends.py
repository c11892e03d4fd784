"""The sandbox backends by name, and the choice of one that holds what is required."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import ConfigError, LachesisError
from ..plugins import Plugins
from .job import Level
from .protocol import Sandbox

if TYPE_CHECKING:
    from .settings import SandboxSettings

AUTO = "auto"
"""The setting that tries the built-in backends in their order."""
LOCAL = ("process", "docker")
"""The backends that run jobs on this machine, in the order in which ``auto`` tries them."""
BACKENDS = Plugins[Callable[["SandboxSettings"], Sandbox]](
    "sandbox backend",
    __package__ or "",
    {
        "process": "process_backend:open_process_sandbox",
        "docker": "docker.containers:open_docker_sandbox",
        "remote": "remote.sandbox:open_remote_sandbox",
        "sandbox_fusion": "remote.sandbox_fusion:open_sandbox_fusion",
    },
    keywords=(AUTO,),
)
"""Each is a callable (SandboxSettings) -> Sandbox that raises a ``LachesisError`` if it cannot open one."""


def open_sandbox(settings: "SandboxSettings") -> Sandbox:
    """Open a sandbox that holds at least ``settings.require``.

    Raises:
        ConfigError: no backend does; the message lists what was tried, what each one lacks, and the cure.
    """
    required = Level[settings.require.upper()]
    tried = []
    for name in LOCAL if settings.backend == AUTO else (settings.backend,):
        try:
            sandbox = open_backend(name, settings)
            try:
                level = sandbox.level  # starts it and tries it
            except BaseException:
                sandbox.close()
                raise
        except LachesisError as error:
            tried.append(f"{name}: {error}")
            continue
        if level >= required:
            return sandbox
        lacking = [f"{layer.name} ({layer.found}; {layer.cure})" for layer in sandbox.layers if not layer.held]
        tried.append(f"{name} holds {level.name.lower()} only, it lacks {', '.join(lacking)}")
        sandbox.close()
    raise ConfigError(
        f"untrusted programs need a sandbox of level {settings.require!r}, and there is none. {'. '.join(tried)}. "
        "Cure: add what is lacking (see lachesis doctor), or set sandbox.require lower, at your own risk"
    )


def open_backend(name: str, settings: "SandboxSettings") -> Sandbox:
    """Open the sandbox of one backend, whatever its level.

    Raises:
        LachesisError: there is no such backend, or it does not work on this machine.
    """
    return BACKENDS.load(name)(settings)
