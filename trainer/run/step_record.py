"""What a step made of its groups, written beside what they brought: so that it can be explained later."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ...verifiers.group import Group
from ..learner.sample import Sample

TRAINER, ADVANTAGE = "trainer_logprobs", "advantages"
"""Names in ``Segment.extra``: the trainer's own logprob of each token before the step (NaN where it computed none), and
the advantage that it learned with (NaN where it did not learn)."""


def recorded(
    groups: Sequence[Group], samples: "Sequence[Sample]", logprobs: Sequence[npt.NDArray[np.float32] | None]
) -> tuple[Group, ...]:
    """The groups with the step's numbers in the segments that were samples of it.

    Args:
        groups: of the step.
        samples: made of them.
        logprobs: of each sample's trained tokens; None where it was not computed, because nothing was to be learned.
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
