"""A job's files: put in, brought out without following anything, and wiped."""

import contextlib
import os
import stat
from typing import Any

MOST_FILES = 64
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)


def put(folder: str, names: list[str], contents: list[bytes]) -> None:
    """Write the job's files; to be called as the job's own user."""
    for name, content in zip(names, contents, strict=True):
        fd = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        with open(fd, "wb") as file:
            file.write(content)


def collect(folder: str, given: set[str], most_bytes: int) -> tuple[dict[str, Any], list[bytes]]:
    """The regular files in ``folder`` beside the ``given`` ones, and why the others were refused.

    To be called as the job's own user, when no process of the job is left.
    """
    names: list[str] = []
    contents: list[bytes] = []
    refused: dict[str, str] = {}
    left = most_bytes
    for name in sorted(set(os.listdir(folder)) - given):
        if len(names) + len(refused) >= MOST_FILES:
            refused["…"] = f"there are more than {MOST_FILES} files"
            break
        reason, content = _read(folder, name, left)
        if reason:
            refused[name.encode("unicode_escape", "backslashreplace").decode()[:300]] = reason
        else:
            names.append(name)
            contents.append(content)
            left -= len(content)
    return {"names": names, "refused": refused, "full": any("more than" in why for why in refused.values())}, contents


def _read(folder: str, name: str, most: int) -> tuple[str, bytes]:
    """(why not, empty) or (empty, the content)."""
    if not name.isprintable() or "\\" in name or ".." in name:
        return "its name is not plain", b""
    try:
        fd = os.open(os.path.join(folder, name), _OPEN)
    except OSError as error:
        return f"cannot be opened: {error.strerror}", b""
    try:
        kind = os.fstat(fd)
        if not stat.S_ISREG(kind.st_mode):
            return "no regular file", b""
        if kind.st_size > most:
            return f"more than the {most} bytes that are left", b""
        return "", os.pread(fd, most, 0)
    finally:
        os.close(fd)


def wipe(folders: list[str]) -> bool:
    """Remove all that this process's user left in ``folders``; whether nothing of it is left."""
    for folder in folders:
        _empty(folder)
    return not any(_own(folder, name) for folder in folders for name in os.listdir(folder))


def _empty(folder: str) -> None:
    """Remove what ``folder`` holds, a folder in it by lifting up what that holds: no tree is too deep."""
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    pending, number, mark = os.listdir(top), 0, os.urandom(8).hex()
    while pending:
        name = pending.pop()
        with contextlib.suppress(OSError):
            if not stat.S_ISDIR(os.lstat(name, dir_fd=top).st_mode):
                os.unlink(name, dir_fd=top)
                continue
            os.chmod(name, 0o700, dir_fd=top)
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
            try:
                for child in os.listdir(inner):
                    number += 1
                    lifted = f"{mark}-{number}"  # a name that no job could take
                    if stat.S_ISDIR(os.lstat(child, dir_fd=inner).st_mode):
                        os.chmod(child, 0o700, dir_fd=inner)  # to be moved, a folder must itself be writable
                    os.rename(child, lifted, src_dir_fd=inner, dst_dir_fd=top)
                    pending.append(lifted)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=top)
    os.close(top)


def _own(folder: str, name: str) -> bool:
    return os.lstat(os.path.join(folder, name)).st_uid == os.getuid()
