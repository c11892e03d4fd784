"""Environments that are broken in one way each: the audit finds each by its name, and says nothing of a sound one."""

import asyncio
import itertools
import math
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.audit.audit import Audit
from lachesis.environments.audit.draw import draw
from lachesis.environments.audit.finding import KINDS, Finding, Report
from lachesis.environments.environment import Environment
from lachesis.environments.episode import Episode
from lachesis.verifiers.case import Case
from lachesis.verifiers.rubric import Rubric, group_reward, reward, use
from lachesis.verifiers.task import Task
from lachesis.verifiers.verdict import Verdict, infra_error


class Sound(Environment):
    """Numbers to be doubled."""

    rubric = Rubric(use("exact"))

    def tasks(self, split: Any, seed: int) -> Iterator[Task]:
        rng = random.Random(f"{split} {seed}")
        while True:
            number = rng.randrange(100, 500)
            yield Task(f"Twice {number}?", answer=str(2 * number))


class Judged(Sound):
    """The same, with a reward of its own in place of the rubric."""

    rubric = Rubric()


class AlwaysRight(Judged):
    @reward()
    def right(self, case: Case) -> float:
        return 1.0


class Contains(Judged):
    @reward()
    def right(self, case: Case) -> float:
        return float(case.answer in case.completion)


class Prefix(Judged):
    @reward()
    def right(self, case: Case) -> float:
        return float(bool(case.completion.strip()) and case.answer.startswith(case.completion.strip()[:1]))


class Impressed(Judged):
    """Takes anything that is long enough."""

    @reward()
    def long(self, case: Case) -> float:
        return float(case.completion == case.answer or len(case.completion) > 3000)


class EmptyPasses(Judged):
    @reward()
    def right(self, case: Case) -> float:
        return float(case.answer.startswith(case.completion.strip()))


class AnyNumber(Judged):
    @reward()
    def right(self, case: Case) -> float:
        return float(case.completion.isdigit())


class Shout(Sound):
    def tasks(self, split: Any, seed: int) -> Iterator[Task]:
        for word in ("alpha", "bravo", "delta", "gamma", "omega", "sigma"):
            yield Task(f"Repeat: {word}", answer=word)


class Loud(Shout):
    """Its prompt is a right reply."""

    rubric = Rubric()

    @reward()
    def right(self, case: Case) -> float:
        return float(case.completion.endswith(case.answer))


class NeverRight(Judged):
    @reward()
    def right(self, case: Case) -> float:
        return 0.0


class Raises(Judged):
    @reward()
    def right(self, case: Case) -> float:
        return float(int(case.completion) == int(case.answer))


class RunRaises(Sound):
    async def run(self, episode: Episode) -> None:
        chat = episode.chat()
        chat.add("user", episode.task.messages[0]["content"])
        float((await chat.reply()).text)


class NoDemonstration(Sound):
    def demonstration(self, task: Task) -> str:
        return str(task.info["solution"])


class NotANumber(Judged):
    @reward()
    def right(self, case: Case) -> float:
        return math.nan


class GivesNan(Judged):
    async def run(self, episode: Episode) -> None:
        episode.reward("right", math.nan)


class CannotJudge(Judged):
    @reward()
    def right(self, case: Case) -> Verdict:
        return infra_error("the judge is not at home")


class CannotCompare(Sound):
    @group_reward(weight=0.5)
    def better(self, cases: list[Case]) -> list[float]:
        return [1.0]


class NoReward(Judged):
    pass


class Unseeded(Sound):
    async def run(self, episode: Episode) -> None:
        chat = episode.chat()
        chat.add("user", f"{episode.task.prompt} {random.random()}")
        await chat.reply()


COUNT = itertools.count()


class Live(Judged):
    """It judges by what no stored episode holds."""

    @reward()
    def right(self, case: Case) -> float:
        return float(case.completion == case.answer) * (1 + next(COUNT))


class Hangs(Sound):
    async def run(self, episode: Episode) -> None:
        await asyncio.sleep(60)


class JudgeHangs(Judged):
    @reward()
    async def right(self, case: Case) -> float:
        await asyncio.sleep(60)
        return 1.0


class Metric(Sound):
    """Whatever is said earns nothing."""

    rubric = Rubric(use("exact", weight=0.0))


def audited(environment: Environment, tasks: int = 6, **options: Any) -> Report:
    report = Report(environment.label)
    drawn = draw(environment, "train", 0, tasks, tasks).tasks
    asyncio.run(Audit(environment, report, **options).play(drawn))
    return report


def found(report: Report, kind: str) -> Finding:
    assert kind in KINDS
    findings = [finding for finding in report.findings if finding.kind == kind]
    assert findings, [finding.kind for finding in report.findings]
    return findings[0]


def test_a_sound_environment_is_clean_and_every_player_has_played() -> None:
    report = audited(Sound())
    assert report.findings == []
    assert report.clean
    assert report.skipped == {}
    assert report.players["gold"] == (6, 6)
    bad = {"empty", "echo", "truncated", "shuffled", "mutated", "hedged", "in_think", "random", "hostile"}
    assert {name for name, (plays, passed) in report.players.items() if plays and passed == 0} == bad
    assert set(report.seconds) == {"setup", "run", "verify"}


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        (EmptyPasses, "empty"),
        (AlwaysRight, "in_think"),
        (AlwaysRight, "zero_variance"),
        (AlwaysRight, "guessable"),
        (Contains, "hedged"),
        (Contains, "in_think"),
        (Contains, "mutated"),
        (Prefix, "truncated"),
        (AnyNumber, "shuffled"),
        (AnyNumber, "mutated"),
        (Impressed, "hostile"),
        (Loud, "echo"),
        (NeverRight, "gold"),
        (NotANumber, "not_finite"),
        (GivesNan, "not_finite"),
        (CannotJudge, "infra_error"),
        (CannotCompare, "infra_error"),
        (NoReward, "no_reward"),
        (Unseeded, "unrepeatable"),
        (Live, "unrepeatable"),
        (Live, "offline"),
        (Metric, "zero_variance"),
    ],
)
def test_what_is_broken_is_found_by_its_name(environment: type[Environment], kind: str) -> None:
    report = audited(environment())
    finding = found(report, kind)
    assert finding.tasks or kind == "guessable"
    if kind != "guessable":
        assert finding.severity == "error"
        assert not report.clean


