"""Gives the engines new weights, and checks that the weights arrived and took effect."""

import numpy as np
import numpy.typing as npt

from ...rollout.workers.pool import Pool
from ...verifiers.errors import ConfigError, EngineError
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

    async def check_vocabulary(self, vocabulary: int) -> None:
        """Compare the vocabularies of engines and trainer.

        Args:
            vocabulary: of the trainer's model.

        Raises:
            ConfigError: The vocabulary of an engine has another size than the trainer's.
        """
        for info in await self._pool.infos():
            if info.vocabulary != vocabulary:
                raise ConfigError(
                    f"a {info.name} engine has a vocabulary of {info.vocabulary} tokens, and the trainer's model one "
                    f"of {vocabulary}; leave the vocabulary out of rollout.engine_options"
                )

    async def publish(self, version: int) -> Metrics:
        """Give the engines the learner's weights as ``version``, which must be new.

        Raises:
            EngineError: A checksum or the probe's logprobs differ.
        """
        adapters = all(info.adapters for info in await self._pool.infos())
        await self._pool.publish(await self._learner.send(self._pool.sender(), version, adapters))
        expected = (await self._learner.compute_logprobs(self._probe))[1:]
        answers = await self._pool.compute_logprobs(self._probe)
        gap = float(np.max([np.abs(answer[1:] - expected).max() for answer in answers]))  # NaN if any value is NaN
        if not gap <= self._tolerance:
            raise EngineError(
                f"weights version {version} arrived whole but have no effect: the probe's logprobs differ by {gap:.3g} "
                f"(trainer against engine, allowed {self._tolerance:g}); check the engine's support for this model, or "
                "set trainer.probe_tolerance"
            )
        return {"probe_gap": gap, "version": float(version)}
