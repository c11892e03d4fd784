"""The state of a process that vLLM reads when it is imported, and that it changes when it starts."""

import contextlib
import os
from collections.abc import Iterator

import torch
import torch._dynamo.config


def set_environment(on_cpu: bool) -> None:
    """Set the variables that vLLM reads when it is imported; except for the first, values that are set already stay."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # the engine core is in this process
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # at its start it warns a dozen times of our choices
    if on_cpu:
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        # Else the sampler is compiled for 15 s, eager or not. The variable alone counts only before dynamo is imported.
        torch._dynamo.config.disable = os.environ.setdefault("TORCH_COMPILE_DISABLE", "1") == "1"


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
