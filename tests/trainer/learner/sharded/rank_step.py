"""The ranks of a step, as a program: ``rank_step.py SIZE PORT MODEL OUT``.

It imports torch once and forks, because an import costs more than the step.
"""

import multiprocessing
import sys
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from lachesis.rollout.config import ModelConfig
from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.learner.local import LocalLearner, Metrics
from lachesis.trainer.learner.packing.micro_batch import ROW
from lachesis.trainer.learner.pair import Pair, samples_of_pairs
from lachesis.trainer.learner.sample import Sample
from lachesis.trainer.learner.sharded.sharding import full_tensor
from lachesis.trainer.losses.config import PreferenceConfig

SPLITS: list[dict[str, Any]] = [
    {"micro_tokens": 16384},
    {"micro_tokens": 40},
    {"micro_tokens": 1},
    {"micro_tokens": 64, "loss": {"kind": "gspo", "normalize": "sequence", "entropy": 0.01}},
    {"micro_tokens": 64, "gradient_checkpointing": True},
    {"micro_tokens": 64, "lora": {"rank": 4}, "moved": True},
    {"micro_tokens": 64, "moved": True, "loss": {"kl": {"coef": 0.1, "apply_to": "reward"}}},
    {"micro_tokens": 64, "dtype": "bfloat16", "lora": {"rank": 4}, "moved": True},
    {"micro_tokens": 64, "pairs": True},
    {"micro_tokens": 64, "probed": True},
    {"micro_tokens": 64, "parts": True, "loss": {"normalize": "sequence"}},
]
"""Settings of one step. The first three are one formula."""


def sample(seed: int, reply: int, advantage: float, prompt: int = 6) -> Sample:
    rng = np.random.default_rng(seed)
    tokens = np.concatenate([np.arange(prompt), rng.integers(0, 250, reply)]).astype(np.int32)
    mask = np.arange(tokens.size) >= prompt
    mask[prompt + 1 :: 5] = False  # a tool's tokens, say
    logprobs = np.where(mask, -5.5, np.nan).astype(np.float32)
    return Sample(tokens, mask, logprobs, np.full(tokens.size, advantage, np.float32))


BATCH = [
    *(sample(number, 3 + 7 * number, (-1.0) ** number) for number in range(5)),
    sample(10, 1, 2.0, prompt=20),
    sample(11, ROW + 50, -0.5),
    sample(12, 9, 0.0),
]
"""Unequal lengths, prompts shared and not, one beyond a row, one that teaches nothing."""


PAIRS = [
    Pair((sample(20, 9, 1.0),), (sample(21, 14, 1.0),), (-50.0, -70.0)),
    Pair((sample(22, 3, 1.0, prompt=30),), (sample(23, 40, 1.0, prompt=30), sample(24, 5, 1.0)), (-10.0, -200.0)),
    Pair((sample(25, 100, 1.0),), (sample(26, 2, 1.0, prompt=9),), (-560.0, -12.0)),
]
"""Preference pairs whose replies rarely share a micro-batch or a rank."""


def stepped(
    tiny: str, settings: dict[str, Any], batch: list[Sample], folder: Path
) -> tuple[Metrics, npt.NDArray[np.float64], int]:
    """Metrics and gradient of a step, and how many logprobs came back; before it one that moves ``moved`` weights."""
    ours = ("dtype", "moved", "pairs", "parts", "probed")
    trainer = {name: value for name, value in settings.items() if name not in ours}
    model = ModelConfig(path=tiny, context=1024, dtype=settings.get("dtype", "float32"))
    learner = LocalLearner(model, TrainerConfig(max_grad_norm=1e9, **trainer), longest=20)
    if learner.objective.needs_reference:
        learner.keep_reference(folder / "reference")
    if settings.get("moved"):  # without which an adapter's product is 0, and a divergence too
        learner.policy_step(BATCH[:2], lr=1e-3)
    if settings.get("probed"):  # as after each publication
        learner.compute_logprobs(BATCH[0].tokens)
    if settings.get("pairs"):
        metrics = learner.preference_step(PAIRS, PreferenceConfig(beta=0.5), lr=0.0)
        scored = len(learner.compute_each(samples_of_pairs(PAIRS)))
    else:
        first = 3 if settings.get("parts") else 0
        learner.add_gradient(batch[:first])
        result = learner.policy_step(batch[first:], lr=0.0)
        metrics, scored = result.metrics, sum(found is not None for found in result.logprobs)
    grads = [full_tensor(parameter.grad) for parameter in learner.model.parameters() if parameter.grad is not None]
    gradient = torch.cat([grad.flatten() for grad in grads]).double().numpy()
    return metrics, gradient, scored


def step(rank: int, size: int, port: int, tiny: str, out: str) -> None:
    """One rank's part; a ``size`` of 0 is a step without ranks, in micro-batches of one sample."""
    torch.set_num_threads(1)
    if size:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    one_by_one = {} if size else {"micro_tokens": 1}
    cases = [(settings, BATCH) for settings in SPLITS] + [(SPLITS[0], BATCH[:1])]  # of the last most ranks get nothing
    folder = Path(out).parent
    results = [stepped(tiny, {**settings, **one_by_one}, batch, folder) for settings, batch in cases]
    if rank == 0:
        torch.save(results, out)
    if size:
        dist.destroy_process_group()


def main(size: int, port: int, tiny: str, out: str) -> None:
    """All ranks; where one fails, the others, which would wait for it, are ended."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=step, args=(rank, size, port, tiny, out), daemon=True) for rank in range(size)]
    for process in processes:
        process.start()
    running = {process.sentinel: process for process in processes}
    while running:
        for ended in wait(list(running)):
            process = running.pop(ended)  # type: ignore[index]
            process.join()
            if process.exitcode:
                sys.exit(f"a rank ended with exit code {process.exitcode}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
