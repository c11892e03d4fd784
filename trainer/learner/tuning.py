"""What a step, and an evaluation without a step, are in supervised tuning and in tuning by preferences."""

from collections.abc import Sequence
from typing import Any, Protocol

from ..datasets.demonstration import Demonstration
from ..losses.config import PreferenceConfig
from ..losses.preference import Preference
from .async_learner import AsyncLearner
from .learner import Metrics
from .pair import Pair, pair_terms, samples_of_pairs, summed_logprobs

_PART = 256
"""Examples that are evaluated together."""


class Tuning(Protocol):
    """A step and an evaluation on examples of one kind."""

    async def step(self, examples: Sequence[Any], lr: float) -> Metrics:
        """Take one optimizer step."""
        ...

    async def evaluate(self, examples: Sequence[Any]) -> Metrics:
        """Return the loss and its metrics under the current weights."""
        ...


class Supervised:
    """Cross-entropy of the trained tokens: the mean over all of a step's (SFT)."""

    def __init__(self, learner: AsyncLearner) -> None:
        self._learner = learner

    async def step(self, examples: Sequence[Demonstration], lr: float) -> Metrics:
        """As in ``Tuning``; ``token_accuracy`` is the share of tokens that are the most probable ones."""
        samples = [sample for example in examples for sample in example.samples]
        return await self._learner.supervised_step(samples, lr)

    async def evaluate(self, examples: Sequence[Demonstration]) -> Metrics:
        """As in ``Tuning``."""
        loss, right, tokens = 0.0, 0, 0
        for start in range(0, len(examples), _PART):
            part = examples[start : start + _PART]
            samples = [sample for example in part for sample in example.samples]
            for found in await self._learner.compute_each(samples):
                loss -= float(found.logprobs.sum(dtype="float64"))
                right += int(found.first.sum())
                tokens += found.first.size
        return {"loss": loss / tokens, "token_accuracy": right / tokens}


class ByPreference:
    """The configured loss of preference pairs: the mean over a step's pairs (DPO)."""

    def __init__(self, learner: AsyncLearner, config: PreferenceConfig) -> None:
        self._learner, self._config = learner, config

    async def step(self, examples: Sequence[Pair], lr: float) -> Metrics:
        """As in ``Tuning``; the metrics are those of ``Preference``."""
        return await self._learner.preference_step(examples, self._config, lr)

    async def evaluate(self, examples: Sequence[Pair]) -> Metrics:
        """As in ``Tuning``."""
        logprobs = []
        for start in range(0, len(examples), _PART):
            samples = samples_of_pairs(examples[start : start + _PART])
            logprobs += [found.logprobs for found in await self._learner.compute_each(samples)]
        terms = pair_terms(examples, summed_logprobs(examples, logprobs))
        return Preference.of(terms, self._config).metrics
