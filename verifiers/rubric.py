"""A rubric: the weighted verifiers, gates and bounds that turn a trajectory into a reward."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .boundary import Boundary
from .case import Case
from .errors import ConfigError, DataError, nearest
from .processes.deadline import deadline
from .registry import make_verifier
from .reward import Component, Reward
from .rows.row import PREFIX, Entry, entries
from .task import Task
from .use import Clip, Use, group_reward, reward, reward_methods, use
from .verdict import Verdict, infra_error

RESERVED_LABELS = frozenset({"total", "std"})
"""Labels under which logs and evaluations keep numbers over all rewards."""

__all__ = ["RESERVED_LABELS", "Rubric", "Use", "group_reward", "reward", "use"]


@dataclass(frozen=True)
class _RubricEntry:
    use: Use
    verifier: Any

    @property
    def scores_groups(self) -> bool:
        """Whether it judges all attempts of a group together."""
        return hasattr(self.verifier, "verify_group")

    def component(self, verdict: Verdict) -> Component:
        """The component of a reward that ``verdict`` makes, with its score inside the declared bounds."""
        return Component(self.use.label, self.use.weight, _clip(verdict, self.use.clip))


class Rubric:
    """Verifiers with weights and unique labels.

    Args:
        uses: the results of ``use``, in the order in which their scores are logged.
        deadline: seconds for one verifier, not counting time in sandboxes and workers; beyond it, the verdict is an
            ``infra_error``.
        clip: the lowest and the highest total of one agent, None for no bounds.
        gated: the total if a gate fails.
        success: the label of the component that has to pass, or the least total, for an attempt to be a success (see
            ``Reward.success``). By default the heaviest component has to pass, unless it is a plain number.

    Raises:
        ConfigError: a verifier, a parameter, a label or a bound is unknown or impossible.
    """

    def __init__(
        self,
        *uses: Use,
        deadline: float = 60.0,
        clip: Clip | None = None,
        gated: float = 0.0,
        success: str | float | None = None,
    ) -> None:
        self.deadline = deadline
        self.clip = _check_bounds(clip, "the rubric's total")
        self.gated = gated
        self.success = _success_rule(success)
        if not math.isfinite(gated):
            raise ConfigError(f"the total after a failed gate is finite, found gated={gated!r}")
        self._entries = tuple(_RubricEntry(entry, make_verifier(entry.name, entry.params)) for entry in uses)
        self._check_entries()

    @property
    def weights(self) -> dict[str, float]:
        """Label → weight."""
        return {entry.use.label: entry.use.weight for entry in self._entries}

    @property
    def uses(self) -> tuple[Use, ...]:
        """The entries, in the order in which their scores are logged."""
        return tuple(entry.use for entry in self._entries)

    @property
    def verifiers(self) -> tuple[Any, ...]:
        """The verifier of each entry, in the same order."""
        return tuple(entry.verifier for entry in self._entries)

    @property
    def agents(self) -> set[str]:
        """The agents whose parts it judges."""
        return {entry.use.agent for entry in self._entries}

    @property
    def scores_groups(self) -> bool:
        """Whether any verifier in it judges all attempts of a group together."""
        return any(entry.scores_groups for entry in self._entries)

    @property
    def group_labels(self) -> frozenset[str]:
        """The labels of those verifiers."""
        return frozenset(entry.use.label for entry in self._entries if entry.scores_groups)

    @property
    def needs_sandbox(self) -> bool:
        """Whether any verifier in it runs programs that the policy wrote."""
        return any(getattr(entry.verifier, "needs_sandbox", False) for entry in self._entries)

    def owns(self, label: str) -> bool:
        """Whether ``label`` belongs to this rubric or to a task's own verifiers, so that nothing else may use it."""
        return label in self.weights or label.startswith(PREFIX)

    def check_success(self, rewards: Mapping[str, Reward]) -> None:
        """Check the label that ``success`` names against the rewards of one attempt that was played to its end.

        The rubric alone does not know all labels, because an episode gives rewards of its own.

        Raises:
            ConfigError: no agent's reward has the label; the message names the labels that there are.
        """
        if not isinstance(self.success, str) or self.owns(self.success):
            return
        parts = {part.label for reward in rewards.values() for part in reward.components}
        labels = sorted({*self.weights, *parts})
        if self.success not in labels:
            raise ConfigError(
                f"the rubric's success names the label {self.success!r}, which no part of the reward has; its labels: "
                f"{', '.join(labels) or 'none'}"
            )

    def with_methods(self, environment: object) -> "Rubric":
        """A copy with the methods of ``environment`` that are marked with ``@reward`` or ``@group_reward``."""
        return self._with_entries(
            (*self._entries, *(_RubricEntry(made, verifier) for made, verifier in reward_methods(environment)))
        )

    def with_weights(self, weights: Mapping[str, float]) -> "Rubric":
        """A copy with other weights, by label. Raises ``ConfigError`` for an unknown label."""
        for label in weights:
            if label not in self.weights:
                raise ConfigError(f"the rubric has no label {label!r}; {nearest(label, self.weights)}")
        return self._with_entries(
            replace(entry, use=replace(entry.use, weight=weights.get(entry.use.label, entry.use.weight)))
            for entry in self._entries
        )

    async def score(self, case: Case, rows: bool = True) -> Reward:
        """Judge one agent's part with the rubric and (with ``rows``) with the task's own verifiers.

        Gates are judged first. If one fails, all verifiers that have not run yet are skipped.
        """
        declared = [entry for entry in self._entries if entry.use.agent == case.agent and not entry.scores_groups]
        task_entries, unreadable = _read_task_entries(case.task) if rows else ([], None)
        labels = [*(entry.use.label for entry in declared), *(entry.label for entry in task_entries)]
        parts: dict[str, Component] = {}
        for entry in sorted(declared, key=lambda entry: not entry.use.gate):
            verdict = await self._run_verifier(entry.verifier.verify, case)
            parts[entry.use.label] = entry.component(verdict)
            if entry.use.gate and not verdict.passed:
                judged = tuple(parts[label] for label in labels if label in parts)
                skipped = tuple(label for label in labels if label not in parts)
                return self._reward(judged, entry.use.label, skipped)
        for row in task_entries:
            parts[row.label] = Component(row.label, row.weight, await self._run_verifier(_verify_task_entry, row, case))
        if unreadable:
            parts[PREFIX] = Component(f"{PREFIX}verify", 1.0, infra_error(unreadable))
        return self._reward(tuple(parts[label] for label in [*labels, PREFIX] if label in parts))

    def _reward(self, parts: tuple[Component, ...], gate: str = "", skipped: tuple[str, ...] = ()) -> Reward:
        label = self.success if isinstance(self.success, str) else ""
        least = None if self.success is None or isinstance(self.success, str) else float(self.success)
        return Reward(parts, gate, self.gated, skipped, self.clip, label, least)

    async def score_group(self, cases: Sequence[Case]) -> list[Reward]:
        """Add the verdicts of the group's verifiers to the rewards of one agent, in the order of ``cases``.

        Args:
            cases: the agent's part in each attempt; ``score`` has judged the trajectories, and each has a total.
        """
        rewards = [case.trajectory.rewards[case.agent] for case in cases]
        for entry in self._entries:
            if not entry.scores_groups or entry.use.agent != cases[0].agent:
                continue
            taking_part = [number for number, given in enumerate(rewards) if not given.gate]
            verdicts = iter(await self._run_group_verifier(entry.verifier, [cases[number] for number in taking_part]))
            for number, given in enumerate(rewards):
                if given.gate:
                    rewards[number] = replace(given, skipped=(*given.skipped, entry.use.label))
                else:
                    rewards[number] = given.extended([entry.component(next(verdicts))])
        return rewards

    async def _run_group_verifier(self, verifier: Any, cases: list[Case]) -> list[Verdict]:
        """A verdict on each case of a group; all are an ``infra_error`` if the verifier fails."""
        verdicts: list[Verdict] = []

        async def together() -> Verdict:
            verdicts.extend(await verifier.verify_group(cases))
            if len(verdicts) != len(cases) or not all(isinstance(verdict, Verdict) for verdict in verdicts):
                raise TypeError(
                    f"a group verifier returns one verdict per case, here {len(cases)}, found {verdicts!r:.80}"
                )
            return Verdict(0.0)

        if not cases:
            return []
        outcome = await self._run_verifier(together)
        if outcome.status == "infra_error":
            return [outcome] * len(cases)
        return [replace(verdict, elapsed=outcome.elapsed / len(cases)) for verdict in verdicts]

    async def _run_verifier(self, verify: Callable[..., Awaitable[Verdict]], *arguments: Any) -> Verdict:
        start = time.perf_counter()
        clock: asyncio.Timeout | None = None
        with Boundary(passing=()) as outcome:
            async with deadline(self.deadline) as clock:
                verdict = await verify(*arguments)
                if not isinstance(verdict, Verdict):
                    raise TypeError(f"a verifier returns a Verdict, found {verdict!r:.80}")
        if outcome.fault:  # a verifier that raises has judged nothing, so there must be no score
            verdict = infra_error(str(outcome.fault))
            if clock is not None and clock.expired():
                verdict = infra_error(f"the verifier took more than its {self.deadline:g} s")
        return replace(verdict, elapsed=time.perf_counter() - start)

    def _with_entries(self, entries: Iterable[_RubricEntry]) -> "Rubric":
        other = Rubric(deadline=self.deadline, clip=self.clip, gated=self.gated, success=self.success)
        other._entries = tuple(entries)
        other._check_entries()
        return other

    def _check_entries(self) -> None:
        labels = [entry.use.label for entry in self._entries]
        for label, entry in zip(labels, self._entries, strict=True):
            if not math.isfinite(entry.use.weight):
                raise ConfigError(f"the weight of reward {label!r} is finite, found {entry.use.weight!r}")
            if labels.count(label) > 1:
                raise ConfigError(f"two rewards are labelled {label!r}; give one of them another label=")
            if label in RESERVED_LABELS:
                raise ConfigError(
                    f"a reward cannot be labelled {label!r}, which names a number over all rewards; give another label="
                )
            if label.startswith(PREFIX):
                raise ConfigError(f"labels that begin with {PREFIX!r} are the tasks' own; rename reward {label!r}")
            if entry.use.gate and entry.scores_groups:
                raise ConfigError(f"reward {label!r} compares the attempts of a group, so it cannot be a gate")
            _check_bounds(entry.use.clip, f"reward {label!r}")


