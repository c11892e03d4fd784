"""The texts in the history of the Git repositories among some files, also of branches and stashes that are gone."""

import zlib
from collections.abc import Iterable, Iterator, Mapping

MOST_BYTES = 64 << 20
"""The most bytes to which the objects are unpacked."""
_PIECE = 1 << 14


def texts_in_history(files: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """(file, content) of every object: loose ones, and those of packs, where differences hold the new text."""
    left = MOST_BYTES
    for name, content in files.items():
        if "/.git/objects/" not in name:
            continue
        found = _packed(content) if name.endswith(".pack") else _loose(content)
        for text in found:
            left -= len(text)
            if left < 0:
                return
            yield name, text


def places_of(sought: Mapping[str, bytes], places: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, str]]:
    """(name, place) for the first place that contains each text."""
    left = dict(sought)
    for place, content in places:
        for name in [name for name, text in left.items() if text in content]:
            del left[name]
            yield name, place


def _loose(content: bytes) -> Iterator[bytes]:
    try:
        yield zlib.decompressobj().decompress(content, MOST_BYTES)
    except zlib.error:
        return


def _packed(content: bytes) -> Iterator[bytes]:
    """The objects of a pack; see ``gitformat-pack`` in Git's documentation."""
    if content[:4] != b"PACK":
        return
    at = 12
    try:
        while at < len(content) - 20:
            kind = content[at] >> 4 & 7
            while content[at] & 0x80:
                at += 1
            at += 1
            if kind == 6:  # a difference from the object at an offset
                while content[at] & 0x80:
                    at += 1
                at += 1
            elif kind == 7:  # a difference from a named object
                at += 20
            text, at = _unpacked(content, at)
            yield text
    except (zlib.error, IndexError):
        return


def _unpacked(content: bytes, at: int) -> tuple[bytes, int]:
    """The text of the compressed stream that begins at ``at``, and where it ends; read in pieces, as others follow."""
    stream, parts, size = zlib.decompressobj(), [], 0
    while not stream.eof:
        piece = content[at : at + _PIECE]
        if not piece or size > MOST_BYTES:
            raise zlib.error("it does not end")
        parts.append(stream.decompress(piece, MOST_BYTES))
        size += len(parts[-1])
        at += len(piece)
    return b"".join(parts), at - len(stream.unused_data)
