"""The device that an engine computes on: chosen by the settings, and checked for what they ask of it."""

import torch

from ...verifiers.errors import ConfigError


def choose_device(wanted: str, gpus: float = 0) -> str:
    """``cuda`` or ``cpu`` for ``rollout.device``, in the engine's process.

    Args:
        wanted: ``cuda``, ``cpu``, or ``auto``, which is a GPU if torch sees one.
        gpus: ``rollout.gpus_per_engine``.

    Raises:
        ConfigError: a GPU is asked for, and torch sees none.
    """
    if torch.cuda.is_available():
        return "cpu" if wanted == "cpu" else "cuda"
    if wanted == "cuda" or gpus:
        asked = "rollout.device = 'cuda'" if wanted == "cuda" else f"rollout.gpus_per_engine = {gpus:g}"
        why = "is built without CUDA" if torch.version.cuda is None else "sees none; does `nvidia-smi` list one?"
        raise ConfigError(
            f"{asked} asks for a GPU, but torch {torch.__version__} {why}: install a CUDA build of torch, or set "
            "rollout.device = 'cpu' and rollout.gpus_per_engine = 0"
        )
    return "cpu"


def check_dtype(dtype: str, name: str, capability: tuple[int, int]) -> None:
    """Refuse bfloat16 on a GPU that does not have it.

    Args:
        dtype: ``model.dtype``.
        name: of the GPU.
        capability: its compute capability.

    Raises:
        ConfigError: it is below 8.0, where torch would only emulate bfloat16.
    """
    if dtype == "bfloat16" and capability < (8, 0):
        raise ConfigError(
            f"model.dtype = 'bfloat16' needs a GPU of compute capability 8.0, and {name} has "
            f"{capability[0]}.{capability[1]}; set model.dtype = 'float32', or use a newer GPU"
        )
