"""Settings of the rollout engines that the benchmarks open."""

from typing import Any

from lachesis.environments.loading import describe
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.workers.pool import PoolSpec

from .sizes import Sizes


def engine_name(sizes: Sizes) -> str:
    """The engine for models of real size; without a GPU the embedded one, which starts at once."""
    return "vllm" if sizes.device == "cuda" else "torch"


def pool_spec(sizes: Sizes, model: str, share: float, *, engine: str, eager: bool, inline: bool = False) -> PoolSpec:
    """One engine and one worker, for a model whose folder holds version 0 of the weights.

    Args:
        sizes: of the requests.
        model: the folder.
        share: of the GPU's memory that vLLM takes; the trainer is on the same card.
        engine: its name.
        eager: starts vLLM without CUDA graphs, which takes 20 s instead of 80.
        inline: in this process, without Ray.
    """
    config = RolloutConfig(
        engine=engine,
        engines=1,
        workers=1,
        slots=max(4, sizes.requests),
        inline=inline,
        **on_one_card(sizes, engine, share, eager=eager),
    )
    settings = ModelConfig(path=model, context=sizes.context, dtype=sizes.dtype)
    return PoolSpec(settings, config, (describe("arithmetic"),), version=0)


def on_one_card(sizes: Sizes, engine: str, share: float, *, eager: bool) -> dict[str, Any]:
    """Settings of ``RolloutConfig`` for an engine that has the GPU together with the trainer."""
    if sizes.device != "cuda":
        return {}
    options = {"enforce_eager": eager} if engine == "vllm" else {}
    return {"gpus_per_engine": 1, "gpu_memory_utilization": share, "engine_options": options}
