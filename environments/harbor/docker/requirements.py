"""What a Harbor task asks of its containers: images, CPUs, memory, disk, users and network."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ....verifiers.errors import DataError
from .context import context_digest

_UNITS = {"G": 1024.0, "M": 1.0, "K": 1 / 1024}
OWN_IMAGE = "lachesis-harbor"
"""The repository of images that are built from the Dockerfiles of tasks; their tag is the digest of their context."""


@dataclass(frozen=True)
class ImageSource:
    """Where an image comes from.

    Attributes:
        name: the image's name; ``lachesis-harbor:<digest>`` if it is built.
        context: the folder with the Dockerfile, below the task's folder; empty for an image that exists already.
        seconds: how long it may take to build or to pull it.
    """

    name: str
    context: str = ""
    seconds: float = 600.0


@dataclass(frozen=True)
class Requirements:
    """What the containers of one task need.

    Attributes:
        image: of the agent.
        verifier_image: of the tests; the agent's own one unless the task has another.
        bundled: whether the tests are in ``verifier_image`` already.
        cpus: None if the task does not say it.
        memory: MiB; 0 if the task does not say it.
        disk: MiB that a container may write; 0 if the task does not say it.
        agent_user: name or number; empty for the image's user.
        verifier_user: likewise.
        offline: whether the task forbids the network to the agent.
        verifier_offline: whether it forbids the network to the tests.
    """

    image: ImageSource
    verifier_image: ImageSource
    bundled: bool = False
    cpus: float | None = None
    memory: int = 0
    disk: int = 0
    agent_user: str = ""
    verifier_user: str = ""
    offline: bool = False
    verifier_offline: bool = False

    def to_json(self) -> dict[str, Any]:
        """For a task's ``info``."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Requirements":
        """From a task's ``info``."""
        images = {name: ImageSource(**row[name]) for name in ("image", "verifier_image")}
        return cls(**{**row, **images})


def read_requirements(folder: Path, parts: Mapping[str, dict[str, Any]], separate: bool) -> Requirements:
    """What ``task.toml`` asks for.

    Args:
        folder: of the task.
        parts: the tables of ``task.toml``.
        separate: whether the task gives its tests a container of their own.

    Raises:
        DataError: a value makes no sense, or the task needs what is not supported; the message says what.
    """
    environment, agent, verifier = (parts[name] for name in ("environment", "agent", "verifier"))
    image = _image(folder, "environment", environment)
    own = verifier.get("environment") or {}
    if not isinstance(own, dict):
        raise DataError(f"{folder}/task.toml: [verifier.environment] is a table, found {own!r:.80}")
    bundled = separate and (bool(own.get("docker_image")) or (folder / "tests" / "Dockerfile").is_file())
    return Requirements(
        image,
        _image(folder, "tests", own) if bundled else image,
        bundled,
        _cpus(folder, environment.get("cpus")),
        _mebibytes(folder, environment, "memory"),
        _mebibytes(folder, environment, "storage"),
        _user(folder, agent),
        _user(folder, verifier),
        _is_offline(folder, environment, agent),
        _is_offline(folder, own or environment, verifier),
    )


def _image(folder: Path, context: str, table: Mapping[str, Any]) -> ImageSource:
    """As Harbor decides: a named image before a Dockerfile."""
    seconds = table.get("build_timeout_sec", 600.0)
    if not _is_number(seconds) or seconds <= 0:
        raise DataError(f"{folder}/task.toml: build_timeout_sec is a number of seconds above 0, found {seconds!r:.80}")
    named = table.get("docker_image")
    if named is not None and (not isinstance(named, str) or not named.strip()):
        raise DataError(f"{folder}/task.toml: docker_image is the name of an image, found {named!r:.80}")
    if named:
        return ImageSource(named.strip(), seconds=float(seconds))
    if not (folder / context / "Dockerfile").is_file():
        raise DataError(f"{folder} has neither {context}/Dockerfile nor a docker_image in its task.toml")
    return ImageSource(f"{OWN_IMAGE}:{context_digest(folder / context)}", context, float(seconds))


def _cpus(folder: Path, cpus: Any) -> float | None:
    if cpus is None:
        return None
    if not _is_number(cpus) or cpus <= 0:
        raise DataError(f"{folder}/task.toml: cpus is a number above 0, found {cpus!r:.80}")
    return float(cpus)


def _mebibytes(folder: Path, table: Mapping[str, Any], name: str) -> int:
    """``memory_mb``, or its older form ``memory = "2G"``; likewise for ``storage``."""
    value = table.get(f"{name}_mb", table.get(name))
    if value is None:
        return 0
    try:
        if isinstance(value, str):
            value = float(value.strip()[:-1]) * _UNITS[value.strip()[-1:].upper()]
        if not _is_number(value) or value < 1:
            raise ValueError
        return int(value)
    except (ValueError, KeyError):
        raise DataError(
            f'{folder}/task.toml: {name}_mb is a number of MiB above 0, or {name} a text such as "2G", found '
            f"{value!r:.80}"
        ) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _user(folder: Path, table: Mapping[str, Any]) -> str:
    user = table.get("user")
    if user is None:
        return ""
    if isinstance(user, bool) or not isinstance(user, str | int):
        raise DataError(f"{folder}/task.toml: user is a name or a number, found {user!r:.80}")
    return str(user)


def _is_offline(folder: Path, environment: Mapping[str, Any], phase: Mapping[str, Any]) -> bool:
    """Whether a phase may not use the network. An allow-list counts as no network, because it is not enforced here."""
    default = "public" if environment.get("allow_internet", True) else "no-network"
    mode = phase.get("network_mode") or environment.get("network_mode") or default
    if mode not in ("public", "no-network", "allowlist"):
        raise DataError(f"{folder}/task.toml: network_mode is public, no-network or allowlist, found {mode!r:.80}")
    return mode != "public"
