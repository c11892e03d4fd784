"""The audit of an environment: scripted players play its tasks, and its verifiers must tell good from bad."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from ...verifiers.boundary import Fault, fault_of
from ...verifiers.errors import LachesisError
from ...verifiers.task import Task
from ...verifiers.trajectory import StopReason, Trajectory
from ..chat import ScriptedPolicy
from ..environment import Environment, episode_seed
from ..play import home_of, play
from .bad_reply import HOSTILE, BadReply, Script, Shown, bad_replies, random_reply
from .demonstration import demonstrations
from .finding import Finding, Report, Severity, shown_script
from .outcome import difference, earns, outcome_of, passes, totals_of
from .tally import Tally

_FAILED = (StopReason.ENVIRONMENT_ERROR, StopReason.INFRA_ERROR)


def audited_by_itself(environment: Environment) -> bool:
    """Whether the environment has ``async def audit_task(task) -> list[Finding]``."""
    return hasattr(environment, "audit_task")


@dataclass
class Audit:
    """One audit of one environment.

    Attributes:
        environment: what is audited.
        report: collects the findings.
        seed: seeds the players.
        deadline: most seconds for one episode, and for scoring it.
        budget: seconds after which no further task is played.
        step: is told what is done next.
    """

    environment: Environment
    report: Report
    seed: int = 0
    deadline: float = 60.0
    budget: float = 600.0
    step: Callable[[str], None] = lambda name: None
    _tally: Tally = field(default_factory=Tally)
    _tool_faults: dict[str, Fault] = field(default_factory=dict)
    """What the tools raised in the episode that was played last, by tool."""

    async def play(self, tasks: Sequence[Task]) -> None:
        """Let every player play every task, and add the findings to the report."""
        end = time.perf_counter() + self.budget
        if audited_by_itself(self.environment):
            await self._ask_environment(tasks, end)
            return
        shown, why = demonstrations(self.environment, tasks, self.report, self.step)
        if why:
            self.report.skipped["gold, truncated, shuffled, mutated, hedged, in_think, guessable, zero_variance"] = why
        flat: list[Task | None] = []
        with _watched(self.environment, self.report, self._tool_faults):
            for number, one in enumerate(shown):
                if time.perf_counter() > end:
                    self.report.skipped["further tasks"] = f"{number} tasks took all of the {self.budget:g} s"
                    break
                flat += await self._play_task(number, one, shown, bool(why))
        if why:
            self.report.players = {player: (plays, None) for player, plays in self._tally.played.items()}
        else:
            self._tally.conclude(self.report, flat)

    async def _ask_environment(self, tasks: Sequence[Task], end: float) -> None:
        """Let the environment audit its own tasks, as those do in which a program plays and not a script."""
        self.report.skipped["scripted players"] = "an agent program plays here; its tasks are audited without a model"
        for number, task in enumerate(tasks):
            if time.perf_counter() > end:
                self.report.skipped["further tasks"] = f"{number} tasks took all of the {self.budget:g} s"
                return
            self.step(f"the audit of task {task.id}")
            try:
                self.report.add(await self.environment.audit_task(task))  # type: ignore[attr-defined]
            except LachesisError as error:
                self.report.add([Finding("raises", str(error), tasks=(task.id,))])

    async def _play_task(self, number: int, one: Shown, shown: Sequence[Shown], blind: bool) -> list[Task | None]:
        """Play one task with all players.

        Returns:
            The task if all players earned the same, None if they did not; nothing if the perfect player failed.
        """
        rng = random.Random(f"{self.seed} {number}")
        name = "silent" if not one.cast else "demonstration" if blind else "gold"
        self._tally.played[name] += 1
        gold = await self._attempt(name, one.task, one.script, one.cast)
        if gold is None:
            return []
        attempts = [gold]
        self._check_tools(one, gold, dict(self._tool_faults))
        await self._again(one, gold)
        passing = blind or self._check_gold(one, gold)
        players = [BadReply("empty", ("",)), BadReply("echo", (one.task.messages[-1]["content"],))]
        if not blind:
            others = [*shown[number + 1 :], *shown[:number]]
            players = [*bad_replies(one, others), BadReply("random", random_reply(one.script, rng))]
        players.append(BadReply("hostile", (HOSTILE[number % len(HOSTILE)],) * len(one.script)))
        for bad in players:
            self._tally.played[bad.kind] += 1
            tries = [await self._attempt(bad.kind, one.task, said) for said in (bad.script, bad.swapped) if said]
            attempts += [attempt for attempt in tries if attempt]
            agent = self.environment.agents[0]
            if not blind and passing and all(attempt and earns(attempt, gold, agent) for attempt in tries):
                self._tally.passing[bad.kind].append((one.task, bad.script))
        return [] if blind or not passing else [one.task if await self._flat(attempts) else None]

    async def _attempt(
        self, player: str, task: Task, script: Script, cast: Mapping[str, Script] | None = None
    ) -> Trajectory | None:
        """A scored episode; None if it has no reward, which then is a finding."""
        self.step(f"player {player!r} on task {task.id}")
        environment = self.environment
        seed = episode_seed(self.seed, task, "gold" if player in ("again", "demonstration", "silent") else player)
        self._tool_faults.clear()
        policies = {agent: ScriptedPolicy((cast or {}).get(agent, script)) for agent in environment.agents}
        try:
            async with asyncio.timeout(self.deadline):
                played = await play(environment, task, policies, seed, inline=True)
            if played.stop in _FAILED:
                kind = "not_finite" if "finite" in (played.error or "") else "raises"
                self._found(kind, f"an episode raised {played.error}", task, script)
                return None
            if played.stop is StopReason.SECONDS:
                seconds = environment.config.limits.seconds
                self._found("hang", f"an episode reached its limits.seconds = {seconds:g}", task, script)
            self.step(f"verification of player {player!r} on task {task.id}")
            start = time.perf_counter()
            async with asyncio.timeout(self.deadline):
                scored = await environment.score_trajectory(played)
            self.report.time("verify", time.perf_counter() - start)
        except TimeoutError as error:
            # where the episode waited; before Python 3.11.4 it is only the context of the timeout
            fault = fault_of(error.__cause__ or error.__context__ or error, home_of(environment))
            place = f" ({fault.file}, line {fault.line})" if fault.file else ""
            self._found("hang", f"an episode took more than {self.deadline:g} s{place}", task, script)
            return None
        except Exception as error:  # noqa: BLE001 - as above
            self._found("raises", f"scoring raised {fault_of(error, home_of(environment))}", task, script)
            return None
        return scored if self._is_scored(scored, script) else None

    def _is_scored(self, attempt: Trajectory, script: Script) -> bool:
        """Whether every part of every reward has a score; a part without one is a finding, even if it is a metric."""
        whole = True
        for reward in attempt.rewards.values():
            for label, weight, verdict in reward.components:
                if verdict.score is None:
                    kind = "not_finite" if "finite number" in verdict.reason else "infra_error"
                    severity: Severity = "error" if weight else "warning"
                    self._found(kind, f"reward {label!r}: {verdict.reason}", attempt.task, script, severity)
            whole = whole and reward.scored
            if reward.scored and not math.isfinite(reward.total):
                self._found("not_finite", f"the total is {reward.total}; lower the weights", attempt.task, script)
                whole = False
        return whole

    async def _again(self, one: Shown, first: Trajectory) -> None:
        """Play the same script with the same seed again, and score the stored episode again."""
        second = await self._attempt("again", one.task, one.script, one.cast)
        if second is not None and outcome_of(second) != outcome_of(first):
            message = (
                "the same replies with the same seed give another episode; draw random numbers from episode.rng only"
            )
            self._found("unrepeatable", f"{message} ({difference(first, second)})", one.task, one.script)
        try:
            stored = await self.environment.score_trajectory(Trajectory.from_json(first.to_json()))
            self._is_scored(stored, one.script)
            same = totals_of(stored) == totals_of(first)
        except LachesisError as error:
            self._found("offline", f"a stored episode cannot be scored: {error}", one.task, one.script)
            return
        if not same:
            message = (
                "a stored episode gets another score than the live one; verifiers may use only what the episode left"
            )
            self._found("offline", f"{message}: {totals_of(first)} and {totals_of(stored)}", one.task, one.script)

    def _check_tools(self, one: Shown, gold: Trajectory, faults: Mapping[str, Fault]) -> None:
        """Add a finding if a tool fails in the first player's episode, where nothing should go wrong."""
        for message in (message for said in gold.messages.values() for message in said):
            if message["role"] == "tool" and message.get("error"):
                name, content = str(message.get("name", "")), message["content"]
                fault = faults.get(name)
                place = f" ({fault.file}, line {fault.line})" if fault and fault.file else ""
                told = f"tool {name!r} failed in the demonstration: {content:.200}{place}"
                self._found("tool", told, one.task, one.script, "warning")
                return

    def _check_gold(self, one: Shown, gold: Trajectory) -> bool:
        """Whether the perfect script passes; if not, that is a finding."""
        reward = gold.rewards[self.environment.agents[0]]
        if not reward.components:
            self._found(
                "no_reward", "there is no rubric, and the episode gives no reward: nothing can be learned", one.task, ()
            )
            return False
        if passes(reward):
            return True
        said = "; ".join(
            f"{label} {verdict.score} {verdict.status} {verdict.reason}".strip()
            for label, weight, verdict in reward.components
            if weight or label == reward.gate
        )
        stopped = "" if gold.stop is StopReason.DONE else f", and the episode ended by {gold.stop.value}"
        message = f"the reply of demonstration(task) does not pass ({said:.300}){stopped}"
        self.report.add([Finding("gold", message, tasks=(one.task.id,), reply=shown_script(one.script))])
        return False

    async def _flat(self, attempts: Sequence[Trajectory]) -> bool:
        """Whether all these attempts earn the same, with the group rewards."""
        try:
            scored = await self.environment.score_group(list(attempts))
        except Exception as error:  # noqa: BLE001 - as above
            self._found(
                "raises", f"scoring a group raised {fault_of(error, home_of(self.environment))}", attempts[0].task, ()
            )
            return False
        if not all([self._is_scored(attempt, ()) for attempt in scored]):
            return False
        return len(scored) > 1 and len({tuple(totals_of(attempt).values()) for attempt in scored}) == 1

    def _found(self, kind: str, message: str, task: Task, script: Script, severity: Severity = "error") -> None:
        self.report.add([Finding(kind, message, severity, (task.id,), shown_script(script))])


@contextmanager
def _watched(environment: Environment, report: Report, faults: dict[str, Fault]) -> Iterator[None]:
    """Measure how long each ``setup`` and ``run`` of the environment takes, and put what its tools raise in ``faults``.

    Tools turn exceptions into messages for the model, so the trajectory does not say where they were raised.
    """

    def timing(stage: str, function: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        @wraps(function)
        async def timed(episode: Any) -> None:
            start = time.perf_counter()
            try:
                await function(episode)
            finally:
                report.time(stage, time.perf_counter() - start)
                faults.update(episode.tools.faults)

        return timed

    for stage in ("setup", "run"):
        setattr(environment, stage, timing(stage, getattr(environment, stage)))
    try:
        yield
    finally:
        for stage in ("setup", "run"):
            delattr(environment, stage)
