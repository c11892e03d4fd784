"""One run of an agent program in a sandbox: what it is given, and what it left."""

import asyncio
import fnmatch
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...verifiers.errors import DataError, SandboxLost
from ...verifiers.sandbox.inside import wire
from ...verifiers.sandbox.job import Execution, Job, Limits
from ...verifiers.sandbox.protocol import Sandbox
from .inside.launcher import KEPT
from .relay import Relay, connector

_LAUNCHER = Path(__file__).with_name("inside").joinpath("launcher.py").read_text(encoding="utf-8")
_HEADER_BYTES = 1 << 17
_EXTRA_SECONDS = 30.0
"""How long the launcher may take for the files, before and after the program."""


@dataclass(frozen=True)
class Program:
    """A program with its files and limits.

    Attributes:
        command: the program and its arguments.
        environment: environment variables.
        templates: name → text of files such as configurations.
        values: what ``{name}`` in command, environment and templates stands for; ``url``, ``python``, ``work``
            and ``home`` are added in the sandbox.
        files: name → content; names are absolute, in the home folder (``~/``), or in the folder ``work`` of the job.
        keep: names or patterns of the files that are kept.
        folder: where it starts; empty for ``work``.
        seconds: how long it may run.
        limits: the limits of its job; the one on time follows from ``seconds``.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    folder: str = ""
    seconds: float = 300.0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for name in (*self.files, *self.templates, *self.keep):
            check_name(name.removeprefix("/"))

    def job(self, forward: bool) -> Job:
        """The job that runs it; ``forward`` opens a port on which it reaches the model's server."""
        limits = {name: getattr(self.limits, name) for name in ("cpu", "memory", "processes", "file_size", "disk")}
        spec = {
            "command": list(self.command),
            "environment": dict(self.environment),
            "templates": dict(self.templates),
            "values": dict(self.values),
            "names": list(self.files),
            "keep": list(self.keep),
            "folder": self.folder,
            "seconds": self.seconds,
            "most": max(0, self.limits.output - _HEADER_BYTES),
            "forward": forward,
        }
        limited = Limits(wall=self.seconds + _EXTRA_SECONDS, output=self.limits.output, **limits)
        return Job(_LAUNCHER, wire.pack(spec, self.files.values()), limits=limited)


@dataclass(frozen=True)
class Ran:
    """What a program left. All of it was written by the program or could have been.

    Attributes:
        exit_code: None if it did not end by itself.
        ended: ``exit``, ``seconds`` (its time was up), ``not started``, or ``killed``: its whole job ended, by a limit
            or because the program ended it, and no file was kept.
        files: name → content of the kept files.
        refused: name → why a file was not kept.
        execution: of the job.
        removed: declared paths of a task's image that the program removed; only known in Docker.
    """

    exit_code: int | None
    ended: str
    files: Mapping[str, bytes]
    refused: Mapping[str, str]
    execution: Execution
    removed: tuple[str, ...] = ()


async def run_program(sandbox: Sandbox, program: Program, url: str = "") -> Ran:
    """Run ``program`` in a job of ``sandbox`` that reaches nothing but the server at ``url``; nothing if it is empty.

    Raises:
        SandboxLost: the sandbox failed, or the time of the episode was up before a sandbox was free.
    """
    relay = Relay(connector(url) if url else None)
    try:
        _, (execution,) = await sandbox.converse([program.job(bool(url))], lambda sessions: relay.run(sessions[0]))
    except asyncio.CancelledError:
        if not relay.started:
            raise SandboxLost(
                "no sandbox was free for an agent program before the time of its episode was up; "
                "set parallel, limits.seconds or sandbox.size higher"
            ) from None
        raise
    if execution.status == "infra_error":
        raise SandboxLost(f"an agent program could not be run: {execution.reason}")
    return _read(program, execution)


def check_name(name: str) -> None:
    """Raise ``DataError`` unless ``name`` is a relative path or pattern that stays in its folder."""
    parts = name.removeprefix("~/").split("/")
    if not name.isprintable() or len(name.encode(errors="replace")) > 1000 or {"", ".", ".."} & set(parts):
        raise DataError(
            f"a file of an agent program is named by a relative path such as 'a/b.txt' or '~/.config/c', found "
            f"{name!r:.80}"
        )


def is_declared(name: str, keep: Iterable[str]) -> bool:
    """Whether ``name`` is one of the names in ``keep``, or matches one of its patterns."""
    try:
        check_name(name.removeprefix("/"))
    except (DataError, AttributeError):
        return False
    return any(fnmatch.fnmatchcase(name, pattern.replace("**/", "*")) for pattern in keep)


def _read(program: Program, execution: Execution) -> Ran:
    """Read what the launcher left. The program may have written it instead, so nothing in it is relied on."""
    try:
        packed = execution.files[KEPT]
        end = 4 + int.from_bytes(packed[:4], "big")
        header = json.loads(packed[4:end])
        files = dict(_files(program, header["names"], header["sizes"], packed[end:]))
        refused = {str(name)[:200]: str(why)[:200] for name, why in list(header["refused"].items())[:20]}
        code = header["exit"] if type(header["exit"]) is int else None
        ended = header["ended"] if header["ended"] in ("exit", "seconds", "not started") else "killed"
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return Ran(None, "killed", {}, {}, execution)
    return Ran(code, ended, files, refused, execution)


def _files(program: Program, names: list[str], sizes: list[int], content: bytes) -> list[tuple[str, bytes]]:
    files, at = [], 0
    for name, size in zip(names, sizes, strict=True):
        if type(size) is not int or not 0 <= size <= len(content) - at or not is_declared(name, program.keep):
            raise ValueError(f"{name!r:.80} is not a declared file")
        files.append((name, content[at : at + size]))
        at += size
    return files
