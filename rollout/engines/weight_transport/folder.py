"""The transport through a folder of safetensors that trainer and engines share: slow, and it needs nothing else."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import xxhash
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ....verifiers.files import new_folder
from .buffer import as_bytes
from .layout import Layout
from .transport import Shipment

KEPT = 2
"""Versions that stay in the folder: an engine that was restarted may still be reading the one before the newest."""


class FolderSender:
    """Writes each version to a folder of its own, which gets its name when all is written.

    Args:
        folder: of all versions of the run; every machine of the run has to see it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, version: int, layout: Layout) -> None:
        """As in ``WeightSender``."""
        self._version, self._layout = version, layout
        self._tensors: dict[str, Tensor] = {}
        self._hash = xxhash.xxh3_128()

    def send(self, name: str, tensor: Tensor) -> None:
        """As in ``WeightSender``."""
        kept = tensor.detach().cpu().contiguous()
        self._hash.update(as_bytes(kept).numpy().data)
        self._tensors[name] = kept

    def finish(self) -> Shipment:
        """As in ``WeightSender``."""
        target = self._folder / f"version-{self._version:08d}"
        self._folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)  # an earlier run's
        with new_folder(target) as draft:
            save_file(self._tensors, draft / "model.safetensors", {"format": "pt", "version": str(self._version)})
        self._tensors = {}
        older = [path for path in self._folder.glob("version-????????") if path.name < target.name]
        for path in sorted(older)[: 1 - KEPT]:
            shutil.rmtree(path, ignore_errors=True)
        return Shipment(self._version, self._layout, self._hash.hexdigest(), FolderReceiver, target)


class FolderReceiver:
    """Reads the tensors one by one."""

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_128()

    def receive(self, shipment: Shipment) -> Iterator[tuple[str, Tensor]]:
        """As in ``WeightReceiver``."""
        with safe_open(shipment.payload / "model.safetensors", framework="pt") as file:
            for spec in shipment.layout:
                tensor = file.get_tensor(spec.name)
                self._hash.update(as_bytes(tensor).numpy().data)
                yield spec.name, tensor

    def finish(self) -> str:
        """As in ``WeightReceiver``."""
        return self._hash.hexdigest()
