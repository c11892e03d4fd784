"""Checkpoints: a Hugging Face model folder, the optimizer and the run's state; complete once the manifest exists."""

import hashlib
import json
import logging
import os
import re
import shutil
from pathlib import Path

from ....verifiers.errors import ConfigError, DataError
from ....verifiers.files import replace_text
from ....verifiers.rows.jsonl import read_json
from .run_state import FILE, RunState

log = logging.getLogger("lachesis")

MANIFEST = "manifest.json"

_NAME = re.compile(r"step-[0-9]+")


def begin(folder: Path, state: RunState) -> Path:
    """Make a folder for the checkpoint of ``state`` and write the state into it. Remains of a crash are removed."""
    path = folder / _name(state.step)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    state.write(path)  # now, because the objects in it go on changing
    return path


def complete(path: Path, keep: int) -> None:
    """Write the manifest that seals a checkpoint, and delete old checkpoints.

    This one, the newest sealed ones before it (``keep`` in all), and the best one on held-out tasks are kept. Later
    checkpoints are deleted: they belong to steps that a resumed run has replaced.
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
    newest_first = sealed(path.parent)
    up_to_here = newest_first[newest_first.index(path) :]
    best = path.with_name(_name(RunState.read(path).held_out.best_step))
    kept = [*up_to_here[:keep], *(other for other in up_to_here[keep:] if other == best)]
    for other in _newest_first(path.parent):
        if other not in kept:
            shutil.rmtree(other)


def sealed(folder: Path) -> list[Path]:
    """Return the complete checkpoints in ``folder``, the newest first."""
    return [path for path in _newest_first(folder) if (path / MANIFEST).exists()]


def latest(folder: Path) -> Path | None:
    """Return the newest complete and undamaged checkpoint in ``folder``, or None."""
    return next((path for path in sealed(folder) if not damage(path)), None)


def to_resume(folder: Path) -> Path | None:
    """Return the checkpoint that a resumed run goes on from; None if none was ever completed.

    Raises:
        ConfigError: there are complete checkpoints, and all are damaged or of another version.
    """
    newest, found = sealed(folder), latest(folder)
    for path in newest[: newest.index(found)] if found else ():
        log.warning("the run goes on from %s, because a newer checkpoint is damaged: %s", found, damage(path))
    if newest and found is None:
        raise ConfigError(
            f"no checkpoint in {folder} can be read: {damage(newest[0])}; restore one of them from a backup, or begin "
            "a new run"
        )
    return found


def damage(path: Path) -> str:
    """Say what is wrong with a sealed checkpoint; empty if nothing is."""
    try:
        entries = read_json(path / MANIFEST, "an earlier checkpoint may be whole")
        files = {name: (entry["bytes"], entry["blake2b"]) for name, entry in entries.items()}
    except DataError as error:
        return str(error)
    except (KeyError, TypeError) as error:
        return f"{path / MANIFEST} has an entry without size or digest ({type(error).__name__}: {error})"
    if FILE not in files:
        return f"{path / MANIFEST} does not name {FILE}"
    for name, (size, digest) in files.items():
        file = path / name
        try:
            if not file.is_file() or file.stat().st_size != size:
                return f"{file} is missing, no file, or has another size"
            if _digest(file) != digest:
                return f"{file} has other content than the manifest says"
        except OSError as error:
            return f"{file} cannot be read: {error.strerror}"
    return ""


def _name(step: int) -> str:
    return f"step-{step:06d}"


def _newest_first(folder: Path) -> list[Path]:
    numbered = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(numbered, key=lambda path: int(path.name.removeprefix("step-")), reverse=True)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
