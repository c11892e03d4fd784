"""Weighted verifiers, gates and bounds: what an environment means by good."""

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
from .use import Clip, Use, group_reward, marked, reward, use
from .verdict import Verdict, infra_error

__all__ = ["Rubric", "Use", "group_reward", "reward", "use"]


@dataclass(frozen=True)
class _Entry:
    use: Use
    verifier: Any

    @property
    def compares(self) -> bool:
        """Whether it judges the attempts of a group together."""
        return hasattr(self.verifier, "verify_group")

    def component(self, verdict: Verdict) -> Component:
        """The verdict as a part of a reward, its score within the declared bounds."""
        return Component(self.use.label, self.use.weight, _clipped(verdict, self.use.clip))


class Rubric:
    """Verifiers with weights and unique labels.

    Args:
        uses: what ``use`` returns, in the order in which they are logged.
        deadline: seconds that one verifier may take, without sandboxes and workers, until it is an ``infra_error``.
        clip: the lowest and the highest total of one agent, None for no bounds.
        gated: the total where a gate does not pass.
        success: what counts as a success (see ``Reward.success``): the label of a component that has to pass, or the
            least total. By default the heaviest component has to pass, unless it is a plain number.

    Raises:
        ConfigError: a verifier, a parameter, a label or a bound that cannot be.
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
        self.clip = _bounds(clip, "the rubric's total")
        self.gated = gated
        self.success = success
        if not math.isfinite(gated):
            raise ConfigError(f"the total behind a gate that is not passed is finite, found gated={gated!r}")
        self._entries = tuple(_Entry(entry, make_verifier(entry.name, entry.params)) for entry in uses)
        self._check_entries()

    @property
    def weights(self) -> dict[str, float]:
        """Label → weight."""
        return {entry.use.label: entry.use.weight for entry in self._entries}

    @property
    def uses(self) -> tuple[Use, ...]:
        """What it is made of, in the order in which it is logged."""
        return tuple(entry.use for entry in self._entries)

    @property
    def verifiers(self) -> tuple[Any, ...]:
        """Who judges, in the same order."""
        return tuple(entry.verifier for entry in self._entries)

    @property
    def agents(self) -> set[str]:
        """Whose parts it judges."""
        return {entry.use.agent for entry in self._entries}

    @property
    def compares(self) -> bool:
        """Whether anything in it judges groups."""
        return any(entry.compares for entry in self._entries)

    @property
    def of_groups(self) -> frozenset[str]:
        """The labels that are judged over the attempts of a group."""
        return frozenset(entry.use.label for entry in self._entries if entry.compares)

    @property
    def needs_sandbox(self) -> bool:
        """Whether any verifier in it runs programs of the policy's."""
        return any(getattr(entry.verifier, "needs_sandbox", False) for entry in self._entries)

    def owns(self, label: str) -> bool:
        """Whether rewards of this label are the rubric's, or the tasks' own verifiers', to give."""
        return label in self.weights or label.startswith(PREFIX)

    def with_methods(self, environment: object) -> "Rubric":
        """This rubric and the methods of ``environment`` that ``@reward`` and ``@group_reward`` mark."""
        return self._with((*self._entries, *(_Entry(made, verifier) for made, verifier in marked(environment))))

    def with_weights(self, weights: Mapping[str, float]) -> "Rubric":
        """This rubric with other weights, by label; an unknown label is an error."""
        for label in weights:
            if label not in self.weights:
                raise ConfigError(f"the rubric has no label {label!r}; {nearest(label, self.weights)}")
        return self._with(
            replace(entry, use=replace(entry.use, weight=weights.get(entry.use.label, entry.use.weight)))
            for entry in self._entries
        )

    async def score(self, case: Case, rows: bool = True) -> Reward:
        """One agent's reward: the verdicts of the rubric and (with ``rows``) of the task's own verifiers, in order.

        Gates are judged first. The first that does not pass ends it: all that was not judged by then is skipped.
        """
        declared = [entry for entry in self._entries if entry.use.agent == case.agent and not entry.compares]
        own, broken = _entries_of(case.task) if rows else ([], None)
        labels = [*(entry.use.label for entry in declared), *(entry.label for entry in own)]
        parts: dict[str, Component] = {}
        for entry in sorted(declared, key=lambda entry: not entry.use.gate):
            verdict = await self._verdict(entry.verifier.verify, case)
            parts[entry.use.label] = entry.component(verdict)
            if entry.use.gate and not verdict.passed:
                judged = tuple(parts[label] for label in labels if label in parts)
                skipped = tuple(label for label in labels if label not in parts)
                return self._reward(judged, entry.use.label, skipped)
        for row in own:
            parts[row.label] = Component(row.label, row.weight, await self._verdict(_judge_row, row, case))
        if broken:
            parts[PREFIX] = Component(f"{PREFIX}verify", 1.0, infra_error(broken))
        return self._reward(tuple(parts[label] for label in [*labels, PREFIX] if label in parts))

    def _reward(self, parts: tuple[Component, ...], gate: str = "", skipped: tuple[str, ...] = ()) -> Reward:
        label = self.success if isinstance(self.success, str) else ""
        least = None if self.success is None or isinstance(self.success, str) else float(self.success)
        return Reward(parts, gate, self.gated, skipped, self.clip, label, least)

    async def compare(self, cases: Sequence[Case]) -> list[Reward]:
        """The rewards of one agent in each attempt of a group, with what the group's verifiers add.

        Args:
            cases: the agent's part in each attempt; the trajectories are judged by ``score``, and scored.
        """
        rewards = [case.trajectory.rewards[case.agent] for case in cases]
        for entry in self._entries:
            if not entry.compares or entry.use.agent != cases[0].agent:
                continue
            taking_part = [number for number, given in enumerate(rewards) if not given.gate]
            verdicts = iter(await self._verdicts(entry.verifier, [cases[number] for number in taking_part]))
            for number, given in enumerate(rewards):
                if given.gate:
                    rewards[number] = replace(given, skipped=(*given.skipped, entry.use.label))
                else:
                    rewards[number] = given.extended([entry.component(next(verdicts))])
        return rewards

    async def _verdicts(self, verifier: Any, cases: list[Case]) -> list[Verdict]:
        """A verdict on each case of a group, each an ``infra_error`` where the verifier fails."""
        verdicts: list[Verdict] = []

        async def together() -> Verdict:
            verdicts.extend(await verifier.verify_group(cases))
            if len(verdicts) != len(cases) or not all(isinstance(verdict, Verdict) for verdict in verdicts):
                raise TypeError(f"a group's verifier gives {len(cases)} verdicts here, found {verdicts!r:.80}")
            return Verdict(0.0)

        if not cases:
            return []
        outcome = await self._verdict(together)
        if outcome.status == "infra_error":
            return [outcome] * len(cases)
        return [replace(verdict, elapsed=outcome.elapsed / len(cases)) for verdict in verdicts]

    async def _verdict(self, judge: Callable[..., Awaitable[Verdict]], *arguments: Any) -> Verdict:
        start = time.perf_counter()
        clock: asyncio.Timeout | None = None
        with Boundary(passing=()) as outcome:
            async with deadline(self.deadline) as clock:
                verdict = await judge(*arguments)
                if not isinstance(verdict, Verdict):
                    raise TypeError(f"a verifier returns a Verdict, found {verdict!r:.80}")
        if outcome.fault:  # a verifier that raises has judged nothing: that must not become a score
            verdict = infra_error(str(outcome.fault))
            if clock is not None and clock.expired():
                verdict = infra_error(f"the verifier took more than its {self.deadline:g} s")
        return replace(verdict, elapsed=time.perf_counter() - start)

    def _with(self, entries: Iterable[_Entry]) -> "Rubric":
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
            if label.startswith(PREFIX):
                raise ConfigError(f"labels that begin with {PREFIX!r} are the tasks' own; rename reward {label!r}")
            if entry.use.gate and entry.compares:
                raise ConfigError(f"reward {label!r} compares the attempts of a group, so it cannot be a gate")
            _bounds(entry.use.clip, f"reward {label!r}")


