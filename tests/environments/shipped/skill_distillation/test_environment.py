"""Skills from worked examples: the second conversation has the skill alone, and only solved instances pay."""

import asyncio
from itertools import islice

from lachesis.environments.shipped.skill_distillation.environment import SkillDistillation
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

ENVIRONMENT = SkillDistillation()
TASKS = list(islice(ENVIRONMENT.tasks("train", 0), 30))


def played(task: Task, *replies: str, environment: SkillDistillation = ENVIRONMENT) -> Trajectory:
    return asyncio.run(environment.attempt(task, replies))


def solved(attempt: Trajectory) -> Verdict:
    return next(part.verdict for part in attempt.rewards["policy"].components if part.label == "solved")


def test_a_skill_with_solved_instances_is_a_success() -> None:
    for task in TASKS:
        skill, answer = ENVIRONMENT.demonstration(task)
        assert solved(played(task, skill, answer)).passed
        assert solved(played(task, f"<think>hm</think>{skill}", f"<think>hm</think>{answer}")).passed
        assert solved(played(task, skill, f"\\boxed{{{', '.join(task.answer).upper()}}}")).passed


def test_the_second_conversation_holds_the_skill_and_the_instances_and_no_example() -> None:
    environment = SkillDistillation(system_prompt="Be brief.")
    for task in TASKS[:10]:
        skill, answer = environment.demonstration(task)
        messages = played(task, skill, answer, environment=environment).messages["policy"]
        assert [message["role"] for message in messages] == ["system", "user", "assistant"]
        asked = str(messages[1]["content"])
        assert skill in asked
        assert all(word in asked for word in task.info["instances"])
        shown = [line.split(" → ")[0] for line in str(task.prompt).splitlines() if " → " in line]
        assert len(shown) == 6
        assert not any(word in asked.replace(skill, "") for word in shown)


def test_the_score_is_the_share_of_instances_that_are_solved() -> None:
    task = TASKS[0]
    skill, _ = ENVIRONMENT.demonstration(task)
    half = [*task.answer[:2], "wrong", "wrong"]
    found = solved(played(task, skill, f"<answer>{', '.join(half)}</answer>"))
    assert (found.score, found.status) == (0.5, "wrong")
    assert solved(played(task, skill, f"<answer>{task.answer[0]}</answer>")).score == 0.0


def test_nothing_is_paid_without_a_skill_or_for_a_copy_of_the_examples_or_of_the_instances() -> None:
    for task in TASKS:
        _, answer = ENVIRONMENT.demonstration(task)
        assert solved(played(task, "", answer)).score == 0.0
        assert solved(played(task, "<think>a skill</think>", answer)).score == 0.0
        assert solved(played(task, str(task.prompt), answer)).score == 0.0
        examples = [line for line in str(task.prompt).splitlines() if " → " in line]
        assert "repeats the example" in solved(played(task, examples[0], answer)).reason
        assert solved(played(task, "\n".join(examples).upper()[:400], answer)).score == 0.0
        assert solved(played(task, answer)).score == 0.0
        unchanged = f"<answer>{', '.join(task.info['instances'])}</answer>"
        assert solved(played(task, "Leave the word as it is.", unchanged)).score == 0.0
        assert not set(task.answer) & set(str(task.prompt).split())


def test_splits_share_no_task_and_seeds_give_the_same_tasks() -> None:
    test = {str(task.prompt) for task in ENVIRONMENT.tasks("test", 1)}
    assert list(islice(SkillDistillation().tasks("train", 0), 30)) == TASKS
    assert not test & {str(task.prompt) for task in TASKS}
