"""Files on their way into a container and out of it, as tar archives."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from typing import Any

_PROGRAMS = b"#!", b"\x7fELF"
"""How the content of an executable file begins; the mode of a file does not travel with it."""
_FOLDER = 1 << 31
_NOT_REGULAR = 1 << 27 | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19
"""The bits of Go's ``fs.ModeType``, but for folders: link, device, pipe, socket, character device, irregular."""


def pack(files: Mapping[str, bytes], folders: Iterable[str] = (), owner: tuple[int, int] = (0, 0)) -> bytes:
    """An archive for the root folder of a container.

    Args:
        files: absolute path → content.
        folders: absolute paths of folders that everybody may write.
        owner: the user and group of the files.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in folders:
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(entry)
        for path, content in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            executable = content.startswith(_PROGRAMS) or path.endswith(".sh")
            entry.size, entry.mode = len(content), 0o755 if executable else 0o644
            entry.uid, entry.gid = owner
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def take_file(api: Any, container: str, path: str, most: int) -> bytes:
    """The content of a regular file of a container.

    Raises:
        IsADirectoryError: it is a folder.
        OSError: it is no regular file, or has more than ``most`` bytes.
        docker.errors.NotFound: it does not exist.
    """
    stream, found = api.get_archive(container, path)
    if found["mode"] & _FOLDER:
        raise IsADirectoryError("it is a folder")
    if found["mode"] & _NOT_REGULAR:
        raise OSError("it is no regular file")
    if found["size"] > most:
        raise OSError(f"it has {found['size']} bytes, and only {most} are left")
    with tarfile.open(fileobj=ChunkReader(stream), mode="r|") as tar:  # type: ignore[call-overload]
        entry = tar.next()
        file = tar.extractfile(entry) if entry is not None and entry.isreg() else None
        if file is None:
            raise OSError("it is no regular file")
        return bytes(file.read(most))


class ChunkReader:
    """Reads a stream of chunks as a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = b""

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, fewer only at the end."""
        parts = [self._left]
        length = len(self._left)
        while length < size and (chunk := next(self._chunks, b"")):
            parts.append(chunk)
            length += len(chunk)
        data = b"".join(parts)
        self._left = data[size:]
        return data[:size]