def _bounds(clip: Clip | None, what: str) -> Clip | None:
    if clip is None:
        return None
    if len(clip) != 2 or not all(map(math.isfinite, clip)) or clip[0] >= clip[1]:
        raise ConfigError(f"the bounds of {what} are two finite numbers, the lower first, found clip={clip!r}")
    return float(clip[0]), float(clip[1])


def _clipped(verdict: Verdict, clip: Clip | None) -> Verdict:
    """The verdict with its score within the bounds, the first score in its evidence."""
    if clip is None or verdict.score is None or verdict.status not in ("ok", "wrong"):
        return verdict  # what could not be judged, or read, scores what it scores
    score = min(max(verdict.score, clip[0]), clip[1])
    if score == verdict.score:
        return verdict
    return replace(verdict, score=score, evidence={**verdict.evidence, "unclipped": verdict.score})


def _entries_of(task: Task) -> tuple[list[Entry], str | None]:
    """The task's own verifiers; where they cannot be read, none, and why."""
    try:
        return entries(task), None
    except DataError as error:
        return [], f"the task's own verifiers cannot be read: {error}; repair the dataset"


async def _judge_row(row: Entry, case: Case) -> Verdict:
    try:
        verifier = row.verifier()
    except DataError as error:
        return infra_error(f"{error}; repair the dataset")
    return await verifier.verify(row.case(case))
