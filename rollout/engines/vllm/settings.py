"""The settings of vLLM that make its tokens exact, and what a build of vLLM must be able to do."""

from collections.abc import Sequence
from typing import Any

from ....verifiers.errors import ConfigError, EngineError
from ..engine import Sampling

EXACT: dict[str, Any] = {
    "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
    "generation_config": "vllm",  # the folder's own sampling defaults and stop ids stay out
    "logprobs_mode": "processed_logprobs",  # of the distribution that was drawn from
    "disable_log_stats": True,
    "use_tqdm_on_load": False,
}

# On a CPU each prompt is computed whole and alone. Its bits then do not depend on other requests, and vLLM 0.29 cannot
# split the prompt of a seeded request there (it would rewind the generator, which CPU generators refuse).
WHOLE_PROMPTS = {"enforce_eager": True, "enable_prefix_caching": False, "enable_chunked_prefill": False}


def sampling_arguments(sampling: Sampling) -> dict[str, Any]:
    """The arguments of vLLM's ``SamplingParams`` for ``sampling``, without the schema.

    Raises:
        EngineError: vLLM cannot sample so.
    """
    if sampling.temperature and not 0.01 <= sampling.temperature <= 2:
        raise EngineError(f"vLLM samples at temperature 0 or 0.01 to 2, not at {sampling.temperature}")
    if sampling.schema and sampling.temperature not in (0, 1):
        raise EngineError(
            f"vLLM computes logprobs at temperature 1 only, so a reply with a schema is sampled at 0 or 1, not at "
            f"{sampling.temperature}; use the torch engine"
        )
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "max_tokens": sampling.max_tokens,
        "stop_token_ids": list(sampling.stop_ids),
        "ignore_eos": True,  # only the request's own ids stop it
        "seed": sampling.seed % 2**63,  # vLLM takes -1 for "no seed"
        "logprobs": 0,
        "detokenize": False,
    }


def check_build(on_cpu: bool, built_for: str) -> None:
    """Refuse a device that the vLLM which is installed was not built for.

    Args:
        on_cpu: whether the engine is to compute on the CPU.
        built_for: vLLM's own name of the device type that it computes on.
    """
    if on_cpu and built_for != "cpu":
        raise ConfigError(
            f"rollout.device is the CPU, and the vLLM that is installed computes on {built_for} only; set "
            "rollout.device = 'cuda', or install the CPU build"
        )
    if built_for == "cpu" and not on_cpu:
        raise ConfigError(
            "rollout.device is a GPU, and the vLLM that is installed is its CPU build; set rollout.device = 'cpu', or "
            "install vLLM for GPUs (pip install -e '.[vllm]')"
        )


def check_heads(path: str, size: int, sizes: Sequence[int]) -> None:
    """Refuse head sizes that vLLM's CPU kernels do not have; vLLM itself fails only at the first token."""
    if size not in sizes:
        raise ConfigError(f"{path} has attention heads of {size}; vLLM on a CPU runs {', '.join(map(str, sizes))}")
