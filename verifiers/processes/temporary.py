"""Names of temporary files and folders that tell which process made them, so that those of dead ones can be removed."""

import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .owner import is_abandoned, is_of_this_host, owner_label

CONTAINERS = "containers"
"""The purpose of the file which tells that a process has made containers."""

_NAME = re.compile(r"lachesis-([a-z]+)-([^-]+)-.*", re.DOTALL)


def own_prefix(purpose: str) -> str:
    """The beginning of the name of a temporary file or folder of this process, for ``tempfile``.

    Args:
        purpose: a word of small letters.
    """
    return f"lachesis-{purpose}-{owner_label(os.getpid()).replace(':', '.')}-"


def own_path(purpose: str) -> Path:
    """The one temporary file or folder of this process for a purpose that needs no more."""
    return Path(tempfile.gettempdir()) / f"{own_prefix(purpose)}0"


def is_from_here(path: Path) -> bool:
    """Whether the maker of a file with a name by ``own_prefix`` is a process of this machine."""
    name = _NAME.fullmatch(path.name)
    return name is not None and is_of_this_host(name[2].replace(".", ":"))


def abandoned() -> Iterator[tuple[str, Path]]:
    """Purpose and path of each file and folder of this user in the temporary folder whose process is dead."""
    with suppress(OSError):
        for path in sorted(Path(tempfile.gettempdir()).glob("lachesis-*-*-*")):
            name = _NAME.fullmatch(path.name)
            if name and _is_own(path) and is_abandoned(name[2].replace(".", ":")):
                yield name[1], path


def _is_own(path: Path) -> bool:
    """Whether it is a file or folder of this user, and no link."""
    with suppress(OSError):
        status = path.lstat()
        return status.st_uid == os.geteuid() and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode))
    return False
