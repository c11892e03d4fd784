"""Choosing a sandbox: the first backend that is seen to hold what is required."""

from .protocol import Sandbox
from .settings import SandboxSettings


def open_sandbox(settings: SandboxSettings) -> Sandbox:
    """A sandbox that holds at least ``settings.require``.

    Raises:
        ConfigError: there is none; the message says what was tried, what each lacks, and the cure.
    """
    raise NotImplementedError
