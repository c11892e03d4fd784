"""Goals that are split into steps: any sound plan is right, and no plan that only fits some lists."""

import json
from itertools import islice

from lachesis.environments.shipped.decomposition.environment import LEVELS, Decomposition
from lachesis.verifiers.reward import Reward
from lachesis.verifiers.task import Task

ENVIRONMENT = Decomposition()
TASKS = list(islice(ENVIRONMENT.tasks("train", 0), 40))


def score(task: Task, reply: str) -> Reward:
    return ENVIRONMENT.score(task, reply)


def test_the_intended_plan_is_right_in_any_order_and_with_other_names() -> None:
    for task in TASKS:
        assert score(task, ENVIRONMENT.demonstration(task)).success
        renamed = json.dumps(task.answer[::-1]).replace('"s1"', '"first thing"')
        assert score(task, f"<think>hm</think>```json\n{renamed}\n```").success


def test_an_equivalent_plan_is_right_and_more_rounds_show_in_the_metric() -> None:
    task = next(task for task in TASKS if task.answer[-1]["do"] != "plus" and len(task.answer) < 5)
    *before, goal = task.answer
    longer = [*before, goal | {"id": "g"}, {"id": "z", "do": "minus", "of": ["g", "g"]}]
    longer.append({"id": "goal", "do": "plus", "of": ["g", "z"]})
    found = score(task, json.dumps(longer))
    assert found.success
    assert next(part.verdict.score for part in found.components if part.label == "rounds") < 1.0


def test_a_plan_with_a_step_left_out_or_changed_or_of_another_goal_earns_nothing() -> None:
    for number, task in enumerate(TASKS):
        others = ["", "[]", str(task.prompt), str(task.answer[-1]), ENVIRONMENT.demonstration(TASKS[number - 1])]
        for step in task.answer:
            if "by" in step and step["do"] in ("add", "multiply"):
                others.append(json.dumps([each | {"by": 99} if each is step else each for each in task.answer]))
        others.append('[{"id": "goal", "do": "count", "of": ["A"]}]')
        assert not any(score(task, reply).success for reply in others if reply != ENVIRONMENT.demonstration(task))


def test_levels_rise_in_steps_and_no_prompt_names_one() -> None:
    tasks = list(ENVIRONMENT.tasks("test", 0))
    sizes = {
        level: sum(len(task.answer) for task in tasks if task.info["difficulty"] == level)
        for level in range(1, LEVELS + 1)
    }
    assert list(sizes.values()) == sorted(sizes.values())
    assert sizes[LEVELS] > 3 * sizes[1]


def test_splits_share_no_goal_and_seeds_give_the_same_tasks() -> None:
    test = {str(task.prompt) for task in ENVIRONMENT.tasks("test", 1)}
    assert list(islice(Decomposition().tasks("train", 0), 40)) == TASKS
    assert not test & {str(task.prompt) for task in TASKS}
