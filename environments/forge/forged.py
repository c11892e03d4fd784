"""What a finished walk has made: a task with its answer, as a rubric and a dataset see it."""

from collections.abc import Mapping
from typing import Any

from ...verifiers.case import Case
from ...verifiers.errors import ConfigError
from ...verifiers.task import Task
from ...verifiers.trajectory import POLICY, Trajectory
from .fields import Fields, Record

INSTRUCTION, ANSWER, REFERENCE = "instruction", "answer", "reference"
"""The fields that become the task's prompt, the reply to it, and the answer that is right; others go into its info."""


def check_gives(gives: Fields, where: str) -> None:
    """Raise ``ConfigError`` unless walks give an instruction and an answer; the message begins with ``where``."""
    for name in (INSTRUCTION, ANSWER):
        if gives.get(name) is not str:
            raise ConfigError(
                f"{where} must give {name!r} as text: the instruction is the task that is made, and the answer is the "
                f"reply to it; its gives has only {', '.join(gives)}"
            )


def forged_case(record: Record, info: Mapping[str, Any], artifacts: Mapping[str, Any] | None = None) -> Case:
    """The forged task with the forged answer as its reply, for a rubric.

    Args:
        record: of a finished walk.
        info: of the task, besides the record's other fields.
        artifacts: of the case.
    """
    rest = {name: value for name, value in record.items() if name not in (INSTRUCTION, ANSWER, REFERENCE)}
    task = Task(record[INSTRUCTION], answer=record.get(REFERENCE), info={**rest, **info})
    said: Any = (*task.messages, {"role": "assistant", "content": record[ANSWER]})
    return Case(Trajectory(task, messages={POLICY: said}, artifacts=artifacts or {}))
