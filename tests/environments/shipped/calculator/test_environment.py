"""The calculator: players that call it well, badly, or not at all."""

import asyncio
from itertools import islice

import pytest

from lachesis.environments.shipped.calculator.environment import Calculator
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import StopReason, Trajectory

TASK = Task("384*27-60=", answer="10308", info={"expression": "384*27-60"})


def play(*replies: str, environment: Calculator | None = None) -> Trajectory:
    return asyncio.run((environment or Calculator()).attempt(TASK, replies))


def call(expression: str, tool: str = "calculate") -> str:
    return f'<tool_call>{{"name": "{tool}", "arguments": {{"expression": "{expression}"}}}}</tool_call>'


@pytest.mark.parametrize("settings", [{}, {"digits": 1, "operators": 1}, {"digits": 12, "operators": 8, "signs": "*"}])
def test_the_demonstration_earns_everything(settings: dict[str, object]) -> None:
    environment = Calculator(**settings)
    for split in ("train", "test"):
        for task in islice(environment.tasks(split, 0), 40):
            trajectory = asyncio.run(environment.attempt(task, environment.demonstration(task)))
            assert trajectory.rewards["policy"].total == 1.0
            assert trajectory.rewards["policy"].score("called") == 1.0
            assert trajectory.stop is StopReason.DONE


@pytest.mark.parametrize(
    ("replies", "status", "heard"),
    [
        ((call("384*27-60"), "10307"), "wrong", "10308"),
        ((call("384*27-60"), ""), "unparseable", "10308"),
        ((call("384*27-60"), "I am done."), "unparseable", "10308"),
        ((call("384*27-60", "calculater"), "1"), "wrong", "did you mean 'calculate'"),
        ((call("__import__('os')"), "1"), "wrong", "NotAnExpression"),
        ((call("9**9**9"), "1"), "wrong", "a number was expected"),
        (('<tool_call>{"name": "calculate"', "1"), "wrong", "could not be read"),
        (('<tool_call>{"name": "calculate", "arguments": {"e": 1}}</tool_call>', "1"), "wrong", "bad arguments"),
        (("",), "unparseable", ""),
    ],
)
def test_bad_players_earn_nothing_and_are_told_why(replies: tuple[str, ...], status: str, heard: str) -> None:
    trajectory = play(*replies)
    (correct,) = (part for part in trajectory.rewards["policy"].components if part.label == "correct")
    assert trajectory.rewards["policy"].total == 0.0
    assert correct.verdict.status == status
    assert heard in "".join(
        message["content"] for message in trajectory.messages["policy"] if message["role"] == "tool"
    )


def test_a_call_that_spells_the_value_is_no_answer() -> None:
    trajectory = play(call("384*27-60"), *[call("10308")] * 10)
    assert trajectory.stop is StopReason.TURNS
    assert trajectory.rewards["policy"].total == 0.0
    assert "calls a tool" in trajectory.rewards["policy"].components[-1].verdict.reason


def test_too_many_calls_end_the_episode() -> None:
    assert play(call("1+1") * 9, "10308").stop is StopReason.TOOL_CALLS


def test_an_error_can_be_recovered_from() -> None:
    trajectory = play(call("384**27"), call("384*27-60"), "It is 10308.")
    assert trajectory.rewards["policy"].total == 1.0
    assert trajectory.metrics["tool_errors"] == 1.0


@pytest.mark.parametrize("settings", [{}, {"digits": 1, "operators": 1}])
def test_no_held_out_expression_is_trained(settings: dict[str, object]) -> None:
    environment = Calculator(**settings)
    test = {task.prompt for task in environment.tasks("test", 0)}
    assert test == {task.prompt for task in environment.tasks("test", 1)}
    assert len(test) > 40
    train = [task.prompt for task in islice(environment.tasks("train", 0), 3000)]
    assert not test & set(train)  # type: ignore[arg-type]
    assert train != [task.prompt for task in islice(environment.tasks("train", 1), 3000)]
