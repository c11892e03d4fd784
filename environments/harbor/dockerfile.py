"""The part of a Dockerfile that a sandbox without containers can follow: a working folder, copied files, variables."""

import fnmatch
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ...verifiers.errors import DataError

_IGNORED = frozenset({"FROM", "LABEL", "CMD", "ENTRYPOINT", "EXPOSE", "USER", "SHELL", "STOPSIGNAL", "HEALTHCHECK"})
"""Instructions without effect on files and variables. ``FROM`` names programs that the sandbox has to have itself."""
_CONTINUED = re.compile(r"\\[ \t]*\n")
MOST_BYTES = 8 << 20
"""The most bytes of all files of a task's environment."""


@dataclass
class Prepared:
    """What an image would hold.

    Attributes:
        folder: the working folder.
        files: absolute path → content.
        variables: environment variables.
        left_out: the ``RUN`` instructions, which were not carried out.
    """

    folder: str = "/app"
    files: dict[str, bytes] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def read_dockerfile(context: Path) -> Prepared:
    """What the Dockerfile in the folder ``context`` prepares; an empty image if there is none.

    Raises:
        DataError: an instruction cannot be followed, or the files are too large.
    """
    prepared = Prepared()
    path = context / "Dockerfile"
    if not path.is_file():
        return prepared
    for instruction, rest in _instructions(path):
        match instruction:
            case "WORKDIR":
                prepared.folder = str(PurePosixPath(prepared.folder) / rest)
            case "COPY" | "ADD":
                _copy(context, rest, prepared)
            case "ENV":
                prepared.variables |= _variables(rest)
            case "RUN":
                prepared.left_out.append(rest)
            case _ if instruction not in _IGNORED:
                raise DataError(f"{path}: the instruction {instruction} cannot be followed without Docker")
    return prepared


def files_below(folder: Path, target: str) -> dict[str, bytes]:
    """Absolute path below ``target`` → content of every file in ``folder``; links are left out.

    Raises:
        DataError: the files are too large.
    """
    found: dict[str, bytes] = {}
    size = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        size += len(content)
        if size > MOST_BYTES:
            raise DataError(
                f"{folder} has more than {MOST_BYTES >> 20} MiB; put large files into an image (docker = true)"
            )
        found[str(PurePosixPath(target) / path.relative_to(folder).as_posix())] = content
    return found


def _instructions(path: Path) -> Iterator[tuple[str, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8") from None
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in _CONTINUED.sub(" ", lines).splitlines():
        if line.strip():
            instruction, _, rest = line.strip().partition(" ")
            yield instruction.upper(), rest.strip()


def _copy(context: Path, rest: str, prepared: Prepared) -> None:
    """Follow one COPY or ADD of files of the context."""
    words = _words(rest)
    if any(word.startswith("--from") for word in words):
        raise DataError(f"{context}/Dockerfile: COPY {rest}: copying from another image needs Docker")
    *sources, target = [word for word in words if not word.startswith("--")] or [""]
    if not sources:
        raise DataError(f"{context}/Dockerfile: COPY {rest}: a source and a target are needed")
    place = str(PurePosixPath(prepared.folder) / target)
    for source in sources:
        pattern = source.lstrip("/") or "."
        if ".." in PurePosixPath(pattern).parts:
            raise DataError(f"{context}/Dockerfile: COPY {rest}: a source must be in the folder of the Dockerfile")
        found = [context / pattern] if (context / pattern).exists() else _matching(context, pattern)
        if not found:
            raise DataError(f"{context}/Dockerfile: COPY {rest}: there is no {source!r}")
        for path in found:
            if path.is_dir():
                prepared.files |= files_below(path, place)
            else:
                inside = target.endswith("/") or target in (".", "./") or len(sources) + len(found) > 2
                prepared.files[str(PurePosixPath(place) / path.name) if inside else place] = path.read_bytes()


def _matching(context: Path, pattern: str) -> list[Path]:
    return [path for path in sorted(context.iterdir()) if fnmatch.fnmatchcase(path.name, pattern)]


def _variables(rest: str) -> dict[str, str]:
    words = _words(rest)
    if all("=" in word for word in words):
        return dict(word.split("=", 1) for word in words)
    name, _, value = rest.partition(" ")
    return {name: value.strip()}


def _words(rest: str) -> list[str]:
    try:
        return shlex.split(rest.strip("[]").replace(",", " ") if rest.startswith("[") else rest)
    except ValueError as error:
        raise DataError(f"a line of the Dockerfile cannot be read ({error}): {rest:.80}") from None
