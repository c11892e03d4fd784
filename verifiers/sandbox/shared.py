"""The sandbox that all verifiers of this process share; it opens on first use."""

import os
import threading

from ..errors import LachesisError
from . import backends
from .protocol import Sandbox
from .settings import SandboxSettings

_lock = threading.Lock()
_settings = SandboxSettings()
_sandbox: Sandbox | None = None
_failure: LachesisError | None = None


def configure_sandbox(settings: SandboxSettings) -> None:
    """Use ``settings`` from now on; an open sandbox with other settings is closed."""
    global _settings
    with _lock:
        changed, _settings = settings != _settings, settings
    if changed:
        close_sandbox()


def shared_sandbox() -> Sandbox:
    """The sandbox of this process.

    Raises:
        ConfigError: no sandbox reaches the required level; the message says how to get one. The same error is raised
            without another try until ``configure_sandbox`` or ``close_sandbox`` is called.
    """
    global _sandbox, _failure
    with _lock:
        if _failure is not None:
            raise _failure
        if _sandbox is None:
            try:
                _sandbox = backends.open_sandbox(_settings)
            except LachesisError as error:
                _failure = error
                raise
        return _sandbox


def close_sandbox() -> None:
    """Close the sandbox of this process; the next use opens a new one."""
    global _sandbox, _failure
    with _lock:
        closing, _sandbox, _failure = _sandbox, None, None
    if closing is not None:
        closing.close()


def _reset_after_fork() -> None:
    """In a forked child: drop the sandbox, whose pipes belong to the parent."""
    global _sandbox, _lock
    _lock, _sandbox = threading.Lock(), None


os.register_at_fork(after_in_child=_reset_after_fork)
