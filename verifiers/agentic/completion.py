"""Verifier of task completion, from another verifier's score of the last reply or from an episode artifact."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..case import Case
from ..errors import ConfigError
from ..registry import make_verifier, verifier
from ..verdict import Verdict, infra_error, passed, wrong


@dataclass(frozen=True)
class Completion:
    """Source of task completion, shared by the agentic verifiers.

    Attributes:
        by: name of a verifier that scores the last reply; empty to use ``artifact``.
        params: parameters of that verifier.
        artifact: name of the artifact set by the environment's ``finish``: true or false, a share from 0 to 1, or an
            object of subgoals that are true or false.
    """

    by: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    artifact: str = "completed"
    row_params: ClassVar[frozenset[str]] = frozenset()
    needs_sandbox: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.by:
            judge = make_verifier(self.by, self.params)
            if not hasattr(judge, "verify"):
                raise ConfigError(f"by={self.by!r} is a group verifier; name one that scores a single attempt")
            object.__setattr__(self, "_judge", judge)
            object.__setattr__(self, "needs_sandbox", getattr(judge, "needs_sandbox", False))

    def declares(self, case: Case) -> bool:
        """Return whether the completion of the task is known."""
        return bool(self.by) or self.artifact in case.artifacts

    async def share(self, case: Case) -> Verdict:
        """Return the share of the task that was done, from 0 to 1."""
        if self.by:
            verdict: Verdict = await self._judge.verify(case)  # type: ignore[attr-defined]
            return verdict if verdict.score is None else _share_verdict(verdict.score, verdict.reason or verdict.status)
        if self.artifact not in case.artifacts:
            return infra_error(
                f"it is unknown whether the task was done; set artifacts[{self.artifact!r}] in finish, or by="
            )
        found = case.artifacts[self.artifact]
        if isinstance(found, dict) and found and all(isinstance(done, bool) for done in found.values()):
            missing = sorted(goal for goal, done in found.items() if not done)
            return _share_verdict(1 - len(missing) / len(found), f"not done: {', '.join(missing)[:200]}")
        if not isinstance(found, bool | int | float) or not 0 <= found <= 1:
            return infra_error(
                f"artifacts[{self.artifact!r}] must be true, false, from 0 to 1, or subgoals that are true or false, "
                f"found {found!r:.80}"
            )
        return _share_verdict(float(found), "not done")


@dataclass(frozen=True)
class Scaled(Completion):
    """A verifier of conduct whose score may count only as far as the task was done.

    Attributes:
        scaled: multiply the score by the share of the task that was done, so that good conduct alone earns nothing.
    """

    scaled: bool = False

    async def scale(self, case: Case, verdict: Verdict) -> Verdict:
        """Return the verdict on the conduct, scaled if that was asked for."""
        if not self.scaled or not verdict.score:
            return verdict
        done = await self.share(case)
        if done.score is None:
            return done
        score = verdict.score * done.score
        if done.score == 1:
            return verdict
        return wrong(f"{done.score:g} of the task was done", score=score, **verdict.evidence)


def _share_verdict(score: float, reason: str) -> Verdict:
    score = min(max(float(score), 0.0), 1.0)
    return passed(score=score) if score == 1 else wrong(reason, score=score)


@verifier("task_completion")
@dataclass(frozen=True)
class TaskCompletion(Completion):
    """The task was done; with subgoals, the score is the share of them that was done.

    Attributes:
        by: name of a verifier that scores the last reply; empty to use ``artifact``.
        params: parameters of that verifier.
        artifact: name of the artifact set by the environment's ``finish``: true or false, a share from 0 to 1, or an
            object of subgoals that are true or false.

    Example:
        {"verifier": "task_completion", "completion": "Booked.", "answer": null,
         "artifacts": {"completed": {"booked": true, "paid": false}}} -> 0.5
        {"verifier": "task_completion", "completion": "It costs 12", "answer": "12", "params": {"by": "number"}} -> 1.0
    """

    row_params: ClassVar[frozenset[str]] = frozenset({"artifact"})

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` if all was done, else ``wrong`` with the share, or ``infra_error`` if completion is unknown."""
        return await self.share(case)
