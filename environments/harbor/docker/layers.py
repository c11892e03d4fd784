"""The texts in an image: the files of all its layers, also those that later layers hide, and how it was built."""

import tarfile
from collections.abc import Iterator
from typing import Any

from ..history import texts_in_history
from .archive import ChunkReader

MOST_BYTES = 256 << 20
"""The most bytes of one file that are read; the rest of it is left out."""


def texts_in_image(api: Any, image: str) -> Iterator[tuple[str, bytes]]:
    """(place, content) of every file in every layer, of Git objects in them, and of the image's own description."""
    with tarfile.open(fileobj=ChunkReader(api.get_image(image)), mode="r|") as saved:  # type: ignore[call-overload]
        for entry in saved:
            file = saved.extractfile(entry) if entry.isreg() else None
            if file is None:
                continue
            start = file.read(1)
            if start in (b"{", b"["):
                yield "the history of the image", _unescaped(start + file.read(MOST_BYTES))
            else:
                yield from _layer(_Again(start, file))


class _Again:
    """A file whose first bytes were read, from its beginning."""

    def __init__(self, start: bytes, file: Any) -> None:
        self._start, self._file = start, file

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes."""
        start, self._start = self._start[:size], self._start[size:]
        return start + bytes(self._file.read(size - len(start)))


def _layer(file: Any) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(fileobj=file, mode="r|*") as layer:
            for entry in layer:
                inner = layer.extractfile(entry) if entry.isreg() else None
                if inner is None:
                    continue
                name, content = f"/{entry.name}", inner.read(MOST_BYTES)
                yield f"a layer of the image, as {name}", content
                for _, text in texts_in_history({name: content}):
                    yield f"a layer of the image, in the history of {name}", text
    except tarfile.ReadError:  # it is no layer
        return


def _unescaped(content: bytes) -> bytes:
    """The description with its texts as they were written, besides the JSON itself."""
    return content + b"\n" + content.replace(b"\\n", b"\n").replace(b'\\"', b'"').replace(b"\\t", b"\t")
