"""Trained tokens per second of a GRPO update, against a bare loop; and the time of a weight update."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lachesis.rollout.config import ModelConfig
from lachesis.rollout.engines.embedded.engine import TorchEngine
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import ship
from lachesis.rollout.models.loading import load_model
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.learner.attention import dense_mask
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.learner.packing import micro_batches
from lachesis.trainer.learner.sample import Sample

GROUPS, ATTEMPTS, PROMPT, REPLY = 64, 8, 12, 5


def rows() -> Iterator[tuple[str, float, str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        path = str(build_tiny_model(Path(folder), context=64))
        learner = LocalLearner(ModelConfig(path=path, context=64), TrainerConfig())
        bare = load_model(path, torch.float32, "cpu")
        engine = TorchEngine.from_path(path, context=64)
    batch = samples()
    tokens = sum(int(sample.mask.sum()) for sample in batch)
    ours, limit = seconds(lambda: learner.policy_step(batch, 1e-6), bare_update(bare, batch))
    yield "GRPO update, trained tokens", tokens / ours, "tokens/s", tokens / limit

    versions = iter(range(1, 1000))
    state, copies = learner.model.state_dict(), {name: value.clone() for name, value in bare.state_dict().items()}
    publish, limit = seconds(
        lambda: engine.update(learner.send(ObjectStoreSender(), next(versions))), lambda: copy(state, copies)
    )
    yield "weight update, packed, checked, in", 1e3 * publish, "ms", 1e3 * limit
    yield from transport()


def transport() -> Iterator[tuple[str, float, str, float]]:
    """A gigabyte through memory, beside a copy of the same bytes into new memory and into memory that is in use."""
    state = {f"layer {number}": torch.randn(4096, 4096) for number in range(16)}
    target = {name: torch.empty_like(tensor) for name, tensor in state.items()}
    shipment = ship(ObjectStoreSender(), 1, state)

    def receive() -> None:
        receiver = shipment.open()
        for name, tensor in receiver.receive(shipment):
            target[name].copy_(tensor)
        shipment.check_delivery(receiver.finish(), "the benchmark")

    out, new, arrived, used = seconds(
        lambda: ship(ObjectStoreSender(), 1, state),
        lambda: {name: tensor.clone() for name, tensor in state.items()},
        receive,
        lambda: copy(state, target),
    )
    yield "1.07 GB of weights, packed and hashed", out, "s", new
    yield "1.07 GB of weights, read, checked, loaded", arrived, "s", used


def samples() -> list[Sample]:
    """Samples like those of the main job: groups that share a prompt, short replies, advantages of both signs."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(GROUPS):
        prompt = rng.integers(0, 256, PROMPT)
        for attempt in range(ATTEMPTS):
            tokens = np.concatenate([prompt, rng.integers(0, 256, REPLY)]).astype(np.int32)
            mask = np.arange(tokens.size) >= PROMPT
            logprobs = np.where(mask, -5.6, np.nan).astype(np.float32)
            found.append(Sample(tokens, mask, logprobs, np.full(tokens.size, (-1.0) ** attempt, np.float32)))
    return found


def bare_update(model: Any, batch: list[Sample]) -> Callable[[], None]:
    """Forward, cross-entropy, backward, clipping and AdamW over tensors that were packed beforehand.

    Logits are computed for the trained tokens only, as in the update of Lachesis.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    packed = list(micro_batches(batch, TrainerConfig().micro_tokens, torch.device("cpu")))
    seen = [dense_mask(micro.ends_RT) for micro in packed]
    masks = [torch.zeros(mask.shape).masked_fill_(~mask, -1e30) for mask in seen]

    def step() -> None:
        for micro, mask in zip(packed, masks, strict=True):
            hidden_RTD = model.model(
                input_ids=micro.tokens_RT, position_ids=micro.positions_RT, attention_mask=mask, use_cache=False
            ).last_hidden_state
            logits_NV = model.lm_head(hidden_RTD[micro.rows_N, micro.sources_N])
            torch.nn.functional.cross_entropy(logits_NV, micro.targets_N).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    return step


def copy(source: dict[str, torch.Tensor], target: dict[str, torch.Tensor]) -> None:
    """Copy the weights, which is the least that an update costs."""
    for name, tensor in source.items():
        target[name].copy_(tensor)


def seconds(*works: Callable[[], object]) -> list[float]:
    """The best of fifteen rounds of each after a warm-up round, in turn, so that other load affects all alike."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(16):
        for taken, work in zip(times, works, strict=True):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return [min(taken[1:]) for taken in times]
