"""The Docker daemon: reaching it, and saying in one line what is wrong with it."""

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
"""How long the daemon may take for one request; a busy one was seen to take seven to start a container."""


def connect() -> Any:
    """A client of the daemon that DOCKER_HOST or Docker's current context names.

    Raises:
        ConfigError: none answers; the message says why and the cure.
    """
    with failures(ConfigError, "Docker does not answer"):
        client = docker.from_env(timeout=SECONDS, max_pool_size=32).api
        client.ping()
    return client


def remove(api: Any, container: str) -> None:
    """Kill and remove ``container``; returns when it is gone, or was.

    Raises:
        SandboxLost: it is still there after a minute.
    """
    deadline = time.monotonic() + SECONDS
    with failures(SandboxLost, "Docker cannot remove a sandbox"):
        while time.monotonic() < deadline:
            try:
                with _expected(409):  # the daemon is about to remove it by itself
                    api.remove_container(container, force=True, v=True)
                api.inspect_container(container)
            except NotFound:
                return
            time.sleep(0.02)
    raise SandboxLost(f"Docker did not remove the sandbox {container[:12]} within {SECONDS:g} s")


@contextmanager
def failures(kind: type[Exception], what: str) -> Iterator[None]:
    """Whatever fails between us and the daemon, as one ``kind`` with its cure."""
    try:
        yield
    except kind:
        raise
    except (DockerException, requests.RequestException, OSError) as error:
        raise kind(f"{what}: {_cure(error)}") from error


@contextmanager
def _expected(status: int) -> Iterator[None]:
    """Passes over the daemon's answer ``status``."""
    try:
        yield
    except APIError as error:
        if error.status_code != status:
            raise


def _cure(error: BaseException) -> str:
    """What is wrong with the daemon, and what to do."""
    cause = _system_error(error)
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


def _system_error(error: object) -> OSError | None:
    """The error of the operating system that ``error`` was made of: HTTP libraries wrap it in their arguments."""
    if isinstance(error, FileNotFoundError | PermissionError | ConnectionError):
        return error
    inner = [*error.args, error.__cause__, error.__context__] if isinstance(error, BaseException) else []
    return next((found for part in inner if (found := _system_error(part))), None)
