"""Jobs and executions: a program with its limits, and the result of running it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any, Literal

from ..errors import DataError

MIB = 1 << 20
MOST_SECONDS = 86_400
"""The longest time limit; the timers of an operating system cannot count arbitrarily long waits."""

Status = Literal["ok", "runtime_error", "timeout", "oom", "limit", "infra_error"]


class Level(IntEnum):
    """How well a sandbox confines a job; found by trying to break out of it."""

    NONE = 0
    """No confinement: the program has all rights of the user that runs Lachesis."""
    ACCIDENT = 1
    """Limits on the time, memory and files of each process: stops mistakes, but not attacks."""
    CONTAINED = 2
    """These limits, namespaces and an allow-list of system calls; a job cannot start child processes."""
    STRONG = 3
    """All of these, a separate user, and one memory limit over all processes of a job, which may start some."""


@dataclass(frozen=True)
class Limits:
    """The resource limits of one job.

    Attributes:
        wall: seconds from start to end, without the time spent waiting for a busy CPU.
        cpu: seconds of CPU time, of all processes together.
        memory: bytes, of all processes and written files together at level ``strong``, otherwise of each process.
        processes: processes and threads at one time.
        file_size: bytes of one written file.
        disk: bytes of all written files.
        output: bytes kept of stdout, of stderr, and of all returned files together; the rest is discarded.
    """

    wall: float = 10.0
    cpu: float = 10.0
    memory: int = 256 * MIB
    processes: int = 32
    file_size: int = 16 * MIB
    disk: int = 64 * MIB
    output: int = MIB

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1 << 50:
                raise DataError(f"a job's limit {name!r} is a number above 0, found {value!r}")
            if isinstance(value, float) and name not in ("wall", "cpu"):
                raise DataError(f"a job's limit {name!r} is a whole number, found {value!r}")
        for name, seconds in (("wall", self.wall), ("cpu", self.cpu)):
            if seconds > MOST_SECONDS:
                raise DataError(f"a job's limit {name!r} is at most {MOST_SECONDS} s, a day; found {seconds!r}")


@dataclass(frozen=True)
class Job:
    """A Python program and its inputs.

    Attributes:
        code: the source, which runs as ``__main__``.
        stdin: the content of its standard input.
        files: name → content of the files in its working directory; a name is a plain file name.
        env: environment variables, in addition to the few that every job has.
        limits: its resource limits.
    """

    code: str
    stdin: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        for name, content in self.files.items():
            if not is_plain_name(name):
                raise DataError(f"a job's file has a plain name, found {name!r:.80}")
            if len(content) > self.limits.file_size:
                raise DataError(f"file {name!r} has {len(content)} bytes; raise the job's limit file_size")
        for name, value in self.env.items():
            if not name or "=" in name or "\0" in name + value or not _is_text(name + value):
                raise DataError(
                    f"{name!r:.80} is no environment variable; a name is text without =, and a value is text"
                )


@dataclass(frozen=True)
class Usage:
    """Resource usage: seconds ``wall``, ``waited`` for a CPU, and ``cpu``; peak ``memory`` in bytes, 0 if unknown."""

    wall: float = 0.0
    waited: float = 0.0
    cpu: float = 0.0
    memory: int = 0


@dataclass(frozen=True)
class Execution:
    """The result of one job.

    Attributes:
        status: ``ok``: exit code 0; ``runtime_error``: another exit code, or a signal; ``timeout``; ``oom``: out of
            memory; ``limit``: another limit, or the job took its sandbox down twice; ``infra_error``: the sandbox
            failed, and nothing was judged.
        exit_code: None if a signal or the sandbox ended the job.
        signal: the name of the signal that ended the job, such as SIGSEGV; empty if none did.
        stdout: text; bytes that are not UTF-8 are replaced.
        stderr: text, like ``stdout``.
        truncated: which of ``stdout``, ``stderr`` and ``files`` were longer than ``limits.output``.
        files: name → content of the new regular files in the working directory of the job.
        refused: escaped name → why that file was not returned.
        usage: the resources that the job used.
        level: the level of its sandbox.
        reason: one line for people, empty if ``ok``.
        retries: how often the job started again because its sandbox was lost.
    """

    status: Status
    exit_code: int | None = None
    signal: str = ""
    stdout: str = ""
    stderr: str = ""
    truncated: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    usage: Usage = Usage()
    level: Level = Level.NONE
    reason: str = ""
    retries: int = 0

    def to_json(self) -> dict[str, Any]:
        """The execution as a JSON object; files are text, and bytes that are not UTF-8 are replaced."""
        row = asdict(self)
        row["level"] = self.level.name.lower()
        row["files"] = {name: content.decode(errors="replace") for name, content in self.files.items()}
        return row


def _is_text(text: str) -> bool:
    """Whether ``text`` can be encoded as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_plain_name(name: str) -> bool:
    """Whether ``name`` is a printable file name without folders, short enough for every file system."""
    return name.isprintable() and "/" not in name and name not in ("", ".", "..") and len(name.encode()) <= 255
