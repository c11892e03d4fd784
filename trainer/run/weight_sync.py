"""Gives the engines new weights, and checks that the weights arrived and took effect."""

import numpy as np
import numpy.typing as npt

from ...rollout.engines.probe import Probe
from ...rollout.workers.pool import Pool
from ...verifiers.errors import ConfigError
from ..learner.async_learner import AsyncLearner
from ..learner.learner import Metrics

PROBE_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.5}
"""Largest difference of logprobs between trainer and engine, in nats, that different kernels may cause."""


class WeightSync:
    """Publishes a learner's weights to the engines of a pool.

    Args:
        pool: the engines.
        learner: the weights.
        probe: int32, tokens of a fixed text; trainer and engines compute their logprobs after each publication.
        tolerance: the largest difference of these logprobs, in nats.
    """

    def __init__(self, pool: Pool, learner: AsyncLearner, probe: npt.NDArray[np.int32], tolerance: float) -> None:
        self._pool, self._learner = pool, learner
        self._probe, self._tolerance = probe, tolerance
        self._adapters = False

    async def meet_engines(self, vocabulary: int) -> None:
        """Compare the vocabularies of engines and trainer, and see whether the engines take adapters alone.

        Args:
            vocabulary: of the trainer's model.

        Raises:
            ConfigError: The vocabulary of an engine has another size than the trainer's.
        """
        infos = await self._pool.infos()
        self._adapters = all(info.adapters for info in infos)
        for info in infos:
            if info.vocabulary != vocabulary:
                raise ConfigError(
                    f"a {info.name} engine has a vocabulary of {info.vocabulary} tokens, and the trainer's model one "
                    f"of {vocabulary}; leave the vocabulary out of rollout.engine_options"
                )

    async def publish(self, version: int) -> Metrics:
        """Give the engines the learner's weights as ``version``, which must be new.

        Raises:
            EngineError: A checksum or the probe's logprobs differ, or no engine took the weights in time.
        """
        probe = Probe(self._probe, await self._learner.compute_logprobs(self._probe), self._tolerance)
        shipment = await self._learner.send(self._pool.sender(), version, self._adapters)
        gap = await self._pool.publish(shipment, probe)
        return {"probe_gap": gap, "version": float(version), **self._pool.metrics()}
