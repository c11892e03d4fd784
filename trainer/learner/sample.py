"""The training samples that are made of a step's groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...verifiers.errors import DataError
from ...verifiers.group import Group
from ...verifiers.segment import Segment
from ...verifiers.trajectory import StopReason
from ..advantages.estimator import Advantages

FORCED = "forced"
"""Name in ``Segment.extra`` that marks tokens which were not sampled but may be trained."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One training sample of L tokens, made of a segment.

    Attributes:
        tokens: int32 [L].
        mask: bool [L], the tokens that enter the loss; never the first.
        logprobs: float32 [L], the sampler's logprobs; NaN outside ``mask`` and where ``forced``; None for supervised
            samples.
        advantages: float32 [L].
        temperature: divisor of the logits.
        weight: weight of each trained token's loss.
        forced: bool [L], tokens that were not sampled but may be trained: the trainer's own logprob then stands for the
            sampler's. None if there are none.
        source: positions of the group in the step, of the attempt in the group, and of the segment in the attempt.
        extra: float32 [L] by name, for losses that need further values of each token (a teacher's logprobs, say).

    Raises:
        DataError: No token is trained, the first one is, or a trained token lacks the sampler's logprob.
    """

    tokens: npt.NDArray[np.int32]
    mask: npt.NDArray[np.bool_]
    logprobs: npt.NDArray[np.float32] | None
    advantages: npt.NDArray[np.float32]
    temperature: float = 1.0
    weight: float = 1.0
    source: tuple[int, int, int] = (-1, -1, -1)
    forced: npt.NDArray[np.bool_] | None = None
    extra: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.mask.any():
            raise DataError(f"a sample must train at least one token, found none in {self.tokens.size}; leave it out")
        if self.mask[0]:
            raise DataError("the first token of a sample cannot be trained, because nothing predicts it; mask it out")
        if self.logprobs is None:
            return
        sampled = self.mask if self.forced is None else self.mask & ~self.forced
        if not np.isfinite(self.logprobs[sampled]).all():
            place = int(np.flatnonzero(sampled & ~np.isfinite(self.logprobs))[0])
            raise DataError(
                f"token {place} of a sample is trained but has logprob {self.logprobs[place]}: only what the policy "
                "sampled can be trained; mask it out"
            )

    @property
    def has_advantage(self) -> bool:
        """Whether the advantage of any trained token is not 0."""
        return bool(self.advantages[self.mask].any())


def samples_of(
    groups: Sequence[Group],
    advantages: Advantages,
    context: int,
    overlong: Literal["keep", "filter"] = "keep",
    first: int = 0,
) -> list[Sample]:
    """Make a sample of every trainable segment of ``groups`` that has tokens to train.

    Advantages that the environment itself gave to a segment's tokens are used as they are.

    Args:
        groups: the groups of one step, or of a part of it.
        advantages: the advantages of their attempts.
        context: the most tokens that a segment may have.
        overlong: ``filter`` leaves out attempts that hit a token limit.
        first: the position of the first group in the step.

    Raises:
        DataError: A segment is longer than ``context`` or cannot be trained on. The message names the group.
    """
    samples = []
    for place, group in enumerate(groups):
        for number, attempt in enumerate(group.trajectories):
            if overlong == "filter" and attempt.stop is StopReason.LENGTH:
                continue
            for part, segment in enumerate(attempt.segments):
                if not segment.trainable or not segment.mask.any():
                    continue
                try:
                    value = advantages.of(place, number, segment.agent)
                    samples.append(_sample(segment, value, context, (first + place, number, part)))
                except DataError as error:
                    raise DataError(f"group {group.index} (task {group.task.id}): {error}") from None
    return samples


def _sample(segment: Segment, advantage: float, context: int, source: tuple[int, int, int]) -> Sample:
    if len(segment) > context:
        raise DataError(f"a segment of {len(segment)} tokens is longer than model.context = {context}; raise it")
    given = segment.advantages
    return Sample(
        segment.tokens,
        segment.mask,
        segment.logprobs,
        np.full(len(segment), advantage, np.float32) if given is None else given,
        segment.temperature or 1.0,
        source=source,
        forced=segment.extra.get(FORCED),
        extra={name: values for name, values in segment.extra.items() if values.dtype == np.float32},
    )
