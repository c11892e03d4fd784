"""Files that survive a crash: writes replace the whole file, and reads ignore an incomplete last line."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Replace the content of ``path`` atomically: it holds the old or the new text, and is on disk on return.

    A symlink stays one, and its target is replaced; an existing file keeps its mode. A device or a pipe cannot be
    replaced and is written to.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        target.write_text(text, encoding="utf-8")
        return
    draft = target.with_name(target.name + ".draft")
    with draft.open("w", encoding="utf-8") as file:
        if target.exists():
            os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(target)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder that becomes ``path`` when the block ends without an error; a crash leaves no half of it."""
    draft = path.with_name(path.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    yield draft
    draft.rename(path)


def whole_lines(path: Path, offset: int = 0) -> tuple[list[bytes], int]:
    """The complete lines of ``path`` from byte ``offset`` on, without line ends, and the offset after the last one.

    A last line without a line end is left out: a crash cut it off, or its writer has not finished it.
    """
    with path.open("rb") as file:
        file.seek(offset)
        complete, end, _ = file.read().rpartition(b"\n")
    return (complete.split(b"\n") if end else []), offset + len(complete) + len(end)


def cut_torn_line(path: Path) -> None:
    """Remove an incomplete last line, which a crash left, so that the file can be appended to."""
    _, end = whole_lines(path)
    if end < path.stat().st_size:
        os.truncate(path, end)
