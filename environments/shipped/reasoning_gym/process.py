"""The processes in which Reasoning Gym's tasks are made and scored: started when they are first needed."""

import importlib.metadata
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from ....verifiers.errors import ConfigError, InfrastructureError
from ....verifiers.processes.worker import Worker, WorkerLost, WorkerPool

VERSION = "0.1.25"
"""Of the package: what is guarded against in its scorers was found by reading this one."""
MAKING_SECONDS = 120.0
"""CPU time in which the tasks of one request are made."""
PROGRAM = Path(__file__).with_name("worker.py")


def start_maker() -> Worker:
    """A worker that makes tasks; close it.

    Raises:
        ConfigError: the package, or this version of it, is not installed.
        InfrastructureError: the worker does not start.
    """
    try:
        found = importlib.metadata.version("reasoning-gym")
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError("reasoning_gym needs its package: pip install 'lachesis-rl[reasoning_gym]'") from None
    if found != VERSION:
        raise ConfigError(f"reasoning_gym is for version {VERSION} of its package, found {found}; install that one")
    try:
        return Worker(PROGRAM)
    except WorkerLost as lost:
        raise InfrastructureError(f"reasoning_gym: {lost}") from None


def ask_maker(worker: Worker, **request: Any) -> dict[str, Any]:
    """What the worker answers.

    Raises:
        ConfigError: it cannot do that; the message says why.
        InfrastructureError: it is lost.
    """
    try:
        answer = worker.ask({**request, "cpu_seconds": MAKING_SECONDS}, 10 * MAKING_SECONDS)
    except WorkerLost as lost:
        raise InfrastructureError(f"reasoning_gym: {lost} ({request})") from None
    if problem := answer.get("failed") or answer.get("limit"):
        raise ConfigError(f"reasoning_gym: {problem} ({request.get('name')} with options {request.get('options')})")
    return answer


@lru_cache(maxsize=1)
def scorers() -> WorkerPool:
    """The workers of this process that score."""
    return WorkerPool(PROGRAM, size=min(4, os.cpu_count() or 1))
