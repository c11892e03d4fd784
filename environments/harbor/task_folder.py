"""A folder with one task in Harbor's format: ``task.toml``, ``instruction.md``, environment, tests and solution.

The format: ``harbor/models/task`` of the package ``harbor`` 0.26, schema version 1.4 and earlier.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...verifiers.errors import DataError
from .dockerfile import Prepared, files_below, read_dockerfile

TESTS, SOLUTION, LOGS, PUBLISHED = "/tests", "/solution", "/logs", "/logs/artifacts"
_SEPARATE = "separate"


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


def is_task(folder: Path) -> bool:
    """Whether ``folder`` is a task."""
    return (folder / "task.toml").is_file()


def read_task(folder: Path) -> TaskFolder:
    """Read the task in ``folder``.

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
    tests = files_below(folder / "tests", TESTS)
    if f"{TESTS}/test.sh" not in tests:
        raise DataError(f"{folder} has no tests/test.sh, so nothing can be judged")
    prepared = read_dockerfile(folder / "environment")
    if workdir := parts["environment"].get("workdir"):
        prepared.folder = str(workdir)
    return TaskFolder(
        folder.name,
        instruction,
        prepared,
        tests,
        files_below(folder / "solution", SOLUTION),
        _artifacts(folder, config, parts["verifier"], prepared.folder),
        _seconds(folder, parts["agent"], 600.0),
        _seconds(folder, parts["verifier"], 600.0),
        (*(_texts(folder, parts[name]) for name in ("environment", "verifier", "solution")),),  # type: ignore[arg-type]
    )


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
    if (folder / "environment" / "docker-compose.yaml").exists():
        raise DataError(f"{folder}: tasks of several containers are not supported")
    if environment.get("gpus") or environment.get("mcp_servers"):
        raise DataError(f"{folder}: tasks with GPUs or MCP servers are not supported")


def _artifacts(folder: Path, config: Mapping[str, Any], verifier: Mapping[str, Any], workdir: str) -> tuple[str, ...]:
    """The declared artifacts; a task whose tests share the agent's container gets its whole working folder too."""
    separate = verifier.get("environment_mode") == _SEPARATE or "environment" in verifier
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
