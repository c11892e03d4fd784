"""A build context: the folder with a Dockerfile as an archive that has the same bytes wherever it lies."""

import hashlib
import os
import tarfile
from pathlib import Path
from tempfile import SpooledTemporaryFile

from docker.utils.build import exclude_paths

from ....verifiers.errors import DataError


def context_digest(folder: Path) -> str:
    """The digest of what a build of ``folder`` sees: names, contents, links, and which files are executable.

    Raises:
        DataError: a file cannot be read.
    """
    with pack_context(folder) as archive:
        return hashlib.file_digest(archive, "sha256").hexdigest()[:24]


def pack_context(folder: Path) -> SpooledTemporaryFile[bytes]:
    """The archive of ``folder``, without what its ``.dockerignore`` excludes, as an open temporary file.

    Raises:
        DataError: a file cannot be read.
    """
    archive: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(max_size=32 << 20)  # noqa: SIM115 - for the caller
    try:
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name in sorted(exclude_paths(str(folder), _ignored(folder))):
                _add(tar, folder / name, name)
    except (OSError, ValueError) as error:
        archive.close()
        raise DataError(f"the build context {folder} cannot be read: {error}") from None
    archive.seek(0)
    return archive


def _ignored(folder: Path) -> list[str]:
    path = folder / ".dockerignore"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    entry = tar.gettarinfo(str(path), arcname=name)
    if entry is None or not (entry.isreg() or entry.isdir() or entry.issym() or entry.islnk()):
        return
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    executable = entry.isdir() or entry.mode & 0o100
    entry.mode = 0o755 if executable else 0o644
    if entry.islnk():  # two names of one file: the second name is written as a file of its own
        entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", os.path.getsize(path)
    if entry.isreg():
        with path.open("rb") as file:
            tar.addfile(entry, file)
    else:
        tar.addfile(entry)
