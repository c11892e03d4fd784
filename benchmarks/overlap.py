"""Training steps an hour by staleness, with engines and a trainer that wait as long as GPUs would compute.

The whole loop runs on Ray: two engines of 64 slots with decode steps of 15 ms, 16 groups of 8 replies a step, and
updates of 1.5 s. Replies of 1 to 256 tokens with a long tail, and of 74 to 256 tokens without, are compared with two
limits: engines that are never idle, and the rule of admission without any overhead, which a small simulation gives.
Where a step is in parts (``trainer.parts``), the update of a part waits a part of its time.
Replies that take as long as an update, and environments that wait, are compared with the run without staleness.
"""

import asyncio
import json
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from lachesis.rollout.config import ModelConfig
from lachesis.rollout.event_log import EVENTS
from lachesis.trainer import train as training
from lachesis.trainer.config import RunConfig, TrainerConfig
from lachesis.trainer.learner.learner import StepResult
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.learner.loss_metrics import LossMetrics
from lachesis.trainer.learner.sample import Sample
from lachesis.trainer.run import loop
from lachesis.trainer.run.progress import Progress
from lachesis.trainer.run.storage.folder import RunFolder

from ._device import DECODE, length

ENGINES, SLOTS, UPDATE = 2, 64, 1.5
PROMPTS, ATTEMPTS = 16, 8
PARTS = 8
"""Into which the groups of a step are split where the update begins with those that are made."""
STEPS, SKIPPED = 16, 4

Lengths = dict[str, float]
"""Arguments of ``length``."""

TAIL: Lengths = {"typical": 165, "spread": 0.8, "most": 256}
EVEN: Lengths = {"least": 74, "most": 256}
EQUAL: Lengths = {"typical": 100, "spread": 0.0, "most": 100}
SHORT: Lengths = {"typical": 5, "spread": 0.5, "most": 20}


def rows() -> Iterator[tuple[str, float, str, float]]:
    cases = [*((TAIL, staleness, 1) for staleness in (0, 1, 2, 4)), (TAIL, 1, PARTS), (EVEN, 1, 1), (EVEN, 1, PARTS)]
    for lengths, staleness, parts in cases:
        seconds, never_idle = measured(staleness, lengths, parts=parts)
        kind = "long tail" if lengths is TAIL else "even"
        name = f"{kind}, staleness {staleness}{f' in {parts} parts' if parts > 1 else ''}, against"
        yield f"{name} engines that are never idle", 3600 / seconds, "/h", 3600 / never_idle
        rule = simulated(staleness, lengths, parts) * never_idle / expected(lengths)
        yield f"{name} the same rule without overhead", 3600 / seconds, "/h", 3600 / rule
    together, apart = measured(0, EQUAL)[0], measured(1, EQUAL)[0]
    yield "staleness 1 against 0, updates as long as replies", 3600 / apart, "/h", 3600 / together
    waiting = "benchmarks._device:Waiting"
    together = measured(0, SHORT, waiting)[0]
    for parts in (1, PARTS):
        name = f"staleness 2{f' in {parts} parts' if parts > 1 else ''} against 0, environments that wait"
        yield name, 3600 / measured(2, SHORT, waiting, parts)[0], "/h", 3600 / together


def expected(lengths: Lengths) -> float:
    """``step_of`` the tokens that a step has on average."""
    return step_of(PROMPTS * ATTEMPTS * fmean(length(seed, **lengths) for seed in range(20_000)))


def step_of(tokens: float) -> float:
    """Seconds of a step of so many tokens if engines, or the trainer if that is slower, are never idle."""
    return max(UPDATE, tokens * DECODE / (ENGINES * SLOTS))


def measured(staleness: int, lengths: Lengths, environment: str = "arithmetic", parts: int = 1) -> tuple[float, float]:
    """Seconds a step takes in a whole run on Ray, and those that the run's tokens need (``step_of``)."""
    with tempfile.TemporaryDirectory() as out:
        folder = played(out, staleness, lengths, environment, parts=parts)
        events = [json.loads(line) for line in (folder.path / EVENTS).read_text().splitlines()]
        ends = [event["t"] for event in events if event["event"] == "published"][1:]  # of updates
        tokens = fmean(row["tokens/sampled"] for row in folder.metrics() if row["step"] > 0)
        last = STEPS - 1  # later no new groups are begun
        return (ends[last] - ends[SKIPPED]) / (last - SKIPPED), step_of(tokens)


