"""The expected answers of a dataset, checked before anyone plays: each must be able to verify itself."""

import time
from collections.abc import Sequence

from ...verifiers.errors import LachesisError
from ...verifiers.rows.row import entries
from ...verifiers.task import Task
from ..environment import Environment
from .finding import Finding

SECONDS = 20.0
"""Seconds after which no further answer is checked."""


async def check_expected_answers(environment: Environment, tasks: Sequence[Task]) -> list[Finding]:
    """Return a finding for each answer that a verifier of the environment, or of the task itself, cannot use.

    Only verifiers with ``async def self_check(answer) -> str`` are asked, which returns the reason or an empty text.
    """
    found: list[Finding] = []
    rubric = environment.rubric
    declared = [(use.label, verifier) for use, verifier in zip(rubric.uses, rubric.verifiers, strict=True)]
    end = time.perf_counter() + SECONDS
    for task in tasks:
        if time.perf_counter() > end:
            break
        own = [(entry.label, entry.verifier(), entry.expected) for entry in entries(task)]
        for label, verifier, expected in [*((label, verifier, task.answer) for label, verifier in declared), *own]:
            if not hasattr(verifier, "self_check"):
                continue
            try:
                reason = await verifier.self_check(expected)
            except LachesisError as error:
                reason = str(error)
            if reason:
                found.append(
                    Finding(
                        "gold", f"the expected answer cannot verify itself by {label!r}: {reason}", tasks=(task.id,)
                    )
                )
    return found
