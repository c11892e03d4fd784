"""The state of model and optimizer for resuming, in a format (DCP) that any number of ranks can read."""

import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save

from ...verifiers.errors import ConfigError, DataError

FOLDER = "state"
"""Name of the folder in a checkpoint."""
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""Names of AdamW's state of a parameter."""


warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)  # it is not needed for one rank


class StateFile:
    """Saves and loads the trained parameters of a model and their moments; training goes on while it saves.

    Args:
        model: the model whose trainable parameters are saved, by name.
        optimizer: AdamW over these parameters.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self._optimizer = optimizer
        self._group = dist.new_group(backend="gloo") if dist.is_initialized() else None  # apart from the training's

    def save(self, folder: Path) -> "Future[Any]":
        """Begin to write the current state into ``folder``. All ranks must call this at the same time."""
        alone = self._group is None
        writing = async_save(self._state(), checkpoint_id=folder / FOLDER, process_group=self._group, no_dist=alone)
        return cast("Future[Any]", writing)

    def load(self, folder: Path) -> None:
        """Load what ``save`` wrote on any number of ranks. The learning rate stays that of the optimizer.

        Raises:
            ConfigError: The state belongs to another model, or to other LoRA settings.
        """
        path = folder / FOLDER
        saved = FileSystemReader(path).read_metadata().state_dict_metadata
        shapes = {name: tuple(getattr(entry, "size", ())) for name, entry in saved.items()}
        for name, parameter in self._named.items():
            if shapes.get(f"weights/{name}") != tuple(parameter.shape):
                found = shapes.get(f"weights/{name}", "nothing")
                raise ConfigError(
                    f"{path} is of another model: {name} has shape {tuple(parameter.shape)} here, but {found} there; "
                    "resume with the model and the trainer.lora that it was saved with"
                )
        self._optimizer.state.clear()
        for name, parameter in self._named.items():
            if f"exp_avg/{name}" in saved:
                zeros = {"step": torch.tensor(0.0), "exp_avg": torch.zeros_like(parameter)}
                self._optimizer.state[parameter] = {**zeros, "exp_avg_sq": torch.zeros_like(parameter)}
        load(self._state(), checkpoint_id=path, process_group=self._group, no_dist=self._group is None)

    def _state(self) -> dict[str, Tensor]:
        return dict(self._tensors())

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self._named.items():
            yield f"weights/{name}", parameter.detach()
            for moment in MOMENTS:
                if moment in self._optimizer.state.get(parameter, {}):
                    yield f"{moment}/{name}", self._optimizer.state[parameter][moment]


def read_state(folder: Path) -> dict[str, Tensor]:
    """Return the tensors that ``StateFile.save`` wrote into ``folder``, on the CPU, without a model.

    Raises:
        DataError: They cannot be read.
    """
    path = folder / FOLDER
    try:
        saved = FileSystemReader(path).read_metadata().state_dict_metadata
        state = {
            name: torch.empty(entry.size, dtype=entry.properties.dtype)
            for name, entry in saved.items()
            if isinstance(entry, TensorStorageMetadata)
        }
        load(state, checkpoint_id=path, no_dist=True)
    except (OSError, CheckpointException) as error:
        raise DataError(f"{path} cannot be read ({error!r:.200}); restore it from a backup") from None
    return state
