"""Skills: what is written after a success helps in later tasks, and nothing else earns."""

import asyncio
import json
from itertools import islice
from typing import Any

import pytest

from lachesis.environments.shipped.skills.environment import Skills
from lachesis.environments.shipped.skills.written import written_skill
from lachesis.verifiers.errors import DataError
from lachesis.verifiers.trajectory import Trajectory


def played(environment: Skills, task: Any, script: list[str]) -> Trajectory:
    return asyncio.run(environment.attempt(task, script))


def total(trajectory: Trajectory) -> float:
    assert trajectory.error is None, trajectory.error
    return float(trajectory.rewards["policy"].total)


@pytest.fixture(scope="module")
def skills() -> Skills:
    return Skills(difficulty=[2])


@pytest.fixture(scope="module")
def task(skills: Skills) -> Any:
    return next(iter(skills.tasks("train", 1)))


def test_the_demonstration_earns_everything_and_its_skill_is_exported(skills: Skills, task: Any) -> None:
    done = played(skills, task, list(skills.demonstration(task)))
    assert total(done) == pytest.approx(1.7)
    assert done.rewards["policy"].success
    written = written_skill(done)
    assert written.content.startswith(f"---\nname: procedure-{task.info['family'].lower()}\n")
    assert written.messages[0]["content"] == task.prompt
    assert [message["role"] for message in written.messages] == ["user", "assistant", "user", "assistant", "tool"]
    with pytest.raises(DataError, match="no skill was written"):
        written_skill(played(skills, task, [""]))
    with pytest.raises(DataError, match="did not help"):
        written_skill(played(skills, task, list(skills.demonstration(task))[:4]))


def test_later_tasks_that_are_solved_without_the_skill_count_but_did_not_need_help(skills: Skills, task: Any) -> None:
    first, written, *later = skills.demonstration(task)
    done = played(skills, task, [first, written, *later[1::2]])
    rewards = {part.label: part.verdict.score for part in done.rewards["policy"].components}
    assert (rewards["solved"], rewards["used"], rewards["helped"]) == (1.0, 0.0, 0.0)


def test_reading_the_skill_of_another_family_is_no_use(skills: Skills, task: Any) -> None:
    first, written, *later = skills.demonstration(task)
    call = {"name": "skill_view", "arguments": {"name": f"procedure-{task.info['other'].lower()}"}}
    other = f"<tool_call>{json.dumps(call)}</tool_call>"
    done = played(skills, task, [first, written, other, later[1], other, later[3]])
    rewards = {part.label: part.verdict.score for part in done.rewards["policy"].components}
    assert (rewards["solved"], rewards["used"], rewards["helped"]) == (1.0, 0.0, 0.0)


def test_a_skill_that_repeats_an_example_earns_nothing_for_solving(skills: Skills, task: Any) -> None:
    first, written, *later = skills.demonstration(task)
    copied = json.loads(written.removeprefix("<tool_call>").removesuffix("</tool_call>"))
    copied["arguments"]["content"] += f"For example {task.info['examples'][0]}."
    done = played(skills, task, [first, f"<tool_call>{json.dumps(copied)}</tool_call>", *later])
    assert not done.rewards["policy"].success


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"action": "delete", "name": "a", "content": "---\ndescription: b\n---\nc"}, "only action"),
        ({"action": "create", "name": "../a", "content": "---\ndescription: b\n---\nc"}, "name has"),
        ({"action": "create", "name": "a", "content": "c"}, "header"),
        ({"action": "create", "name": "a", "content": "---\nname: a\n---\nc"}, "description"),
        ({"action": "create", "name": "a", "content": "---\nname: b\ndescription: b\n---\nc"}, "says that the name"),
        ({"action": "create", "name": "a", "content": "---\ndescription: b\n---\n" + "c" * 900}, "characters"),
    ],
)
def test_files_of_another_form_are_refused_with_the_reason(
    arguments: dict[str, str], why: str, skills: Skills, task: Any
) -> None:
    call = f"<tool_call>{json.dumps({'name': 'skill_manage', 'arguments': arguments})}</tool_call>"
    done = played(skills, task, [skills.demonstration(task)[0], call])
    assert why in done.messages["policy"][-2]["content"]
    assert total(done) == 0.0


def test_procedures_that_leave_no_letter_are_not_drawn() -> None:
    for task in islice(Skills(difficulty=[4]).tasks("train", 0), 2000):
        assert all(result for _, result in task.info["later"])


def test_no_family_of_the_test_split_is_trained_on(skills: Skills) -> None:
    test = {task.prompt for task in skills.tasks("test", 0)}
    assert len(test) == 16
    assert not test & {task.prompt for task in islice(skills.tasks("train", 3), 300)}


@pytest.mark.parametrize("brief", [False, True])
def test_procedures_of_level_0_replace_every_word_by_a_letter(brief: bool) -> None:
    environment = Skills(difficulty=[0], examples=1, later=2, brief=brief)
    for task in islice(environment.tasks("train", 0), 300):
        (letter,) = task.info["procedure"]
        assert task.answer == letter == task.info["first"][-1]
        assert {result for _, result in task.info["later"]} == {letter}
        texts = [str(task.prompt), *(word for word, _ in task.info["later"]), *task.info["examples"]]
        assert sum(text.count(letter) for text in texts) == 1, "only the example shows the letter"
        assert task.info["other"] != task.info["family"]
    assert total(played(environment, task, list(environment.demonstration(task)))) == pytest.approx(1.7)
    wrong = "Q" if letter != "Q" else "X"
    script = [text.replace(f"<answer>{letter}", f"<answer>{wrong}") for text in environment.demonstration(task)]
    assert total(played(environment, task, [environment.demonstration(task)[0], *script[1:]])) == pytest.approx(0.2)


def test_brief_prompts_say_only_what_differs() -> None:
    environment = Skills(difficulty=[0], examples=1, later=1, brief=True)
    task = next(iter(environment.tasks("train", 1)))
    done = played(environment, task, list(environment.demonstration(task)))
    family, (example, letter) = task.info["family"], (task.info["examples"][0], task.info["procedure"][0])
    assert task.prompt == f"{family}: {example} → {letter}\n{family}: {task.info['first'][0]}"
    assert done.artifacts["writing"][2]["content"] == f"Save {family}"
    assert done.messages["policy"][0]["content"].endswith(f".\n{family}: {task.info['later'][0][0]}")
    difficult = Skills(difficulty=[2], brief=True)
    task = next(iter(difficult.tasks("train", 1)))
    assert total(played(difficult, task, list(difficult.demonstration(task)))) == pytest.approx(1.7)
