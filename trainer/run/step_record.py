"""Adds a step's advantages and trainer logprobs to the groups before they are stored, for ``lachesis explain``."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ...verifiers.group import Group
from ..learner.sample import Sample

TRAINER, ADVANTAGE = "trainer_logprobs", "advantages"
"""Names in ``Segment.extra``: the trainer's logprob of each token before the step (NaN if it was not computed), and the
token's advantage (NaN if the token was not trained)."""


def record_step(
    groups: Sequence[Group], samples: "Sequence[Sample]", logprobs: Sequence[npt.NDArray[np.float32] | None]
) -> tuple[Group, ...]:
    """Return the groups with the step's numbers in the segments that were trained.

    Args:
        groups: the groups of the step.
        samples: the samples that were made of them.
        logprobs: the logprobs of each sample's trained tokens; None if the sample was left out as it teaches nothing.
    """
    attempts = [list(group.trajectories) for group in groups]
    for sample, found in zip(samples, logprobs, strict=True):
        place, number, part = sample.source
        segments = list(attempts[place][number].segments)
        trained = np.full(len(segments[part]), np.nan, np.float32)
        advantages = trained.copy()
        advantages[sample.mask] = sample.advantages[sample.mask]
        if found is not None:
            trained[sample.mask] = found
        extra = {**segments[part].extra, TRAINER: trained, ADVANTAGE: advantages}
        segments[part] = replace(segments[part], extra=extra)
        attempts[place][number] = replace(attempts[place][number], segments=tuple(segments))
    return tuple(replace(group, trajectories=tuple(made)) for group, made in zip(groups, attempts, strict=True))
