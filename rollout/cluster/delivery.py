"""Files of the machine of a run, which its actors on other nodes fetch by content and keep in a cache."""

import fcntl
import hashlib
import logging
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ...verifiers.errors import ConfigError, InfrastructureError, LachesisError
from ...verifiers.files import new_folder
from ..config import ModelConfig
from .leftovers import clean, sign

log = logging.getLogger(__name__)

LIBRARY = "lachesis-library"
"""The name of the actor that gives out files; names belong to one job."""
CHUNK = 32 * 2**20
"""Bytes that travel in one answer."""
PATIENCE = 600.0
"""Seconds that an answer may take; a large model is read once to compute its digest."""


@dataclass(frozen=True)
class File:
    """One file: its path below the folder, bytes, and the digest of its content."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True)
class Manifest:
    """The files of a folder, and a digest of all their names and contents."""

    root: str
    files: tuple[File, ...]
    digest: str


def manifest_of(root: Path, names: Sequence[str]) -> Manifest:
    """Read the files ``names`` below ``root``."""
    files = tuple(File(name, (root / name).stat().st_size, _digest(root / name)) for name in sorted(names))
    whole = hashlib.blake2b(repr([(file.name, file.digest) for file in files]).encode(), digest_size=20)
    return Manifest(str(root), files, whole.hexdigest())


def files_of_model(folder: Path) -> list[str]:
    """The names of the files of a model; folders in it, such as the state of a checkpoint, do not belong to it."""
    return [entry.name for entry in folder.iterdir() if entry.is_file()]


def files_below(root: Path, paths: Sequence[str]) -> list[str]:
    """The names of all files that ``paths`` are or hold, relative to ``root``.

    Raises:
        ConfigError: there is no such file or folder.
    """
    names = set()
    for path in paths:
        start = root / path
        if not start.exists():
            raise ConfigError(f"cluster.files: there is no {path} in {root}; check the path")
        if start.is_file():
            names.add(os.path.relpath(start, root))
        for folder, _, found in os.walk(start):
            if "__pycache__" not in folder:
                names |= {os.path.relpath(os.path.join(folder, name), root) for name in found}
    return sorted(name for name in names if (root / name).is_file())


class Library:
    """The actor on the machine of the run that gives out its files.

    Args:
        paths: ``cluster.files``.
        root: the working directory of the run.
    """

    def __init__(self, paths: Sequence[str], root: str) -> None:
        self._paths, self._root = paths, Path(root)
        self._known: dict[str, Manifest] = {}

    def node(self) -> str:
        """The id of its node."""
        return this_node()

    def root(self) -> str:
        """The working directory of the run; empty if no files are sent."""
        return str(self._root) if self._paths else ""

    def files(self) -> Manifest:
        """The files of ``cluster.files``."""
        if "" not in self._known:
            self._known[""] = manifest_of(self._root, files_below(self._root, self._paths))
        return self._known[""]

    def model(self, path: str) -> Manifest | None:
        """The files of a model; None if ``path`` is no folder here."""
        folder = self._root / path
        if not folder.is_dir():
            return None
        if path not in self._known:
            self._known[path] = manifest_of(folder, files_of_model(folder))
        return self._known[path]

    def read(self, root: str, name: str, offset: int) -> bytes:
        """A part of a file."""
        with (Path(root) / name).open("rb") as file:
            file.seek(offset)
            return file.read(CHUNK)


def open_library(paths: Sequence[str]) -> Any:
    """Start the library of this job on this machine; it lives as long as the handle that is returned.

    Raises:
        ConfigError: a file is missing here.
    """
    files_below(Path.cwd(), paths)
    here = NodeAffinitySchedulingStrategy(this_node(), soft=False)
    actor: Any = ray.remote(Library)
    return actor.options(name=LIBRARY, num_cpus=0, scheduling_strategy=here).remote(list(paths), os.getcwd())


def model_here(model: ModelConfig) -> ModelConfig:
    """The model with a path that is good on this node.

    A folder that only the machine of the run has is fetched from there into the cache. Without a library, which runs
    on one machine do not have, the path stays as it is.

    Raises:
        InfrastructureError: the files cannot be fetched; the message names the node.
    """
    library = _library()
    if library is None or _ask(library.node) == this_node():
        return model
    manifest: Manifest | None = _ask(library.model, model.path)
    if manifest is None:  # a name on the Hub
        return model
    local = Path(model.path)
    if local.is_dir() and _same(local, manifest):
        return model
    return model.model_copy(update={"path": str(_fetched(library, manifest))})


def settle() -> None:
    """Prepare the process of an actor on a node of a cluster; on one machine, where the run itself does it, do nothing.

    What dead actors have left on this node is removed. What this one starts gets its mark, since the driver cannot be
    seen from here. If ``cluster.files`` are sent, the process goes to their folder, and imports from there.

    Raises:
        InfrastructureError: the files cannot be fetched; the message names the node.
    """
    library = _library()
    if library is None:
        return
    if found := clean():
        log.warning("removed what a killed run had left behind on %s: %s", node_name(), ", ".join(found))
    sign()
    root = _ask(library.root)
    if not root:
        return
    folder = root if _ask(library.node) == this_node() else str(_fetched(library, _ask(library.files)))
    os.chdir(folder)
    sys.path.insert(0, folder)


@contextmanager
def named_node() -> Iterator[None]:
    """Begin the message of errors with the node, if the run has joined a cluster."""
    try:
        yield
    except LachesisError as error:
        if _library() is not None:
            error.args = (f"on {node_name()}: {error}", *error.args[1:])
        raise


def node_name() -> str:
    """This node, as messages call it: host name and address."""
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return f"node {socket.gethostname()} ({address})"


def this_node() -> str:
    """Ray's id of this node."""
    node: str = ray.get_runtime_context().get_node_id()
    return node


