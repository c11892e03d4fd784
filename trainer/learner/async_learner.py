"""A learner whose calls are awaited: made on the event loop, or in a thread while the loop answers requests."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from ...rollout.engines.weight_transport.transport import Shipment, WeightSender
from ..losses.config import PreferenceConfig
from .learner import Computed, Learner, Metrics, StepResult
from .pair import Pair
from .sample import Sample

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class AsyncLearner:
    """The methods of a ``Learner`` that compute or wait, one call at a time.

    In a thread they do not hold up a service that the run hosts, and the engine goes on generating with its own copy of
    the weights. Without a service they hold up the event loop, and with it the engine: so a run with staleness in one
    process has the same bits each time.

    Args:
        learner: makes the calls.
        apart: whether it makes them in a thread.
    """

    def __init__(self, learner: Learner, *, apart: bool) -> None:
        self._learner = learner
        # the initializer makes torch's own threads in it as many as elsewhere, which decides about bits
        self._thread = ThreadPoolExecutor(1, "learner", initializer=torch.get_num_threads) if apart else None

    async def add_gradient(self, samples: Sequence[Sample]) -> None:
        """As in ``Learner``."""
        await self._call(self._learner.add_gradient, samples)

    async def policy_step(self, samples: Sequence[Sample], lr: float) -> StepResult:
        """As in ``Learner``."""
        return await self._call(self._learner.policy_step, samples, lr)

    async def supervised_step(self, samples: Sequence[Sample], lr: float) -> Metrics:
        """As in ``Learner``."""
        return await self._call(self._learner.supervised_step, samples, lr)

    async def preference_step(self, pairs: Sequence[Pair], config: PreferenceConfig, lr: float) -> Metrics:
        """As in ``Learner``."""
        return await self._call(self._learner.preference_step, pairs, config, lr)

    async def compute_each(self, samples: Sequence[Sample]) -> list[Computed]:
        """As in ``Learner``."""
        return await self._call(self._learner.compute_each, samples)

    async def compute_logprobs(self, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """As in ``Learner``."""
        return await self._call(self._learner.compute_logprobs, tokens)

    async def send(self, sender: WeightSender, version: int, adapters: bool = False) -> Shipment:
        """As in ``Learner``."""
        return await self._call(self._learner.send, sender, version, adapters)

    async def save(self, folder: Path) -> None:
        """As in ``Learner``."""
        await self._call(self._learner.save, folder)

    async def saved(self) -> bool:
        """As in ``Learner``."""
        return await self._call(self._learner.saved)

    def close(self) -> None:
        """Wait for the call that is being made, and end the thread; the learner stays open."""
        if self._thread:
            self._thread.shutdown()

    async def _call(
        self, method: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        if self._thread is None:
            return method(*arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: method(*arguments, **named))
