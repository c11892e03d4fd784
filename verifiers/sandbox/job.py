"""What a sandbox is given and what it gives back: a program with its limits, and how it went."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any, Literal

from ..errors import DataError

MIB = 1 << 20
MOST_SECONDS = 86_400
"""The longest job: waiting for some hundred years at once is more than an operating system's timers can count."""

Status = Literal["ok", "runtime_error", "timeout", "oom", "limit", "infra_error"]


class Level(IntEnum):
    """How much a sandbox holds, found by trying it."""

    NONE = 0
    """Nothing: the program runs in this process's own rights."""
    ACCIDENT = 1
    """Limits on time, memory and files of each process: stops mistakes, not attacks."""
    CONTAINED = 2
    """Namespaces, a list of allowed system calls and those limits; no child processes."""
    STRONG = 3
    """All of it, a user of its own, and one memory limit over all processes of a job."""


@dataclass(frozen=True)
class Limits:
    """How far one job may go.

    Attributes:
        wall: seconds from start to end, the time spent waiting for a busy CPU not counted.
        cpu: seconds of CPU time, all processes together.
        memory: bytes, all processes and written files together where the sandbox is ``strong``, else of each process.
        processes: processes and threads at one time.
        file_size: bytes of one written file.
        disk: bytes of all written files.
        output: bytes that are kept of each of stdout, stderr and all returned files; the rest is thrown away.
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
    """A Python program and all that it may see.

    Attributes:
        code: the source, run as ``__main__``.
        stdin: what it reads there, then end of file.
        files: name → content, put into its working directory; a name is a plain file name.
        env: environment variables beside the few that every job has.
        limits: how far it may go.
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
                raise DataError(f"{name!r:.80} is no environment variable")


@dataclass(frozen=True)
class Usage:
    """What a job took: ``wall``, ``waited`` for a CPU and ``cpu`` in seconds, ``memory`` at its peak in bytes or 0."""

    wall: float = 0.0
    waited: float = 0.0
    cpu: float = 0.0
    memory: int = 0


@dataclass(frozen=True)
class Execution:
    """How one job went.

    Attributes:
        status: ``ok`` exit code 0; ``runtime_error`` another one, or a signal; ``timeout``; ``oom`` out of memory;
            ``limit`` another limit, or a program that took its sandbox down twice; ``infra_error`` ours: judges
            nothing.
        exit_code: None where a signal or we ended it.
        signal: the signal's name, such as SIGSEGV, empty where none ended it.
        stdout: text, bytes that are no UTF-8 replaced.
        stderr: text likewise.
        truncated: which of ``stdout``, ``stderr`` and ``files`` were longer than ``limits.output``.
        files: name → content of the regular files that it left in its working directory and that were not given to it.
        refused: name (escaped) → why that file was not brought out.
        usage: what it took.
        level: what held it.
        reason: one line for people, empty where ``ok``.
        retries: how often it was begun again because its sandbox was lost.
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
        """One JSON object; file contents as text, bytes that are no UTF-8 replaced."""
        row = asdict(self)
        row["level"] = self.level.name.lower()
        row["files"] = {name: content.decode(errors="replace") for name, content in self.files.items()}
        return row


def _is_text(text: str) -> bool:
    """Whether ``text`` can be written in bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_plain_name(name: str) -> bool:
    """Whether ``name`` is a printable file name without folders, short enough for every file system."""
    return name.isprintable() and "/" not in name and name not in ("", ".", "..") and len(name.encode()) <= 255
