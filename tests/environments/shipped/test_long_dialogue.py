"""Long conversations: the right line at every turn, and nothing for rules that are dropped on the way."""

import asyncio
from itertools import islice

from lachesis.environments.shipped.long_dialogue import LongDialogue
from lachesis.verifiers.task import Task
from lachesis.verifiers.verdict import Verdict

ENVIRONMENT = LongDialogue()
TASKS = list(islice(ENVIRONMENT.tasks("train", 0), 30))


def kept(task: Task, replies: list[str]) -> Verdict:
    played = asyncio.run(ENVIRONMENT.attempt(task, replies))
    return next(part.verdict for part in played.rewards["policy"].components if part.label == "kept")


def test_twenty_right_lines_are_a_success_with_or_without_reasoning() -> None:
    for task in TASKS[:5]:
        assert len(task.answer) == 20
        assert kept(task, ENVIRONMENT.demonstration(task)).passed
        assert kept(task, [f"<think>hm</think>\n{line}" for line in task.answer]).passed


def test_the_score_is_the_share_of_right_turns_and_only_all_of_them_pass() -> None:
    task = TASKS[0]
    late = kept(task, [*task.answer[:19], "OK"])
    assert (late.score, late.status, late.evidence["first_wrong_turn"]) == (0.95, "wrong", 20)
    assert kept(task, [*task.answer[:5], *["OK"] * 15]).score == 0.25
    assert kept(task, task.answer[:10]).score == 0.5


def test_a_constant_reply_or_an_echo_earns_little_and_never_passes() -> None:
    for task in TASKS:
        messages = [str(task.prompt), *task.info["messages"]]
        assert kept(task, messages).score == 0.0
        assert kept(task, [""] * 20).score == 0.0
        assert (kept(task, [task.answer[0]] * 20).score or 0) <= 0.5
        assert not kept(task, [task.answer[-1]] * 20).passed


def test_distractions_change_nothing_and_orders_change_the_counts() -> None:
    for task in TASKS:
        for number, message in enumerate(task.info["messages"]):
            before, after = (line.rstrip(" *!") for line in task.answer[number : number + 2])
            orders = ("Add", "Take", "Exchange", "Swap", "There are")
            assert (before == after) != message.startswith(orders), message


def test_the_number_of_turns_and_things_is_a_setting() -> None:
    task = next(LongDialogue(turns=3, items=2, distractions=0.0).tasks("train", 0))
    assert (len(task.answer), len(task.info["messages"])) == (3, 2)


def test_splits_share_no_task_and_seeds_give_the_same_tasks() -> None:
    test = {str(task.prompt) for task in ENVIRONMENT.tasks("test", 1)}
    assert list(islice(LongDialogue().tasks("train", 0), 30)) == TASKS
    assert not test & {str(task.prompt) for task in TASKS}
