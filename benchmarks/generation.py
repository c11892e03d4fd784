"""Tokens per second of the embedded engine, against a bare decoding loop and ``generate`` of transformers."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

from lachesis.rollout.engines.embedded.engine import TorchEngine
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.models.loading import load_model
from lachesis.rollout.models.tiny import build_tiny_model

ROWS, PROMPT, LENGTH = 64, 64, 64


def rows() -> Iterator[tuple[str, float, str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        path = str(build_tiny_model(Path(folder), context=PROMPT + LENGTH))
        model = load_model(path, torch.float32, "cpu")
        engine = TorchEngine.from_path(path, slots=ROWS, context=PROMPT + LENGTH)
    prompts = torch.randint(0, 256, (ROWS, PROMPT), generator=torch.Generator().manual_seed(0))
    ours = rate(lambda: through_engine(engine, prompts))
    yield "torch engine, against a bare loop", ours, "tokens/s", rate(lambda: bare_loop(model, prompts))
    yield "torch engine, against HF generate", ours, "tokens/s", rate(lambda: hf_generate(model, prompts))


def through_engine(engine: TorchEngine, prompts: torch.Tensor) -> None:
    """Sample with seeds, logprobs and versions, from different prompts, so that the engine shares none of them."""
    ids = prompts.numpy().astype(np.int32)
    ids[:, 0] = np.random.default_rng().integers(0, 256, ROWS)  # new ones each round: the engine keeps the last ones
    for key, prompt in enumerate(ids):
        engine.add(key, Request(prompt, Sampling(max_tokens=LENGTH, seed=key)))
    done = 0
    while done < ROWS:
        done += len(engine.step())


@torch.no_grad()
def bare_loop(model: PreTrainedModel, prompts: torch.Tensor) -> None:
    """Forward, sample and append, with a growing cache and nothing else."""
    cache = DynamicCache(config=model.config)
    tokens = prompts
    for _ in range(LENGTH):
        logits = model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
        tokens = torch.multinomial(logits.softmax(-1), 1)


def hf_generate(model: PreTrainedModel, prompts: torch.Tensor) -> None:
    """Sample to the full length."""
    model.generate(  # type: ignore[operator]
        prompts, attention_mask=torch.ones_like(prompts), do_sample=True, min_new_tokens=LENGTH, max_new_tokens=LENGTH
    )


def rate(work: Callable[[], None]) -> float:
    """Tokens per second; the best of three rounds after a warm-up round."""
    times = []
    for _ in range(4):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return ROWS * LENGTH / min(times[1:])
