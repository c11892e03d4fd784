"""The state of a process that vLLM reads when it is imported, and that it changes when it starts."""

import contextlib
import importlib.util
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch._dynamo.config

log = logging.getLogger("lachesis")


def set_environment(on_cpu: bool) -> None:
    """Set the variables that vLLM reads when it is imported; except for the first, values that are set already stay."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # the engine core is in this process
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # at its start it warns a dozen times of our choices
    if on_cpu:
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        # Else the sampler is compiled for 15 s, eager or not. The variable alone counts only before dynamo is imported.
        torch._dynamo.config.disable = os.environ.setdefault("TORCH_COMPILE_DISABLE", "1") == "1"
        return
    # What the first start compiles is kept for later ones in one folder, also what torch and Triton keep elsewhere.
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = Path(os.environ.setdefault("VLLM_CACHE_ROOT", str(caches / "vllm")))
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(root / "inductor"))
    os.environ.setdefault("TRITON_CACHE_DIR", str(root / "triton"))
    if importlib.util.find_spec("flashinfer") is None:
        os.environ.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")


def end_with_workers(executor: Any) -> None:
    """Let this process end when a process of vLLM's own dies: the engine could answer nothing any more.

    Whoever started this process then starts it again. Without this, the engine would fail every request for ever.
    """
    executor.register_failure_callback(_end)


def _end() -> None:
    log.warning("a worker process of vLLM died, so the process of the engine ends, and is started again")
    os._exit(1)


STAGES = {
    "Starting to load model": "vLLM loads the weights",
    "Loading model from scratch": "vLLM loads the weights",  # from the second of vLLM's model runners, which GPUs take
    "Model loading took": "vLLM compiles the model; it keeps the result in VLLM_CACHE_ROOT (~/.cache/vllm)",
    "torch.compile took": "vLLM measures the memory that it needs",
    "GPU KV cache size": "vLLM warms up, and captures CUDA graphs",
}
"""What vLLM logs when a stage of its start begins, and what users are told then."""


class StageHandler(logging.Handler):
    """Tells users which stage vLLM's start has come to, as a record of the logger ``lachesis``."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the stage that ``record`` begins, if it begins one."""
        for beginning, stage in STAGES.items():
            if str(record.msg).startswith(beginning):
                logging.getLogger("lachesis").warning("%s", stage)  # the level that a run shows


@contextlib.contextmanager
def stages_shown() -> Iterator[None]:
    """Show the stages of vLLM's start on a GPU, which may take minutes; on a CPU it takes seconds."""
    logger = logging.getLogger("vllm")
    if not torch.cuda.is_available():
        yield
        return
    level, handler, others = logger.level, StageHandler(logging.INFO), list(logger.handlers)

    def as_before(record: logging.LogRecord) -> bool:
        """Whether another handler would have been given the record."""
        return record.levelno >= level or not record.name.startswith("vllm")

    for other in others:
        other.addFilter(as_before)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        for other in others:
            other.removeFilter(as_before)


@contextlib.contextmanager
def process_kept() -> Iterator[None]:
    """Undo the changes that vLLM's start on a CPU makes in the process: preloaded libraries, torch's thread setter."""
    preload, set_num_threads = os.environ.get("LD_PRELOAD"), torch.set_num_threads
    try:
        yield
    finally:
        torch.set_num_threads = set_num_threads
        if preload is None:
            os.environ.pop("LD_PRELOAD", None)
        else:
            os.environ["LD_PRELOAD"] = preload
