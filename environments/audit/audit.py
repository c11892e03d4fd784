"""An audit of an environment: scripted players play its tasks, and its verifiers must tell good from bad."""

import asyncio
import math
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, NamedTuple

from ...verifiers.boundary import fault_of
from ...verifiers.errors import ConfigError, LachesisError
from ...verifiers.reward import Reward
from ...verifiers.task import Task
from ...verifiers.trajectory import StopReason, Trajectory
from ..chat import ScriptedPolicy
from ..environment import Environment
from ..play import home_of, play
from .bad_reply import HOSTILE, BadReply, Script, Shown, bad_replies, random_reply
from .finding import Finding, Report, Severity

STRICT = frozenset({"empty", "hostile", "in_think"})
"""Replies of which none may pass; of the others one in four may, as text cannot tell for sure that they are wrong."""
_MEANING = {
    "empty": "an empty reply earns what the perfect one does",
    "echo": "the prompt, said back, earns what the perfect reply does",
    "truncated": "half of the perfect reply earns what all of it does",
    "shuffled": "the perfect reply to another task earns what this one's does",
    "mutated": "a reply with another answer earns what the perfect one does",
    "hedged": "a reply with two answers earns what the perfect one does; it must commit itself to one",
    "hostile": "text that is no answer (huge, malformed, full of control tokens) earns what the perfect reply does",
    "in_think": "an answer that stands in <think> alone earns what the perfect reply does; judge what comes after it",
}
_FAILED = (StopReason.ENVIRONMENT_ERROR, StopReason.INFRA_ERROR)


