"""The device of a learner: which one it is, whether code can be compiled for it, and whether its memory is enough."""

import functools
import math
import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch

from ...verifiers.errors import ConfigError, InfrastructureError
from ..config import TrainerConfig

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

TRAINED = 16
"""Bytes of a trained parameter: its value, gradient and two moments in float32."""
FROZEN = 4
"""Bytes of a parameter of the reference policy."""


def choose_device(config: TrainerConfig, dtype: torch.dtype) -> torch.device:
    """The device for ``trainer.device``; ``auto`` is a GPU if there is one.

    Raises:
        ConfigError: there is no such GPU, it cannot compute in ``dtype``, or several ranks would share it.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    name = config.device if config.device != "auto" else "cuda" if count else "cpu"
    device = torch.device(name)
    if device.type == "cpu":
        return device
    if (device.index or 0) >= count:
        built = "" if torch.version.cuda else f" (torch {torch.__version__} is built without CUDA)"
        found = f"{count} GPUs" if count else f"no GPU{built}"
        raise ConfigError(f'trainer.device = "{name}", but torch finds {found} here; set trainer.device = "auto"')
    if config.ranks > 1 and config.gpus_per_rank <= 0.5:  # more than half of a GPU is not given out twice
        raise ConfigError(
            f"trainer.ranks = {config.ranks} would share one GPU, because trainer.gpus_per_rank = "
            f'{config.gpus_per_rank:g}; set it to 1, or trainer.device = "cpu"'
        )
    if dtype == torch.bfloat16 and torch.cuda.get_device_capability(device)[0] < 8:
        card = torch.cuda.get_device_name(device)
        raise ConfigError(f'{card} does not compute in bfloat16; set model.dtype = "float32"')
    return device


def check_memory(parameters: int, dtype: torch.dtype, config: TrainerConfig, reference: bool, free: int) -> None:
    """Check that weights, gradients and moments fit into ``free`` bytes on each rank; activations come on top.

    Args:
        parameters: number of the model's parameters.
        dtype: the dtype of frozen weights beside adapters.
        config: settings of the trainer.
        reference: whether there is a reference policy as well.
        free: free bytes on one rank's device.

    Raises:
        ConfigError: they do not fit. The message says what would.
    """
    adapted = dtype.itemsize + FROZEN * reference
    full = TRAINED + FROZEN * reference
    each = adapted if config.lora.rank else full
    needed, room = parameters * each, free * config.ranks
    if needed <= room:
        return
    cures = [f"trainer.ranks = {math.ceil(needed / free)} on as many GPUs"] if free else []
    if not config.lora.rank and parameters * adapted <= room:
        cures.append("trainer.lora.rank = 32")
    cures.append(f"a model of at most {room / each / 1e9:.2g} billion parameters")
    raise ConfigError(
        f"training {parameters / 1e9:.2g} billion parameters takes {needed / config.ranks / 2**30:.1f} GiB on each GPU "
        f"({each} bytes a parameter, without activations), and {free / 2**30:.1f} GiB are free; "
        f"what fits is {', or '.join(cures)}"
    )


def memory_told(step: Callable[Concatenate[Any, Arguments], Result]) -> Callable[Concatenate[Any, Arguments], Result]:
    """Let a method of a learner, whose ``config`` is a ``TrainerConfig``, say what to change if a GPU's memory is full.

    Raises:
        InfrastructureError: torch raised ``OutOfMemoryError``.
    """

    @functools.wraps(step)
    def told(learner: Any, /, *arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        try:
            return step(learner, *arguments, **named)
        except torch.OutOfMemoryError as error:
            config: TrainerConfig = learner.config
            half = config.micro_tokens // 2
            cures = [f"set trainer.micro_tokens = {half}, which halves the activations"] if half else []
            cures += ["set trainer.gradient_checkpointing = true"] * (not config.gradient_checkpointing)
            cures += ["train adapters (trainer.lora.rank = 32)"] * (not config.lora.rank)
            raise InfrastructureError(
                f"the memory of {learner.device} is full with trainer.micro_tokens = {config.micro_tokens} "
                f"({str(error).partition('. ')[0]:.160}); {', or '.join(cures) or 'take a smaller model'}"
            ) from error

    return told


def check_compiler(device: torch.device, setting: str) -> None:
    """Check that ``torch.compile`` finds what it needs, which would fail only in the first step.

    Args:
        device: the device that code is compiled for.
        setting: the setting that needs it.

    Raises:
        ConfigError: a compiler is missing.
    """
    if device.type == "cuda" and find_spec("triton") is None:
        raise ConfigError(f"{setting} needs Triton, which is not installed: pip install triton")
    names = [os.environ.get("CC", ""), "gcc", "cc", "clang"]
    if device.type == "cpu":
        names = [os.environ.get("CXX", ""), "g++", "clang++"]
    if not any(shutil.which(name) for name in names if name):
        raise ConfigError(f"{setting} needs a compiler, and none of {', '.join(filter(None, names))} is on the PATH")
