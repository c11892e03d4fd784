"""Files that survive a crash: replaced in one piece, and read without a last line that was cut off."""

import os
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Write ``text`` so that ``path`` holds either the old content or the new, never half; on disk when it returns."""
    draft = path.with_name(path.name + ".draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def whole_lines(path: Path, offset: int = 0) -> tuple[list[bytes], int]:
    """The complete lines of ``path`` from byte ``offset`` on, without their ends, and the offset behind the last.

    A last line without an end, which a crash cut off or a writer has not finished, is left out.
    """
    with path.open("rb") as file:
        file.seek(offset)
        complete, end, _ = file.read().rpartition(b"\n")
    return (complete.split(b"\n") if end else []), offset + len(complete) + len(end)


def cut_torn_line(path: Path) -> None:
    """Remove a last line that a crash cut off, so that the file can be appended to."""
    _, end = whole_lines(path)
    if end < path.stat().st_size:
        os.truncate(path, end)
