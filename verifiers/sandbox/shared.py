"""The sandboxes that all users in this process share; each opens on first use."""

import os
import threading
from typing import Any

from ..errors import LachesisError
from . import backends
from .protocol import Sandbox
from .settings import SandboxSettings

_lock = threading.Lock()
_settings = SandboxSettings()
_sandboxes: dict[SandboxSettings, Sandbox] = {}
_failures: dict[SandboxSettings, LachesisError] = {}


def configure_sandbox(settings: SandboxSettings) -> None:
    """Use ``settings`` from now on; open sandboxes with other settings are closed."""
    global _settings
    with _lock:
        changed, _settings = settings != _settings, settings
    if changed:
        close_sandbox()


def sandbox_settings() -> SandboxSettings:
    """The settings that ``configure_sandbox`` was given last."""
    with _lock:
        return _settings


def shared_sandbox(**changes: Any) -> Sandbox:
    """The sandbox of this process, or a second one whose settings differ from the configured ones by ``changes``.

    Raises:
        ConfigError: no sandbox reaches the required level; the message says how to get one. The same error is raised
            without another try until ``configure_sandbox`` or ``close_sandbox`` is called.
    """
    with _lock:
        settings = _settings.model_copy(update=changes) if changes else _settings
        if settings in _failures:
            raise _failures[settings]
        if settings not in _sandboxes:
            try:
                _sandboxes[settings] = backends.open_sandbox(settings)
            except LachesisError as error:
                _failures[settings] = error
                raise
        return _sandboxes[settings]


def close_sandbox() -> None:
    """Close the sandboxes of this process; the next use opens new ones."""
    with _lock:
        closing = list(_sandboxes.values())
        _sandboxes.clear()
        _failures.clear()
    for sandbox in closing:
        sandbox.close()


def _reset_after_fork() -> None:
    """In a forked child: drop the sandboxes, whose pipes belong to the parent."""
    global _sandboxes, _lock
    _lock, _sandboxes = threading.Lock(), {}


os.register_at_fork(after_in_child=_reset_after_fork)
