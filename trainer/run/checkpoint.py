"""Checkpoints: a plain model folder, the optimizer and the run's position; complete when the manifest is there."""

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...verifiers.errors import ConfigError
from ...verifiers.files import replace_text

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Position:
    """Where a run stands.

    Attributes:
        step: optimizer steps done.
        version: of the weights; never used again.
        admitted: admission index of the next group.
        facts: numbers that the summary needs (held-out accuracy at the start, seconds so far, …).
        mixture: where the tasks stand, as ``Mixture.state``; None before the first step.
    """

    step: int
    version: int
    admitted: int
    facts: dict[str, float]
    mixture: dict[str, Any] | None = None


def begin(folder: Path, position: Position) -> Path:
    """A folder for the checkpoint of ``position``, with nothing in it but that; what a crash left there is removed."""
    path = folder / _name(position.step)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    (path / "position.json").write_text(json.dumps(asdict(position)))  # at once: what it holds goes on changing
    return path


def complete(path: Path, keep: int) -> None:
    """Seal a checkpoint with its manifest, and keep only it and the newest sealed ones before it, ``keep`` in all.

    The one that did best on held-out tasks so far stays beyond that. Later ones are of a history that a resumed run did
    not go on with.
    """
    files = {
        str(file.relative_to(path)): {"bytes": file.stat().st_size, "blake2b": _digest(file)}
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }
    for name in files:
        _sync(path / name)
    replace_text(path / MANIFEST, json.dumps(files, indent=1))
    _sync(path)
    _sync(path.parent)
    there = sealed(path.parent)
    before = there[there.index(path) :]
    best = path.with_name(_name(int(position_of(path).facts.get("heldout_best_step", -1))))
    kept = [*before[:keep], *(other for other in before[keep:] if other == best)]
    for other in _newest_first(path.parent):
        if other not in kept:
            shutil.rmtree(other)


def sealed(folder: Path) -> list[Path]:
    """The complete checkpoints in ``folder``, the newest first."""
    return [path for path in _newest_first(folder) if (path / MANIFEST).exists()]


def latest(folder: Path) -> Path | None:
    """The newest complete and undamaged checkpoint in ``folder``."""
    return next((path for path in sealed(folder) if not damage(path)), None)


def damage(path: Path) -> str:
    """What is wrong with a sealed checkpoint, empty where nothing is."""
    try:
        files = {name: (facts["bytes"], facts["blake2b"]) for name, facts in _read(path / MANIFEST).items()}
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        return f"{path / MANIFEST} cannot be read: {error}"
    if "position.json" not in files:
        return f"{path / MANIFEST} does not name position.json"
    for name, (size, digest) in files.items():
        file = path / name
        if not file.exists() or file.stat().st_size != size:
            return f"{file} is missing or has another size"
        if _digest(file) != digest:
            return f"{file} has other content than the manifest says"
    return ""


def position_of(path: Path) -> Position:
    """The position that a checkpoint holds."""
    try:
        return Position(**_read(path / "position.json"))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path} is not a checkpoint of this version: {error}") from None


def _name(step: int) -> str:
    return f"step-{step:06d}"


def _newest_first(folder: Path) -> list[Path]:
    numbered = [path for path in folder.glob("step-*") if path.name.removeprefix("step-").isdigit()]
    return sorted(numbered, key=lambda path: int(path.name.removeprefix("step-")), reverse=True)


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