@dataclass
class Audit:
    """One audit in the making.

    Attributes:
        environment: whose.
        report: what is known so far.
        seed: of the players.
        deadline: seconds for one episode, and for its verification.
        budget: seconds after which no further task is played.
        step: told what is done next.
    """

    environment: Environment
    report: Report
    seed: int = 0
    deadline: float = 60.0
    budget: float = 600.0
    step: Callable[[str], None] = lambda name: None
    _passing: dict[str, list[tuple[Task, Script]]] = field(default_factory=lambda: defaultdict(list))
    _played: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    async def play(self, tasks: Sequence[Task]) -> None:
        """Let every player play every task, and add what is wrong to the report."""
        end = time.perf_counter() + self.budget
        shown, why = self._demonstrations(tasks)
        if why:
            self.report.skipped["gold, truncated, shuffled, mutated, hedged, in_think, guessable, zero_variance"] = why
        flat = []
        with _timed(self.environment, self.report):
            for number, one in enumerate(shown):
                if time.perf_counter() > end:
                    self.report.skipped["further tasks"] = f"{number} tasks took the {self.budget:g} s that there were"
                    break
                flat += await self._play_task(number, one, shown, bool(why))
        if why:
            self.report.players = {player: (plays, None) for player, plays in self._played.items()}
        else:
            self._conclude(len(flat), [task for task in flat if task])

    def _demonstrations(self, tasks: Sequence[Task]) -> tuple[list[Shown], str]:
        """The tasks with their perfect scripts; empty scripts, and why, where there are none."""
        environment = self.environment
        own = type(environment).demonstration is not Environment.demonstration
        if len(environment.agents) > 1:
            why = f"no single reply is perfect: {len(environment.agents)} agents ({', '.join(environment.agents)}) play"
        elif not own and all(task.answer is None for task in tasks):
            why = "tasks have no answer, and there is no demonstration(task); write one that returns a perfect reply"
        else:
            why = ""
        if why and not own:
            return [Shown(task, ("",)) for task in tasks], why
        shown: list[Shown] = []
        lacking: list[str] = []
        for task in tasks:
            self.step(f"demonstration of task {task.id}")
            try:
                cast = cast_of(environment, task)
                shown.append(Shown(task, cast[environment.agents[0]], cast))
            except ConfigError as error:  # the data hold none
                lacking.append(str(error))
            except Exception as error:  # noqa: BLE001 - the author's code may raise anything: it is what is looked for
                place = fault_of(error, home_of(environment))
                self.report.add([Finding("raises", f"demonstration(task) raised {place}", tasks=(task.id,))])
        if lacking:
            self.report.skipped[f"demonstrations of {len(lacking)} tasks"] = lacking[0]
        if lacking and not shown:
            return [Shown(task, ("",)) for task in tasks], "no task has a demonstration"
        return shown, why

    async def _play_task(self, number: int, one: Shown, shown: Sequence[Shown], blind: bool) -> list[Task | None]:
        """Play one task; the task where all its players earned the same, None where they did not."""
        rng = random.Random(f"{self.seed} {number}")
        name = "silent" if not one.cast else "demonstration" if blind else "gold"
        self._played[name] += 1
        gold = await self._attempt(name, one.task, one.script, one.cast)
        if gold is None:
            return []
        attempts = [gold]
        await self._again(one, gold)
        passing = blind or self._judge_gold(one, gold)
        players = [BadReply("empty", ("",)), BadReply("echo", (one.task.messages[-1]["content"],))]
        if not blind:
            others = [*shown[number + 1 :], *shown[:number]]
            players = [*bad_replies(one, others), BadReply("random", random_reply(one.script, rng))]
        players.append(BadReply("hostile", (HOSTILE[number % len(HOSTILE)],) * len(one.script)))
        for bad in players:
            self._played[bad.kind] += 1
            tries = [await self._attempt(bad.kind, one.task, said) for said in (bad.script, bad.swapped) if said]
            attempts += [attempt for attempt in tries if attempt]
            agent = self.environment.agents[0]
            if not blind and passing and all(attempt and earns(attempt, gold, agent) for attempt in tries):
                self._passing[bad.kind].append((one.task, bad.script))
        return [] if blind or not passing else [one.task if await self._flat(attempts) else None]

    async def _attempt(
        self, player: str, task: Task, script: Script, cast: Mapping[str, Script] | None = None
    ) -> Trajectory | None:
        """An episode, played and judged; None where it has no reward, which is then a finding."""
        self.step(f"player {player!r} on task {task.id}")
        environment = self.environment
        policies = {agent: ScriptedPolicy((cast or {}).get(agent, script)) for agent in environment.agents}
        try:
            async with asyncio.timeout(self.deadline):
                played = await play(environment, task, policies, (self.seed,), inline=True)
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
                judged = await environment.score_trajectory(played)
            self.report.time("verify", time.perf_counter() - start)
        except TimeoutError as error:
            fault = fault_of(error.__cause__ or error, home_of(environment))
            place = f" ({fault.file}, line {fault.line})" if fault.file else ""
            self._found("hang", f"an episode took more than {self.deadline:g} s{place}", task, script)
            return None
        except Exception as error:  # noqa: BLE001 - as above
            self._found("raises", f"judging raised {fault_of(error, home_of(environment))}", task, script)
            return None
        return judged if self._judged(judged, script) else None

    def _judged(self, attempt: Trajectory, script: Script) -> bool:
        """Whether every part of every reward was judged; what was not is a finding, a metric too."""
        whole = True
        for reward in attempt.rewards.values():
            for label, weight, verdict in reward.components:
                if verdict.score is None:
                    kind = "not_finite" if "finite number" in verdict.reason else "infra_error"
                    severity: Severity = "error" if weight else "warning"
                    self._found(kind, f"reward {label!r}: {verdict.reason}", attempt.task, script, severity)
            whole = whole and reward.scored
            if reward.scored and not math.isfinite(reward.total):
                self._found("not_finite", f"the total is {reward.total}; bound the weights", attempt.task, script)
                whole = False
        return whole

    async def _again(self, one: Shown, first: Trajectory) -> None:
        """The same script and seed once more, and the stored episode judged once more."""
        second = await self._attempt("again", one.task, one.script, one.cast)
        if second is not None and _outcome(second) != _outcome(first):
            message = "the same replies under the same seed go otherwise; draw from episode.rng alone"
            self._found("unrepeatable", f"{message} ({_difference(first, second)})", one.task, one.script)
        try:
            stored = await self.environment.score_trajectory(Trajectory.from_json(first.to_json()))
            self._judged(stored, one.script)
            same = _totals(stored) == _totals(first)
        except LachesisError as error:
            self._found("offline", f"a stored episode cannot be judged: {error}", one.task, one.script)
            return
        if not same:
            message = "a stored episode is judged otherwise than the live one; verifiers may see only what it left"
            self._found("offline", f"{message}: {_totals(first)} and {_totals(stored)}", one.task, one.script)

    def _judge_gold(self, one: Shown, gold: Trajectory) -> bool:
        """Whether the perfect script passes; a finding where it does not."""
        reward = gold.rewards[self.environment.agents[0]]
        if not reward.components:
            self._found("no_reward", "no rubric and no reward in the episode: nothing can be learned", one.task, ())
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
        self.report.add([Finding("gold", message, tasks=(one.task.id,), reply=_shown(one.script))])
        return False

    async def _flat(self, attempts: Sequence[Trajectory]) -> bool:
        """Whether a group of these attempts has no variance; its group rewards are judged for that."""
        try:
            judged = await self.environment.score_group(list(attempts))
        except Exception as error:  # noqa: BLE001 - as above
            self._found(
                "raises", f"judging a group raised {fault_of(error, home_of(self.environment))}", attempts[0].task, ()
            )
            return False
        if not all([self._judged(attempt, ()) for attempt in judged]):
            return False
        return len(judged) > 1 and len({tuple(_totals(attempt).values()) for attempt in judged}) == 1

    def _conclude(self, played: int, flat: Sequence[Task]) -> None:
        """Turn what passed into findings."""
        self.report.players = {kind: (plays, len(self._passing.get(kind, ()))) for kind, plays in self._played.items()}
        if "gold" in self.report.players:
            self.report.players["gold"] = (self._played["gold"], played)
        if flat:
            message = (
                f"perfect and bad replies earn the same on {len(flat)} of {played} tasks: nothing is learned there"
            )
            severity: Severity = "error" if len(flat) == played else "warning"
            self.report.add([Finding("zero_variance", message, severity, tuple(task.id for task in flat[:3]))])
        for kind, meaning in _MEANING.items():
            found, tries = self._passing.get(kind, []), self._played[kind]
            if found:
                named = tuple(dict.fromkeys(task.id for task, _ in found))[:3]
                strict = kind in STRICT or len(found) > tries / 4
                message = f"{meaning} ({len(found)} of {tries} tried)"
                reply = _shown(found[0][1])
                self.report.add([Finding(kind, message, "error" if strict else "warning", named, reply)])
        guessed, tries = len(self._passing.get("random", ())), self._played["random"]
        if tries >= 4 and guessed > tries / 2:
            message = f"random characters pass in {guessed} of {tries} tasks"
            self.report.add([Finding("guessable", message, "warning", reply=_shown(self._passing["random"][0][1]))])
        if tries and not self._played["mutated"]:
            self.report.skipped["mutated, hedged"] = "no answer is a short text or number that its perfect reply holds"

    def _found(self, kind: str, message: str, task: Task, script: Script, severity: Severity = "error") -> None:
        self.report.add([Finding(kind, message, severity, (task.id,), _shown(script))])


