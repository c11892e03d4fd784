"""Learners and batches of the benchmarks of the trainer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lachesis.rollout.config import ModelConfig
from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.learner.sample import Sample

from .sizes import Sizes


def open_learner(sizes: Sizes, model: str, **settings: Any) -> LocalLearner:
    """A learner on the device, with the default settings of a run but for ``settings``."""
    config = TrainerConfig(device=sizes.device, micro_tokens=sizes.micro_tokens, **settings)
    return LocalLearner(ModelConfig(path=model, context=sizes.context, dtype=sizes.dtype), config)


def unshared(batch: Sequence[Sample]) -> list[Sample]:
    """The same samples, each with a first token of its own, so that they have no prefix in common."""
    return [
        replace(sample, tokens=np.concatenate([np.array([place], np.int32), sample.tokens[1:]]))
        for place, sample in enumerate(batch)
    ]


def size_of(batch: Sequence[Sample]) -> int:
    """Tokens of all samples, each counted as if it shared nothing."""
    return sum(sample.tokens.size for sample in batch)
