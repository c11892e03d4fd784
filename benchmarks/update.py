"""Trained tokens per second of a GRPO update, against a bare loop; and the time of a weight update."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from lachesis.rollout.config import ModelConfig
from lachesis.rollout.engines.embedded.engine import TorchEngine
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import ship
from lachesis.rollout.models.loading import load_model
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.learner.config import LoraConfig
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.learner.packing.attention import dense_mask
from lachesis.trainer.learner.packing.micro_batch import micro_batches
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
    yield from adapters()


def adapters() -> Iterator[tuple[str, float, str, float]]:
    """Adapters of rank 16 alone, beside all weights: bytes, and seconds from the trainer until the engine has them."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(build_tiny_model(Path(folder), hidden=768, layers=12, heads=12, kv_heads=6, context=64))
        model = ModelConfig(path=path, context=64)
        learner = LocalLearner(model, TrainerConfig(lora=LoraConfig(rank=16)))
        taking, whole = (TorchEngine.from_path(path, slots=4, context=64) for _ in range(2))
        sizes, versions = dict[bool, int](), iter(range(1, 1000))

        def publish(engine: TorchEngine, alone: bool) -> None:
            shipment = learner.send(ObjectStoreSender(), next(versions), adapters=alone)
            sizes[alone] = shipment.payload.nbytes
            shipment.check_delivery(engine.update(shipment), "the benchmark")

        alone, merged = seconds(lambda: publish(taking, True), lambda: publish(whole, False), rounds=5)
    count = f"{learner.model.num_parameters() / 1e9:.1f}B"
    yield f"LoRA of rank 16, {count}: sent, beside all weights", sizes[True] / 1e6, "MB", sizes[False] / 1e6
    yield f"LoRA of rank 16, {count}: published, beside all", alone, "s", merged


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


def samples(
    groups: int = GROUPS,
    attempts: int = ATTEMPTS,
    prompt: int = PROMPT,
    reply: int = REPLY,
    *,
    shortest: float = 1.0,
    vocabulary: int = 256,
    seed: int = 0,
) -> list[Sample]:
    """Samples like those of the main job: groups that share a prompt, short replies, advantages of both signs.

    The lengths of prompts and replies are drawn between ``shortest`` times the given ones and these.
    """
    rng = np.random.default_rng(seed)
    found = []

    def drawn(most: int) -> Any:
        return rng.integers(0, vocabulary, rng.integers(max(1, int(shortest * most)), most + 1))

    for _ in range(groups):
        start = drawn(prompt)
        for attempt in range(attempts):
            tokens = np.concatenate([start, drawn(reply)]).astype(np.int32)
            mask = np.arange(tokens.size) >= start.size
            logprobs = np.where(mask, -np.log(vocabulary), np.nan).astype(np.float32)
            found.append(Sample(tokens, mask, logprobs, np.full(tokens.size, (-1.0) ** attempt, np.float32)))
    return found


def bare_update(
    model: Any,
    batch: list[Sample],
    micro_tokens: int = TrainerConfig().micro_tokens,
    dtype: torch.dtype = torch.float32,
) -> Callable[[], None]:
    """Forward, cross-entropy, backward, clipping and AdamW over padded rows that were packed beforehand.

    Logits are computed for the trained tokens only, and for a part of them at a time if they are many, as in the update
    of Lachesis.
    """
    device = model.device
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=device.type == "cuda" or None)
    packed = list(micro_batches(batch, micro_tokens, device))
    masks = [None if micro.ends_RT is None else added_mask(micro.ends_RT) for micro in packed]
    most = 2**27 // model.config.vocab_size
    total = sum(micro.targets_N.numel() for micro in packed)

    def loss_of(hidden_ND: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(model.lm_head(hidden_ND).float(), targets_N, reduction="sum") / total

    def step() -> None:
        for micro, mask in zip(packed, masks, strict=True):
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                positions = None if mask is None else micro.positions_RT  # without a mask, the model's own are the same
                hidden_RTD = model.model(
                    input_ids=micro.tokens_RT, position_ids=positions, attention_mask=mask, use_cache=False
                ).last_hidden_state
                hidden_ND, targets_N = hidden_RTD[micro.rows_N, micro.sources_N], micro.targets_N
                if targets_N.numel() <= most:
                    loss = loss_of(hidden_ND, targets_N)
                else:
                    parts = zip(hidden_ND.split(most), targets_N.split(most), strict=True)
                    loss = sum(checkpoint(loss_of, *part, use_reentrant=False) for part in parts)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    return step


def added_mask(ends_RT: torch.Tensor) -> torch.Tensor:
    """The mask of packed rows as attention adds it to the scores."""
    seen = dense_mask(ends_RT)
    return torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, -1e30)


def copy(source: dict[str, torch.Tensor], target: dict[str, torch.Tensor]) -> None:
    """Copy the weights, which is the least that an update costs."""
    for name, tensor in source.items():
        target[name].copy_(tensor)


def seconds(*works: Callable[[], object], rounds: int = 15) -> list[float]:
    """The best of some rounds of each after a warm-up round, in turn, so that other load affects all alike."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds + 1):
        for taken, work in zip(times, works, strict=True):
            taken.append(time_of(work))
    return [min(taken[1:]) for taken in times]


def time_of(work: Callable[[], object]) -> float:
    """Seconds that ``work`` takes; on a GPU until the GPU has done it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
