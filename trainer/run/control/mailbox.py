"""The folder through which a run gets commands and answers them, one file for each, on any machine that shares it."""

import json
import os
import re
import stat
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ....verifiers.errors import DataError
from ....verifiers.rows.jsonl import json_object

FOLDER = "control"
"""The folder's name in a run's folder."""

LONGEST = 1 << 16
"""Most bytes of a command."""

LEFTOVER = 3600.0
"""Seconds after which what a killed command left behind is removed."""

_NAME = re.compile(r"([0-9]{20}-[0-9a-f]{32})\.command")


class Letter(NamedTuple):
    """A command in the mailbox.

    Attributes:
        name: of its file, without the ending.
        command: what it says; empty if it cannot be read.
        fault: why it cannot be read; empty if it can.
    """

    name: str
    command: Mapping[str, Any]
    fault: str = ""


class Mailbox:
    """Commands and answers as files. Only the user who owns the folder can write into it.

    A command is ``NAME.command`` until the run takes it or its sender takes it back. Whoever renames or removes it
    first has it, so a command that its sender has given up is never obeyed. The answer is ``NAME.answer``.

    Args:
        run: the run's folder.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / FOLDER

    def open(self) -> None:
        """Make the folder for this user alone, and remove what earlier runs and commands left.

        Raises:
            OSError: the folder cannot be made, or is a link or another user's.
        """
        self.path.mkdir(mode=0o700, exist_ok=True)
        about = self.path.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
            raise PermissionError(f"{self.path} is a link, or belongs to another user")
        self.path.chmod(0o700)
        for file in self.path.iterdir():
            with suppress(OSError):
                ended = file.suffix in (".taken", ".answer")  # an earlier process of the run wrote or took it
                if ended or time.time() - file.lstat().st_mtime > LEFTOVER:
                    file.unlink()

    def commands(self) -> list[Letter]:
        """Return the commands that wait, the oldest first."""
        try:
            names = sorted(match[1] for file in os.listdir(self.path) if (match := _NAME.fullmatch(file)))
        except OSError:  # the folder was removed: nobody can send anything
            return []
        return [letter for name in names if (letter := self._read(name)) is not None]

    def take(self, name: str) -> bool:
        """Take a command; False if its sender has taken it back."""
        try:
            self._file(name, "command").rename(self._file(name, "taken"))
        except OSError:
            return False
        return True

    def answer(self, name: str, answer: Mapping[str, Any]) -> None:
        """Answer a command that was taken. If the disk refuses, its sender waits until its deadline."""
        with suppress(OSError):
            self._write(name, "answer", answer)
            self._file(name, "taken").unlink(missing_ok=True)

    def send(self, command: Mapping[str, Any]) -> str:
        """Send a command; return its name.

        Raises:
            OSError: the folder is not there, or is another user's.
        """
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex}"
        self._write(name, "command", command)
        return name

    def take_back(self, name: str) -> bool:
        """Take back a command; False if the run has taken it before."""
        try:
            self._file(name, "command").unlink()
        except OSError:
            return False
        return True

    def answered(self, name: str) -> dict[str, Any] | None:
        """Return the answer to a command, once; None before there is one.

        Raises:
            DataError: it cannot be read.
        """
        file = self._file(name, "answer")
        try:
            text = file.read_bytes()
            file.unlink()
        except OSError:
            return None
        return json_object(text, str(file), "look at the run's log")

    def _read(self, name: str) -> Letter | None:
        """Read a command; None if it is gone, or is no file of the folder's owner."""
        file = self._file(name, "command")
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode) or about.st_uid not in (0, os.geteuid()):
                return None
            text = os.read(descriptor, LONGEST + 1)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        if len(text) > LONGEST:
            return Letter(name, {}, f"a command has at most {LONGEST} bytes, found more")
        try:
            return Letter(name, json_object(text, "the command"))
        except DataError as error:
            return Letter(name, {}, str(error))

    def _write(self, name: str, ending: str, content: Mapping[str, Any]) -> None:
        draft = self._file(name, "draft")
        draft.write_text(json.dumps(content), encoding="utf-8")
        draft.rename(self._file(name, ending))

    def _file(self, name: str, ending: str) -> Path:
        return self.path / f"{name}.{ending}"
