"""What a killed run has left on this machine: processes, containers, temporary files; the next start removes them."""

import json
import logging
import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...verifiers.errors import LachesisError
from ...verifiers.processes.temporary import CONTAINERS, abandoned

log = logging.getLogger(__name__)

VARIABLE = "LACHESIS_DRIVER"
"""The environment variable by which the processes of a run are known: they inherit it."""

_PROC = Path("/proc")


@dataclass(frozen=True)
class Driver:
    """The main process of a run. A later process with the same number has another start time.

    Attributes:
        pid: its number.
        started: when it started, in clock ticks since the machine did.
        place: the boot of the machine and the namespace in which the number counts.
    """

    pid: int
    started: int
    place: str

    @classmethod
    def of(cls, pid: int) -> "Driver | None":
        """The process with this number; None if there is none, or the system has no /proc."""
        started = _start_of(pid)
        return None if started is None else cls(pid, started, _place())

    @property
    def token(self) -> str:
        """What its processes have in their environment."""
        return f"{self.pid}:{self.started}:{self.place}"

    @property
    def alive(self) -> bool:
        """Whether it runs, or cannot be seen from here."""
        return self.place != _place() or _start_of(self.pid) == self.started

    @classmethod
    def read(cls, token: str) -> "Driver | None":
        """The inverse of ``token``; None for other text."""
        with suppress(ValueError):
            pid, started, place = token.split(":", 2)
            return cls(int(pid), int(started), place)
        return None


def sign() -> None:
    """Mark this process as a run's driver, so that what it starts and leaves is known as its own."""
    if me := Driver.of(os.getpid()):
        os.environ[VARIABLE] = me.token


def leave(folder: Path) -> None:
    """Note the temporary folder of this run, which ``take_away`` removes, or the next start if this process is killed.

    Args:
        folder: its name must end with the number of this process, as those of Ray's sessions do.
    """
    if (note := _own_note()) and (me := Driver.of(os.getpid())):
        with suppress(OSError):
            note.write_text(json.dumps({"driver": me.token, "folder": str(folder)}), encoding="utf-8")


def take_away() -> None:
    """Remove the temporary folder that this process has noted, unless ``LACHESIS_DEBUG`` is set.

    Processes that still have a file open in it, such as those that were stopped, are ended. What this process starts
    later, as a notebook may, is not marked any more.
    """
    os.environ.pop(VARIABLE, None)
    if note := _own_note():
        with suppress(OSError, ValueError, KeyError, TypeError):
            folder = Path(json.loads(note.read_text(encoding="utf-8"))["folder"])
            _end_all(lambda: _processes(lambda entry: _has_open(entry, [str(folder)])), 10.0)
            if not os.environ.get("LACHESIS_DEBUG"):
                shutil.rmtree(folder, ignore_errors=True)
            note.unlink()


def clean(patience: float = 10.0) -> list[str]:
    """End the processes of dead drivers, and remove their containers and folders; return a line for each.

    A process belongs to a driver if it has its mark, or a file open in its folder. A container and a temporary file
    name the process that made them. Only what belongs to the same user, machine and namespace is touched, and only if
    the process that it belongs to is dead.

    Args:
        patience: most seconds to wait until the processes have ended.
    """
    notes = dict(_notes_of_the_dead())
    folders = [str(folder) for folder in notes.values()]
    ended = _end_all(lambda: _processes(lambda entry: _is_marked(entry) or _has_open(entry, folders)), patience)
    found = [f"process {pid} ({name})" for pid, name in ended.items()]
    for note, folder in notes.items():
        if _is_own(folder):
            shutil.rmtree(folder, ignore_errors=True)
            found.append(f"folder {folder}")
        with suppress(OSError):
            note.unlink()
    return [*found, *_remove_abandoned()]