def _success_rule(success: str | float | None) -> str | float | None:
    if success is None or (isinstance(success, str) and success):
        return success
    if isinstance(success, bool) or not isinstance(success, int | float) or not math.isfinite(success):
        raise ConfigError(f"a rubric's success is a label or the least total, a finite number; found {success!r:.80}")
    return float(success)


def _check_bounds(clip: Clip | None, what: str) -> Clip | None:
    if clip is None:
        return None
    if len(clip) != 2 or not all(map(math.isfinite, clip)) or clip[0] >= clip[1]:
        raise ConfigError(f"the bounds of {what} are two finite numbers, the lower first, found clip={clip!r}")
    return float(clip[0]), float(clip[1])


def _clip(verdict: Verdict, clip: Clip | None) -> Verdict:
    """The verdict with its score inside the bounds; the evidence keeps the original score."""
    if clip is None or verdict.score is None or verdict.status not in ("ok", "wrong"):
        return verdict  # other verdicts have no score, or the fixed score 0
    score = min(max(verdict.score, clip[0]), clip[1])
    if score == verdict.score:
        return verdict
    return replace(verdict, score=score, evidence={**verdict.evidence, "unclipped": verdict.score})


def _read_task_entries(task: Task) -> tuple[list[Entry], str | None]:
    """The task's own verifiers and None, or no verifiers and the reason why they cannot be read."""
    try:
        return entries(task), None
    except DataError as error:
        return [], f"the task's own verifiers cannot be read: {error}; repair the dataset"


async def _verify_task_entry(row: Entry, case: Case) -> Verdict:
    try:
        verifier = row.verifier()
    except DataError as error:
        return infra_error(f"{error}; repair the dataset")
    return await verifier.verify(row.case(case))
