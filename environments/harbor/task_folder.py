"""A folder with one task in Harbor's format: ``task.toml``, ``instruction.md``, environment, tests and solution.

The format: ``harbor/models/task`` of the package ``harbor`` 0.26, schema version 1.4 and earlier.
"""

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...verifiers.errors import DataError
from .docker.requirements import Requirements, read_requirements
from .dockerfile import Prepared, files_below, read_dockerfile

TESTS, SOLUTION, LOGS, PUBLISHED = "/tests", "/solution", "/logs", "/logs/artifacts"
WORK = "{work}"
"""Stands for the working folder of an image, which is known when the image is there."""
_SEPARATE = "separate"
_UNSUPPORTED = frozenset({"gpus", "tpu", "mcp_servers", "healthcheck"})
_CANARY = re.compile(r"\A(?:(?:<!--.*canary.*-->|#.*canary.*)\s*\n)+\s*", re.IGNORECASE)
"""Lines that benchmarks put above an instruction, so that texts made from it are recognized; no agent sees them."""


@dataclass(frozen=True)
class TaskFolder:
    """One task.

    Attributes:
        name: of the folder.
        instruction: what the agent is asked.
        prepared: what the image of the agent would hold.
        tests: absolute path → content of the files in ``/tests``.
        solution: the same of ``/solution``; empty if the task has no oracle.
        artifacts: the paths that are copied from the agent's sandbox into that of the tests.
        agent_seconds: how long the agent may work.
        verifier_seconds: how long the tests may take.
        variables: environment variables of agent and tests, of the tests alone, and of the oracle alone.
        docker: what its containers need; None if it is played without containers. In containers, ``prepared`` has the
            files that are added to an image, relative to its working folder.
    """

    name: str
    instruction: str
    prepared: Prepared
    tests: Mapping[str, bytes]
    solution: Mapping[str, bytes]
    artifacts: tuple[str, ...]
    agent_seconds: float
    verifier_seconds: float
    variables: tuple[Mapping[str, str], Mapping[str, str], Mapping[str, str]] = field(
        default_factory=lambda: ({}, {}, {})
    )
    docker: Requirements | None = None


def is_task(folder: Path) -> bool:
    """Whether ``folder`` is a task."""
    return (folder / "task.toml").is_file()


def read_task(folder: Path, in_docker: bool = False) -> TaskFolder:
    """Read the task in ``folder``, to be played in containers or without.

    Raises:
        DataError: a file is missing, or the task needs what is not supported; the message says what.
    """
    try:
        config = tomllib.loads((folder / "task.toml").read_text(encoding="utf-8"))
        instruction = (folder / "instruction.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{folder} is no Harbor task: {error}") from None
    parts = {name: _table(folder, config, name) for name in ("environment", "agent", "verifier", "solution")}
    _refuse_unsupported(folder, config, parts)
    separate = parts["verifier"].get("environment_mode") == _SEPARATE or "environment" in parts["verifier"]
    docker = read_requirements(folder, parts, separate) if in_docker else None
    tests = {} if docker is not None and docker.bundled else files_below(folder / "tests", TESTS)
    if f"{TESTS}/test.sh" not in tests and not (docker is not None and docker.bundled):
        raise DataError(f"{folder} has no tests/test.sh, so nothing can be judged")
    prepared = _prepared(folder, parts["environment"], docker)
    return TaskFolder(
        folder.name,
        _CANARY.sub("", instruction),
        prepared,
        tests,
        files_below(folder / "solution", SOLUTION),
        _artifacts(folder, config, separate, prepared.folder or WORK),
        _seconds(folder, parts["agent"], 600.0),
        _seconds(folder, parts["verifier"], 600.0),
        (*(_texts(folder, parts[name]) for name in ("environment", "verifier", "solution")),),  # type: ignore[arg-type]
        docker,
    )


def _prepared(folder: Path, environment: Mapping[str, Any], docker: Requirements | None) -> Prepared:
    """What has to be prepared without containers; in a container, the files that Harbor adds to a named image."""
    if docker is None:
        if environment.get("docker_image"):
            raise DataError(
                f"{folder} needs the image {environment['docker_image']!r:.80}, and a sandbox without containers has "
                "no images; set docker = true"
            )
        prepared = read_dockerfile(folder / "environment")
    else:
        prepared = Prepared(folder="")
        named = not docker.image.context and not (folder / "environment" / "Dockerfile").exists()
        if named:
            prepared.files = files_below(folder / "environment", "")
    if workdir := environment.get("workdir"):
        prepared.folder = str(workdir)
    return prepared


def _table(folder: Path, config: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name) or {}
    if not isinstance(found, dict):
        raise DataError(f"{folder}/task.toml: [{name}] is a table, found {found!r:.80}")
    return found


def _refuse_unsupported(folder: Path, config: Mapping[str, Any], parts: Mapping[str, dict[str, Any]]) -> None:
    environment = parts["environment"]
    if config.get("steps"):
        raise DataError(f"{folder}: tasks of several steps are not supported")
    if environment.get("os", "linux") != "linux":
        raise DataError(f"{folder}: tasks for {environment['os']!r} are not supported, only for Linux")
    for place in ("environment", "tests"):
        for name in ("docker-compose.yaml", "docker-compose.yml", "compose.yaml"):
            if (folder / place / name).exists():
                raise DataError(
                    f"{folder}/{place}/{name}: tasks of several containers are not supported; only a Dockerfile or an "
                    "image is"
                )
    if found := sorted(_UNSUPPORTED & {name for name, value in environment.items() if value}):
        raise DataError(f"{folder}/task.toml: [environment] asks for {', '.join(found)}, which is not supported")
    if parts["verifier"].get("collect"):
        raise DataError(f"{folder}/task.toml: [[verifier.collect]] is not supported")


def _artifacts(folder: Path, config: Mapping[str, Any], separate: bool, workdir: str) -> tuple[str, ...]:
    """The declared artifacts; a task whose tests share the agent's container gets its whole working folder too."""
    paths = [PUBLISHED] if separate else [PUBLISHED, workdir]
    declared = config.get("artifacts") or []
    if not isinstance(declared, list):
        raise DataError(f"{folder}/task.toml: artifacts is a list, found {declared!r:.80}")
    for entry in declared:
        path = entry.get("source") if isinstance(entry, dict) else entry
        if not isinstance(path, str) or not path.startswith("/") or ".." in path.split("/"):
            raise DataError(f"{folder}/task.toml: an artifact is an absolute path without '..', found {entry!r:.80}")
        if isinstance(entry, dict) and entry.get("service", "main") != "main":
            raise DataError(f"{folder}/task.toml: artifacts of other services are not supported")
        paths.append(path)
    return tuple(dict.fromkeys(path.rstrip("/") for path in paths))


def _seconds(folder: Path, part: Mapping[str, Any], default: float) -> float:
    seconds = part.get("timeout_sec", default)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise DataError(f"{folder}/task.toml: timeout_sec is a number of seconds above 0, found {seconds!r:.80}")
    return float(seconds)


def _texts(folder: Path, part: Mapping[str, Any]) -> dict[str, str]:
    variables = part.get("env") or {}
    if not isinstance(variables, dict) or not all(isinstance(value, str) for value in variables.values()):
        raise DataError(f"{folder}/task.toml: env is a table of texts, found {variables!r:.80}")
    return variables
