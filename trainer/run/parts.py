"""The parts of a step: how many groups each has, and the samples that are made of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...verifiers.group import Group
from ..advantages.estimator import compute_advantages
from ..learner.sample import Sample, samples_of

if TYPE_CHECKING:  # it imports the alerts, of which one splits steps as well
    from ..config import RunConfig


def part_sizes(groups: int, parts: int) -> list[int]:
    """Split ``groups`` into at most ``parts`` parts that differ by one group at most, the larger ones first."""
    count = max(1, min(parts, groups))
    return [groups // count + (number < groups % count) for number in range(count)]


def part_of(number: int, count: int) -> dict[str, int]:
    """Return the facts of an event about part ``number`` of ``count``, counted from 1; none if there is one part."""
    return {"part": number, "parts": count} if count > 1 else {}


def part_samples(groups: Sequence[Group], config: "RunConfig", first: int = 0) -> list[Sample]:
    """Make the samples of a part of a step.

    Args:
        groups: those of the part.
        config: of the run.
        first: the position of the first of them in the step.

    Raises:
        DataError: a reward or a segment cannot be trained on; the message names the group.
    """
    advantages = compute_advantages(groups, config.trainer.advantage)
    return samples_of(groups, advantages, config.model.context, config.trainer.loss.overlong, first)
