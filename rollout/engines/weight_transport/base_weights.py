"""The weights of a model's folder, to which adapters are added; they are read again at each update, and never kept."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import PreTrainedModel

from ....verifiers.errors import EngineError
from ...models.weight_files import WeightFiles
from .adapters import adapted_names, check_adapters, merged, pairs
from .buffer import as_bytes
from .layout import Layout
from .transport import Shipment

NO_BASE = (
    "adapters arrived, and this engine cannot add them to the weights of the model's folder; send all weights, as is "
    "right for an engine whose info() does not have adapters=True"
)


class BaseWeights:
    """The base weights of a model whose adapters arrive.

    The operating system keeps the files in its memory as far as there is room. So neither the engine nor each of its
    processes needs a second copy of the weights, and a restarted engine lacks nothing that adapters need.

    Args:
        files: of the model's folder.
        dtype: the type in which the trainer holds them.
    """

    def __init__(self, files: WeightFiles, dtype: torch.dtype) -> None:
        self._files, self._dtype = files.files, dtype
        self._digests: dict[tuple[Any, ...], str] = {}  # at most one
        self._adapted: list[str] = []

    @classmethod
    def of(cls, path: str, model: PreTrainedModel, dtype: torch.dtype) -> "BaseWeights | None":
        """Those of folder or Hub id ``path``; None if its files do not hold the tensors of ``model`` as they are."""
        try:
            files = WeightFiles.of(path)
            return None if files.difference(model, dtype) else cls(files, dtype)
        except (OSError, ValueError, KeyError, SafetensorError):  # the folder is gone, or its files cannot be read
            return None

    def check(self, shipment: Shipment, own: Layout) -> None:
        """Raise ``EngineError`` unless the adapters of ``shipment`` belong to these weights.

        They also have to be of the same layers each time, as otherwise a layer would keep the adapters that it has.

        Args:
            shipment: of adapters.
            own: the layout of the engine's model.
        """
        assert shipment.adapters is not None
        check_adapters(shipment.layout, own)
        names = adapted_names(shipment.layout)
        if self._adapted and names != self._adapted:
            raise EngineError(
                f"the adapters of weights version {shipment.version} are of {len(names)} layers, and this engine has "
                f"adapters of {len(self._adapted)} others; start a new engine for them"
            )
        if (found := self.digest(names)) != shipment.adapters.base:
            raise EngineError(
                f"the adapters of weights version {shipment.version} belong to other base weights than those in "
                f"{self._folder} (digest {shipment.adapters.base}, found {found}); give the trainer and all engines "
                "the same files, and leave these as they are during a run"
            )
        self._adapted = names

    def digest(self, names: Sequence[str]) -> str:
        """The digest of these tensors; it is computed again if a file has changed."""
        with self._opened() as opened:
            key = (*names, *map(_state, sorted({self._files[name] for name in names})))
            if key not in self._digests:
                self._digests = {key: digest_of((name, opened[name].to(self._dtype)) for name in names)}
            return self._digests[key]

    def merged(
        self, shipment: Shipment, tensors: Iterator[tuple[str, Tensor]], beside: bool = False
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield each weight that has adapters, with these added, on the device on which they arrive.

        Args:
            shipment: of adapters.
            tensors: the tensors that its receiver yields.
            beside: whether to yield the other tensors of the same block too, for engines that fuse them with these.
        """
        assert shipment.adapters is not None
        adapted = set(adapted_names(shipment.layout))
        left = [name for name in self._files if name not in adapted] if beside else []
        with self._opened() as opened:
            for name, first, second in pairs(tensors):
                block = block_of(name)
                for other in [other for other in left if other.startswith(block)]:
                    left.remove(other)
                    yield other, opened[other].to(self._dtype)
                base = opened[name].to(first.device, self._dtype)
                yield name, merged(base, first, second, shipment.adapters.scale)

    def _opened(self) -> "_Opened":
        try:
            return _Opened(self._files)
        except (OSError, SafetensorError) as error:
            raise EngineError(
                f"the base weights in {self._folder} cannot be read any more ({error}), and adapters need them; leave "
                "the model's folder as it is during a run"
            ) from error

    @property
    def _folder(self) -> Path:
        return next(iter(self._files.values())).parent


class _Opened(ExitStack):
    """Tensors of safetensors files by name, mapped into memory until the end of the context."""

    def __init__(self, files: dict[str, Path]) -> None:
        super().__init__()
        self._places = files
        self._open = {file: self.enter_context(safe_open(file, "pt")) for file in set(files.values())}

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._open[self._places[name]].get_tensor(name)
        return tensor


def digest_of(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """A digest of named tensors: XXH3, 128 bits, over the name and the bytes of each."""
    found = xxhash.xxh3_128()
    for name, tensor in tensors:
        found.update(name.encode())
        found.update(as_bytes(tensor.cpu()).numpy().data)
    return found.hexdigest()


def block_of(name: str) -> str:
    """The beginning of the names of all tensors that an engine may fuse with tensor ``name``.

    These are in the module above the one that holds it: ``model.layers.0.self_attn.q_proj.weight`` is fused with
    tensors of ``model.layers.0.self_attn``.
    """
    module = name.rpartition(".")[0]
    return (module.rpartition(".")[0] or module) + "."


def _state(file: Path) -> tuple[str, int, int, int]:
    """What changes if somebody writes or replaces the file."""
    found = file.stat()
    return str(file), found.st_ino, found.st_size, found.st_mtime_ns