def cache_folder() -> Path:
    """Where files that were fetched are kept, in a folder for each content; it may be removed while no run uses it."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "lachesis" / "sent"


def _library() -> Any:
    if not ray.is_initialized():
        return None
    with suppress(ValueError):  # there is no actor of that name
        return ray.get_actor(LIBRARY)
    return None


def _ask(method: Any, *arguments: Any) -> Any:
    try:
        return ray.get(method.remote(*arguments), timeout=PATIENCE)
    except RayTaskError as error:
        reason = error.cause or error
    except RayError as error:
        reason = error
    text = " ".join(str(reason).split())
    raise InfrastructureError(f"{node_name()} cannot read files of the machine of the run: {text:.200}") from None


def _fetched(library: Any, manifest: Manifest) -> Path:
    """The folder in the cache with the files of ``manifest``; actors of one node fetch them once."""
    cache = cache_folder()
    folder, size = cache / manifest.digest, sum(file.size for file in manifest.files)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{manifest.digest}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _complete(folder, manifest):
                return folder
            shutil.rmtree(folder, ignore_errors=True)
            if (free := shutil.disk_usage(cache).free) < size:
                raise OSError(f"{size / 1e9:.3g} GB are needed and {free / 1e9:.3g} GB are free")
            with new_folder(folder) as draft:
                for file in manifest.files:
                    _fetch(library, manifest.root, file, draft / file.name)
    except OSError as error:
        raise InfrastructureError(
            f"{node_name()} cannot keep the files of {manifest.root}, which are sent to it, in {cache}: "
            f"{error.strerror or error}; make room there, or set XDG_CACHE_HOME"
        ) from None
    return folder


def _fetch(library: Any, root: str, file: File, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as written:
        while written.tell() < file.size:
            part: bytes = _ask(library.read, root, file.name, written.tell())
            if not part:
                break
            written.write(part)
    if _digest(target) != file.digest:
        raise InfrastructureError(
            f"{node_name()} was sent {root}/{file.name} with other content than at the start of the run; leave the "
            "file as it is while the run goes on"
        )


def _complete(folder: Path, manifest: Manifest) -> bool:
    """Whether a folder of this node holds all files in the right sizes."""
    found = [(folder / file.name, file.size) for file in manifest.files]
    return folder.is_dir() and all(path.is_file() and path.stat().st_size == size for path, size in found)


def _same(folder: Path, manifest: Manifest) -> bool:
    """Whether a folder of this node holds the same files; sizes are compared first."""
    return _complete(folder, manifest) and all(_digest(folder / file.name) == file.digest for file in manifest.files)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