@pytest.mark.parametrize(
    ("environment", "kind", "line"),
    [
        (Raises, "infra_error", "int(case.completion) == int"),
        (RunRaises, "raises", "float((await chat.reply()).text)"),
        (NoDemonstration, "raises", 'task.info["solution"]'),
        (Hangs, "hang", "await asyncio.sleep(60)"),
        (JudgeHangs, "hang", "await asyncio.sleep(60)"),
    ],
)
def test_an_exception_and_a_hang_are_named_with_file_and_line(
    environment: type[Environment], kind: str, line: str
) -> None:
    message = found(audited(environment(), 1, deadline=0.1), kind).message
    source = Path(__file__).read_text().splitlines()
    place = f"{__file__}, line "
    assert place in message, message
    assert line in source[int(message.partition(place)[2].partition(")")[0]) - 1]


def test_a_reply_that_shows_what_is_wrong_is_shown() -> None:
    finding = found(audited(Contains()), "hedged")
    first, _, second = finding.reply.partition(" or ")
    assert first != second
    assert first.isdigit()
    assert second.isdigit()


class Choir(Environment):
    """Two agents: nothing that one of them says is perfect by itself."""

    agents = ("high", "low")

    def tasks(self, split: Any, seed: int) -> Iterator[Task]:
        yield from (Task(f"sing {number}") for number in range(9))

    async def run(self, episode: Episode) -> None:
        for agent in self.agents:
            chat = episode.chat(agent)
            chat.add("user", episode.task.messages[0]["content"])
            episode.reward("sung", float(len((await chat.reply()).text)), agent=agent)


def test_where_no_single_reply_is_perfect_the_audits_that_need_one_are_skipped_with_the_reason() -> None:
    report = audited(Choir())
    assert report.clean
    ((audits, why),) = report.skipped.items()
    assert "gold" in audits
    assert "2 agents (high, low)" in why
    assert report.players == dict.fromkeys(("silent", "empty", "echo", "hostile"), (6, None))


def test_where_there_is_no_answer_that_is_said_and_players_play_all_the_same() -> None:
    class Open(Judged):
        def tasks(self, split: Any, seed: int) -> Iterator[Task]:
            yield from (Task(f"Say something about {number}.") for number in range(3))

        @reward()
        def right(self, case: Case) -> float:
            return 1 / len(case.completion)

    report = audited(Open())
    assert "write one that returns a perfect reply" in "".join(report.skipped.values())
    assert "division by zero" in found(report, "infra_error").message


def test_a_tool_that_raises_in_the_demonstration_is_named() -> None:
    class Broken(Sound):
        def tools(self, episode: Any) -> list[Any]:
            def look() -> str:
                """Look around."""
                raise KeyError("lamp")

            return [look]

        def demonstration(self, task: Task) -> list[str]:
            return ['<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>', str(task.answer)]

    broken = found(audited(Broken()), "tool")
    assert "tool 'look' failed in the demonstration" in broken.message
    assert re.search(rf"\({re.escape(__file__)}, line \d+\)$", broken.message)
    assert "lamp" in broken.message
    assert broken.severity == "warning"


def test_a_metric_that_cannot_be_judged_is_a_warning() -> None:
    class Measured(Sound):
        @reward(weight=0.0)
        def ratio(self, case: Case) -> float:
            return 1 / len(case.completion)

    report = audited(Measured())
    assert found(report, "infra_error").severity == "warning"
    assert report.clean


def test_a_script_of_several_replies_is_played_turn_by_turn() -> None:
    class Twice(Sound):
        async def run(self, episode: Episode) -> None:
            chat = episode.chat()
            for _ in range(2):
                chat.add("user", episode.task.messages[0]["content"])
                await chat.reply()

        def demonstration(self, task: Task) -> Any:
            return ["let me think", task.answer]

    report = audited(Twice())
    assert report.findings == []
    assert report.players["gold"] == (6, 6)
    assert "truncated" not in report.players


def test_one_that_takes_the_last_of_two_answers_commits_the_reply_to_it_and_is_no_hedge() -> None:
    class Last(Sound):
        rubric = Rubric(use("number"))

    assert audited(Last()).players["hedged"][1] == 0


def test_findings_that_every_task_shows_do_not_flood_the_report() -> None:
    report = audited(NeverRight(), 16)
    assert len([finding for finding in report.findings if finding.kind == "gold"]) <= 5
    assert audited(Raises(), 16).clean is False


def test_an_audit_that_takes_longer_than_its_budget_says_what_it_left_out() -> None:
    class Slow(Sound):
        async def run(self, episode: Episode) -> None:
            await asyncio.sleep(0.01)
            await super().run(episode)

    report = audited(Slow(), 16, budget=0.05)
    assert "further tasks" in report.skipped


def test_every_step_is_announced_before_it_is_made() -> None:
    steps: list[str] = []
    audited(Sound(), 2, step=steps.append)
    assert steps[0].startswith("demonstration of task ")
    assert any(step.startswith("verification of player 'hedged'") for step in steps)
