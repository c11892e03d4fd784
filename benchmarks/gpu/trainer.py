"""Tokens per second and memory of the trainer, against a bare loop of forward, backward and AdamW."""

from collections.abc import Callable, Iterator

import torch

from lachesis.rollout.models.loading import load_model

from ..update import bare_update, samples, seconds
from .learners import open_learner, size_of, unshared
from .row import Mark, Row
from .sizes import Sizes

GIB = 2**30


def rows(sizes: Sizes, model: str) -> Iterator[Row]:
    """Plain rows: the loop first by itself, for its memory; then both by turns, for their speed."""
    batch = unshared(samples(**sizes.plain, vocabulary=sizes.vocabulary))
    bare = load_model(model, torch.float32, sizes.device)
    torch.backends.cuda.enable_cudnn_sdp(False)  # as in the trainer: else the loop, too, waits for plans to be compiled
    loop = bare_update(bare, batch, sizes.micro_tokens, getattr(torch, sizes.dtype))
    loop()
    loop_peak = peak(loop)
    resident = torch.cuda.memory_allocated() if sizes.device == "cuda" else 0
    learner = open_learner(sizes, model)

    def step() -> None:
        learner.policy_step(batch, 1e-6)

    step()
    step_peak = peak(step) - resident
    ours, theirs = seconds(step, loop, rounds=sizes.rounds)
    tokens = size_of(batch)
    yield Row(
        "trainer, plain rows", tokens / ours, "tokens/s", tokens / theirs, "bare HF loop", Mark("≥", 1.3, "ratio")
    )
    shares = [learner.scale.throughput(tokens, time).get("rate/mfu") for time in (ours, theirs)]
    if all(shares):
        yield Row("trainer, plain rows, share of the GPU's peak (MFU)", shares[0], "", shares[1], "bare HF loop")
    if sizes.device == "cuda":
        mark = Mark("≤", 1.0, "ratio")
        yield Row("trainer, plain rows, peak memory", step_peak / GIB, "GiB", loop_peak / GIB, "bare HF loop", mark)


def peak(work: Callable[[], object]) -> int:
    """The most bytes of the GPU that are held while ``work`` runs; 0 on a CPU."""
    if not torch.cuda.is_available():
        work()
        return 0
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()
