"""The expected answers of a dataset, checked before anyone plays: each must be able to verify itself."""

import time
from collections.abc import Sequence

from ...verifiers.errors import LachesisError
from ...verifiers.task import Task
from ..environment import Environment
from .finding import Finding

SECONDS = 20.0
"""Seconds after which no further answer is checked."""


async def check_expected_answers(environment: Environment, tasks: Sequence[Task]) -> list[Finding]:
    """Return a finding for each answer that a verifier of the environment's rubric cannot use.

    Only verifiers with ``async def self_check(answer) -> str`` are asked, which returns the reason or an empty text.
    """
    found: list[Finding] = []
    rubric = environment.rubric
    checks = {
        use.label: verifier.self_check
        for use, verifier in zip(rubric.uses, rubric.verifiers, strict=True)
        if hasattr(verifier, "self_check")
    }
    end = time.perf_counter() + SECONDS
    for task in tasks if checks else ():
        if time.perf_counter() > end:
            break
        for label, self_check in checks.items():
            try:
                reason = await self_check(task.answer)
            except LachesisError as error:
                reason = str(error)
            if reason:
                found.append(
                    Finding(
                        "gold", f"the expected answer cannot verify itself by {label!r}: {reason}", tasks=(task.id,)
                    )
                )
    return found