def played(
    out: str | Path,
    staleness: int,
    options: Mapping[str, Any],
    environment: str = "arithmetic",
    steps: int = STEPS,
    parts: int = 1,
) -> RunFolder:
    """The closed folder, in ``out``, of a run of ``steps`` steps and those that are needed to end it.

    Args:
        out: an existing folder.
        staleness: S.
        options: of ``DeviceEngine``.
        environment: what is played.
        steps: steps in which the engines have as many groups as S allows.
        parts: into which each step is split.
    """
    config = RunConfig.model_validate(
        {
            "out": out,
            "environments": [{"use": environment, "group_size": ATTEMPTS}],
            "model": {"context": 512, "tiny": {"hidden": 32, "layers": 1}},
            "rollout": {
                "engine": "benchmarks._device:DeviceEngine",
                "engine_options": options,
                "engines": ENGINES,
                "workers": 2,
                "slots": SLOTS,
                "staleness": staleness,
                "sampling": {"max_tokens": options["most"]},
            },
            "warm_start": {"steps": 0},
            "trainer": {
                "steps": steps + staleness + 1,
                "prompts": PROMPTS,
                "parts": parts,
                "probe_tolerance": 1e9,
                "checkpoint_every": 10_000,
            },
            "eval": {"every": 0, "tasks": 1},
            "logging": {"sinks": []},
        }
    )
    loop.open_learner = DeviceLearner
    folder = RunFolder.create(config)
    try:
        progress = Progress(config.trainer.steps, quiet=True)
        asyncio.run(training.train(config, config.build_environments(), folder, progress))
    finally:
        folder.close()
    return folder


class DeviceLearner(LocalLearner):
    """A ``Learner`` whose policy steps wait as long as a GPU would compute, and change nothing."""

    def __init__(self, model: ModelConfig, config: TrainerConfig, longest: int) -> None:
        super().__init__(model, config, longest)
        self._samples: list[Sample] = []

    def add_gradient(self, samples: Sequence[Sample]) -> None:
        """As in ``Learner``."""
        time.sleep(UPDATE * len(samples) / (PROMPTS * ATTEMPTS))
        self._samples += samples

    def policy_step(self, samples: Sequence[Sample], lr: float) -> StepResult:
        """As in ``Learner``."""
        self.add_gradient(samples)
        step, self._samples = self._samples, []
        tokens = float(sum(sample.tokens.size for sample in step))
        metrics = {"grad_norm": 0.0, "skipped": 0.0, "tokens/trained": tokens, "tokens/forward": tokens}
        nothing = [None] * len(step)
        return StepResult({**LossMetrics().metrics(), **metrics}, list(nothing), list(nothing))


def simulated(staleness: int, lengths: Lengths, parts: int = 1, steps: int = 60, skipped: int = 10) -> float:
    """Seconds a step takes if nothing but decoding and updates takes time."""
    queues: list[deque[list[int]]] = [deque() for _ in range(ENGINES)]  # [tokens left, group]
    slots: list[list[list[int]]] = [[] for _ in range(ENGINES)]
    missing: dict[int, int] = {}
    admitted = made = computed = published = 0  # groups, in order
    step, part, now, begun, part_end = 0, PROMPTS // parts, 0.0, 0.0, 0.0
    while step < steps:
        if part_end and now >= part_end:
            part_end, computed = 0.0, computed + part
            if computed == published + PROMPTS:
                published, step = computed, step + 1
                begun = now if step == skipped else begun
        for group in range(admitted, published + (staleness + 1) * PROMPTS):
            seeds = range(group * ATTEMPTS, (group + 1) * ATTEMPTS)
            queues[group % ENGINES].extend([length(seed, **lengths), group] for seed in seeds)
            missing[group], admitted = ATTEMPTS, group + 1
        for number, queue in enumerate(queues):
            while queue and len(slots[number]) < SLOTS:
                slots[number].append(queue.popleft())
            for request in slots[number]:
                request[0] -= 1
                missing[request[1]] -= not request[0]
            slots[number] = [request for request in slots[number] if request[0]]
        now += DECODE
        while not missing.get(made, 1):
            made += 1
        if not part_end and made >= computed + part:
            part_end = now + UPDATE / parts
    return (now - begun) / (steps - skipped)
