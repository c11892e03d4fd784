"""The files of a job: written before it, collected after it without following links, and wiped."""

import contextlib
import os
import stat
from typing import Any

MOST_FILES = 64
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)


def write(folder: str, names: list[str], contents: list[bytes]) -> None:
    """Write the job's files; call it as the user of the job."""
    for name, content in zip(names, contents, strict=True):
        fd = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        with open(fd, "wb") as file:
            file.write(content)


def collect(folder: str, given: set[str], max_bytes: int) -> tuple[dict[str, Any], list[bytes]]:
    """The new regular files in ``folder``, without the ``given`` ones, and why others were refused.

    Call it as the user of the job, after all processes of the job have ended.
    """
    names: list[str] = []
    contents: list[bytes] = []
    refused: dict[str, str] = {}
    left = max_bytes
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


def _read(folder: str, name: str, max_bytes: int) -> tuple[str, bytes]:
    """(reason, empty) if the file is refused, otherwise (empty, content)."""
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
        if kind.st_size > max_bytes:
            return f"more than the {max_bytes} bytes that are left", b""
        return "", os.pread(fd, max_bytes, 0)
    finally:
        os.close(fd)


def wipe(folders: list[str]) -> bool:
    """Remove all files of this process's user in ``folders``; return whether none is left."""
    for folder in folders:
        _empty(folder)
    return not any(_belongs_to_us(folder, name) for folder in folders for name in os.listdir(folder))


def _empty(folder: str) -> None:
    """Empty ``folder``. The content of an inner folder is first moved up, so that no tree is too deep."""
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
                    lifted = f"{mark}-{number}"  # a name that no job can guess
                    if stat.S_ISDIR(os.lstat(child, dir_fd=inner).st_mode):
                        os.chmod(child, 0o700, dir_fd=inner)  # only a writable folder can be moved
                    os.rename(child, lifted, src_dir_fd=inner, dst_dir_fd=top)
                    pending.append(lifted)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=top)
    os.close(top)


def _belongs_to_us(folder: str, name: str) -> bool:
    return os.lstat(os.path.join(folder, name)).st_uid == os.getuid()
