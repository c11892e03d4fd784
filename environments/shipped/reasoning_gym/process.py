"""The worker processes that make and score Reasoning Gym's tasks, started when they are first needed."""

import importlib.metadata
import os
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

from ....verifiers.errors import ConfigError, InfrastructureError
from ....verifiers.processes.worker import Worker, WorkerLost, WorkerPool

VERSION = "0.1.25"
"""Version of the package; the flaws of its scorers were found by reading this version."""
MAKING_SECONDS = 120.0
"""Most CPU seconds for making the tasks of one request."""
MIXING = {"composite": "it mixes others: name those in `datasets`"}
"""Datasets that are refused, and why."""
PROGRAM = Path(__file__).with_name("worker.py")


def start_maker() -> Worker:
    """A worker that makes tasks; the caller closes it.

    Raises:
        ConfigError: the package is not installed, or has another version.
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
    """The worker's answer to a request.

    Raises:
        ConfigError: the worker cannot do what is asked; the message says why.
        InfrastructureError: the worker is lost.
    """
    try:
        answer = worker.ask({**request, "cpu_seconds": MAKING_SECONDS}, 10 * MAKING_SECONDS)
    except WorkerLost as lost:
        raise InfrastructureError(f"reasoning_gym: {lost} ({request})") from None
    if problem := answer.get("failed") or answer.get("limit"):
        raise ConfigError(f"reasoning_gym: {problem} ({request.get('name')} with options {request.get('options')})")
    return answer


def dataset_count() -> int:
    """How many datasets the installed package has, without those that only mix others.

    Raises:
        ConfigError: the package is not installed, or has another version.
        InfrastructureError: the worker does not start, or is lost.
    """
    with closing(start_maker()) as worker:
        return len(set(ask_maker(worker, do="names")["names"]) - set(MIXING))


@lru_cache(maxsize=1)
def scorers() -> WorkerPool:
    """The pool of workers that score answers, one pool per process."""
    return WorkerPool(PROGRAM, size=min(4, os.cpu_count() or 1))
