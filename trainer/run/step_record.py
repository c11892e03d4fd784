"""Adds a step's advantages and trainer logprobs to the groups before they are stored, for ``lachesis explain``."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...verifiers.group import Group

if TYPE_CHECKING:  # these import torch, which readers of the names below do without
    from ..learner.learner import StepResult
    from ..learner.sample import Sample

TRAINER, ADVANTAGE, ENTROPY = "trainer_logprobs", "advantages", "entropies"
"""Names in ``Segment.extra``: the trainer's logprob of each token before the step (NaN if it was not computed), the
token's advantage (NaN if the token was not trained), and the entropy in nats of the trainer's distribution that it was
drawn from (to three decimals; NaN if it was not computed)."""

RECORDED = frozenset({TRAINER, ADVANTAGE, ENTROPY})
"""These names; the loss of the step did not see them."""


def record_step(groups: Sequence[Group], samples: "Sequence[Sample]", result: "StepResult") -> tuple[Group, ...]:
    """Return the groups with the step's numbers in the segments that were trained.

    Args:
        groups: the groups of the step.
        samples: the samples that were made of them.
        result: what the step computed of each sample's trained tokens.
    """
    attempts = [list(group.trajectories) for group in groups]
    for sample, found, entropies in zip(samples, result.logprobs, result.entropies, strict=True):
        place, number, part = sample.source
        segments = list(attempts[place][number].segments)
        trained = np.full(len(segments[part]), np.nan, np.float32)
        advantages = trained.copy()
        advantages[sample.mask] = sample.advantages[sample.mask]
        extra = {**segments[part].extra, TRAINER: trained, ADVANTAGE: advantages}
        if found is not None and entropies is not None:
            trained[sample.mask] = found
            extra[ENTROPY] = np.full(len(segments[part]), np.nan)
            extra[ENTROPY][sample.mask] = entropies.astype(np.float64).round(3)
        segments[part] = replace(segments[part], extra=extra)
        attempts[place][number] = replace(attempts[place][number], segments=tuple(segments))
    return tuple(replace(group, trajectories=tuple(made)) for group, made in zip(groups, attempts, strict=True))
