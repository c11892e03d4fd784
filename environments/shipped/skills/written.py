"""The skill that an episode wrote, as training data: the conversation that wrote it, if the skill helped later."""

from collections.abc import Sequence
from dataclasses import dataclass

from ....verifiers.errors import DataError
from ....verifiers.message import Message
from ....verifiers.trajectory import Trajectory


@dataclass(frozen=True)
class WrittenSkill:
    """A skill with which all later tasks were solved.

    Attributes:
        content: the skill file.
        messages: from the first task to the result of the call that wrote the file.
    """

    content: str
    messages: Sequence[Message]


def written_skill(trajectory: Trajectory) -> WrittenSkill:
    """The skill that helped in the episode.

    Raises:
        DataError: no skill was written, or it did not help; the message says which.
    """
    artifacts = trajectory.artifacts
    if not {"writing", "skill", "later"} <= artifacts.keys():
        raise DataError("no skill was written")
    later = artifacts["later"]
    if not later or not all(one["used"] and one["solved"] for one in later):
        raise DataError("its skill did not help in all later tasks")
    return WrittenSkill(artifacts["skill"]["content"], artifacts["writing"])