def cast_of(environment: Environment, task: Task) -> dict[str, Script]:
    """What each agent says in the environment's demonstration: one reply, a sequence of them, or either by agent."""
    said: Any = environment.demonstration(task)
    by_agent = said if isinstance(said, Mapping) else dict.fromkeys(environment.agents, said)
    found = {agent: by_agent.get(agent, ()) for agent in environment.agents}
    cast = {agent: (line,) if isinstance(line, str) else tuple(line) for agent, line in found.items()}
    lines = [line for script in cast.values() for line in script]
    if not cast[environment.agents[0]] or not all(isinstance(line, str) for line in lines):
        raise TypeError(f"demonstration(task) returns a reply, or replies turn by turn, found {said!r:.80}")
    return cast


def passes(reward: Reward) -> bool:
    """Whether the reward is a success; where success is undefined, whether anything was earned."""
    success = reward.success
    return reward.scored and reward.total > 0 if success is None else success


def earns(attempt: Trajectory, gold: Trajectory, agent: str) -> bool:
    """Whether ``attempt`` earns what ``gold``, which passes, does: in all, or by the heaviest part of its reward."""
    reward, best = attempt.rewards[agent], gold.rewards[agent]
    if best.total > 0 and reward.total >= best.total:
        return True
    heaviest = max(best.components, key=lambda part: part.weight)
    if not passes(reward) or heaviest.label in reward.skipped:
        return False
    found = {part.label: part.verdict for part in reward.components}.get(heaviest.label)
    return found is not None and found.passed and (found.score or 0.0) >= (heaviest.verdict.score or 0.0)


class _Outcome(NamedTuple):
    messages: dict[str, list[Any]]
    totals: dict[str, float]
    stop: str


def _outcome(attempt: Trajectory) -> _Outcome:
    """What of an episode equal seeds make equal."""
    messages = {agent: list(said) for agent, said in attempt.messages.items()}
    return _Outcome(messages, _totals(attempt), attempt.stop.value)


def _totals(attempt: Trajectory) -> dict[str, float]:
    return {agent: reward.total for agent, reward in attempt.rewards.items() if reward.scored}


def _difference(first: Trajectory, second: Trajectory) -> str:
    """The first message or total that differs."""
    one, other = _outcome(first), _outcome(second)
    for agent, said in one.messages.items():
        for here, there in zip(said, other.messages.get(agent, []), strict=False):
            if here != there:
                return f"{here['role']} message {here['content']!r:.60} and {there['content']!r:.60}"
    return f"rewards {one.totals} and {other.totals}"


def _shown(script: Script) -> str:
    """A script as a report shows it."""
    text = " ⏎ ".join(script)
    return text if len(text) <= 200 else f"{text[:200]}…"


@contextmanager
def _timed(environment: Environment, report: Report) -> Iterator[None]:
    """Note how long each ``setup`` and ``run`` of the environment takes."""

    def timing(stage: str, function: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        @wraps(function)
        async def timed(episode: Any) -> None:
            start = time.perf_counter()
            try:
                await function(episode)
            finally:
                report.time(stage, time.perf_counter() - start)

        return timed

    for stage in ("setup", "run"):
        setattr(environment, stage, timing(stage, getattr(environment, stage)))
    try:
        yield
    finally:
        for stage in ("setup", "run"):
            delattr(environment, stage)