def _remove_abandoned() -> Iterator[str]:
    """Remove what names a dead process as its owner."""
    notes = []
    for purpose, path in abandoned():
        if purpose == CONTAINERS:
            notes.append(path)
            continue
        with suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            yield str(path)
    if notes:
        yield from _remove_containers(notes)


def _remove_containers(notes: list[Path]) -> Iterator[str]:
    from ...verifiers.sandbox.docker.containers import remove_noted  # takes 0.2 s, and most runs leave no container

    try:
        for note in notes:
            yield from (f"container {container[:12]}" for container in remove_noted(note))
    except LachesisError as error:  # a daemon that does not answer is not asked again for the next note
        log.warning("containers of a killed run may be left, and the next start looks again: %s", error)


def _notes_of_the_dead() -> Iterator[tuple[Path, Path]]:
    """Each note whose driver is dead, and the folder that it names."""
    for note in sorted(folder.glob("*.json")) if (folder := _notes()) else ():
        with suppress(OSError, ValueError, KeyError, TypeError):
            row = json.loads(note.read_text(encoding="utf-8"))
            driver, noted = Driver.read(str(row["driver"])), Path(row["folder"])
            named = driver is not None and noted.name.endswith(f"_{driver.pid}")
            if driver and named and (not driver.place.startswith(_boot()) or not driver.alive):
                yield note, noted


def _end_all(find: Callable[[], Iterator[tuple[int, str]]], patience: float) -> dict[int, str]:
    """Kill the processes that ``find`` finds until it finds none; return their numbers and names."""
    found: dict[int, str] = {}
    end = time.monotonic() + patience
    while (here := dict(find())) and time.monotonic() < end:
        found |= here
        for pid in here:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    return found


def _processes(belongs: Callable[[Path], bool]) -> Iterator[tuple[int, str]]:
    """Number and name of each other process of this user whose folder in /proc satisfies ``belongs``."""
    for entry in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            if entry.stat().st_uid != os.geteuid() or int(entry.name) == os.getpid():
                continue
            if _start_of(int(entry.name)) is not None and belongs(entry):
                yield int(entry.name), (entry / "comm").read_text(errors="replace").strip()


def _is_marked(process: Path) -> bool:
    """Whether a process has the mark of a dead driver."""
    wanted = f"{VARIABLE}=".encode()
    for line in (process / "environ").read_bytes().split(b"\0"):
        if line.startswith(wanted):
            driver = Driver.read(line.removeprefix(wanted).decode(errors="replace"))
            return driver is not None and not driver.alive
    return False


def _has_open(process: Path, folders: Sequence[str]) -> bool:
    """Whether a process has a file open in one of the folders: those that rename themselves lose their environment."""
    for link in (process / "fd").iterdir() if folders else ():
        with suppress(OSError):
            if any(os.readlink(link).startswith(f"{folder}/") for folder in folders):
                return True
    return False


def _start_of(pid: int) -> int | None:
    """When a process started, in clock ticks; None if it does not run, as a zombie does not."""
    with suppress(OSError, IndexError, ValueError):
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    return None


def _place() -> str:
    with suppress(OSError):
        return f"{_boot()}:{os.readlink(_PROC / 'self/ns/pid')}"
    return ""


def _boot() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _notes() -> Path | None:
    """The folder of notes, which nobody else can write into; None if there can be none."""
    folder = Path(tempfile.gettempdir()) / f"lachesis-drivers-{os.geteuid()}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder if _is_own(folder) and not folder.stat().st_mode & (stat.S_IWOTH | stat.S_IWGRP) else None
    return None


def _own_note() -> Path | None:
    """The file of this process's note; None if there can be none."""
    if (notes := _notes()) and (me := Driver.of(os.getpid())):
        return notes / f"{me.pid}-{me.started}.json"
    return None


def _is_own(folder: Path) -> bool:
    """Whether it is a folder of this user, and no link."""
    with suppress(OSError):
        status = folder.lstat()
        return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    return False
