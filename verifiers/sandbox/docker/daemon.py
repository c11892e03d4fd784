"""The Docker daemon: the connection to it, and its errors as one line with a cure."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from ...errors import ConfigError, SandboxLost

SECONDS = 60.0
"""How long one request to the daemon may take; a busy daemon took 7 s to start a container."""


def connect(seconds: float = SECONDS) -> Any:
    """Connect to the daemon that DOCKER_HOST or Docker's current context names.

    Args:
        seconds: how long one request may take.

    Raises:
        ConfigError: no daemon answers; the message says why, and how to fix it.
    """
    with translate_errors(ConfigError, "Docker does not answer"):
        client = docker.from_env(timeout=seconds, max_pool_size=32).api
        client.ping()
    return client


def remove(api: Any, container: str) -> None:
    """Kill and remove ``container``; returns when it no longer exists.

    Raises:
        SandboxLost: it still exists after a minute.
    """
    deadline = time.monotonic() + SECONDS
    with translate_errors(SandboxLost, "Docker cannot remove a sandbox"):
        while time.monotonic() < deadline:
            try:
                with _ignore_status(409):  # the daemon is already removing it
                    api.remove_container(container, force=True, v=True)
                api.inspect_container(container)
            except NotFound:
                return
            time.sleep(0.02)
    raise SandboxLost(f"Docker did not remove the sandbox {container[:12]} within {SECONDS:g} s")


@contextmanager
def translate_errors(kind: type[Exception], what: str) -> Iterator[None]:
    """Raise errors of the connection to the daemon as ``kind``, with the cure; ``what`` begins the message."""
    try:
        yield
    except kind:
        raise
    except (DockerException, requests.RequestException, OSError) as error:
        raise kind(f"{what}: {_cure(error)}") from error


@contextmanager
def _ignore_status(status: int) -> Iterator[None]:
    """Ignore an error of the daemon with HTTP status ``status``."""
    try:
        yield
    except APIError as error:
        if error.status_code != status:
            raise


def _cure(error: BaseException) -> str:
    """What is wrong with the daemon, and how to fix it."""
    cause = _find_system_error(error)
    where = os.environ.get("DOCKER_HOST") or "its usual socket"
    if isinstance(cause, PermissionError):
        return (
            f"no permission to open {where}; join the group `docker` (`sudo usermod -aG docker $USER`, then log in "
            "again), or use rootless Docker"
        )
    if isinstance(cause, FileNotFoundError | ConnectionError):
        return (
            f"no daemon at {where}; start it (`sudo systemctl start docker`, Docker Desktop, or `dockerd` as root), "
            "or name it in DOCKER_HOST"
        )
    if isinstance(error, APIError):
        return str(error.explanation or error)
    return str(error) or type(error).__name__


def _find_system_error(error: object) -> OSError | None:
    """The operating system's error inside ``error``; HTTP libraries wrap it in their arguments."""
    if isinstance(error, FileNotFoundError | PermissionError | ConnectionError):
        return error
    inner = [*error.args, error.__cause__, error.__context__] if isinstance(error, BaseException) else []
    return next((found for part in inner if (found := _find_system_error(part))), None)
