"""Questions whose answer has to stand in one form: the splits, the discipline of thinking, and the two players."""

from collections import Counter
from itertools import islice
from typing import Any

import pytest

from lachesis.environments.loading import describe
from lachesis.environments.shipped.answer_format import TEST_TASKS, AnswerFormat
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.task import Task
from lachesis.verifiers.text.forms import FORMS


def question(task: Task) -> str:
    return str(task.prompt).partition("\n")[0]


def components(environment: AnswerFormat, task: Task, reply: str) -> dict[str, float | None]:
    return {part.label: part.verdict.score for part in environment.score(task, reply).components}


@pytest.mark.parametrize("think", ["off", "optional", "required"])
def test_the_demonstration_earns_everything_and_what_is_not_in_form_nothing(think: str) -> None:
    environment = describe("answer_format", config={"think": think}).build()
    for task in environment.tasks("test", 0):
        said = environment.demonstration(task)
        assert environment.score(task, said).total == 1.0, task
        for reply in ("", task.answer, f"{said} Right?", f"{said}\n{said}", str(task.prompt)):
            assert environment.score(task, reply).total == 0.0, (task, reply)


def test_every_form_is_tested_and_trained_on_questions_of_its_own() -> None:
    environment = AnswerFormat()
    test, train = list(environment.tasks("test", 0)), list(islice(environment.tasks("train", 0), 5000))
    assert set(Counter(task.info["form"] for task in test).values()) == {TEST_TASKS}
    assert {task.info["form"] for task in train} == {task.info["form"] for task in test} == set(FORMS)
    assert not {question(task) for task in train} & {question(task) for task in test}
    assert len({question(task) for task in train}) > 1000


def test_equal_seeds_give_equal_tasks_and_the_test_split_knows_no_seed() -> None:
    environment = AnswerFormat()
    first, again, other = (list(islice(environment.tasks("train", seed), 50)) for seed in (0, 0, 1))
    assert first == again != other
    assert list(environment.tasks("test", 0)) == list(AnswerFormat().tasks("test", 1))


def test_the_prompt_shows_the_form_with_a_place_for_the_answer_and_not_the_answer() -> None:
    for task in AnswerFormat().tasks("test", 0):
        assert str(task.prompt).endswith(FORMS[task.info["form"]].shape)
        assert FORMS[task.info["form"]].write(task.answer) not in task.prompt


@pytest.mark.parametrize(
    ("think", "reply", "total"),
    [
        ("off", r"\boxed{%s}", 1.0),
        ("off", r"<think>hm</think>\boxed{%s}", 0.0),
        ("optional", r"\boxed{%s}", 1.0),
        ("optional", r"<think>hm</think>\boxed{%s}", 1.0),
        ("optional", r"<think>hm</think><think>hm</think>\boxed{%s}", 0.0),
        ("required", r"\boxed{%s}", 0.0),
        ("required", r"<think></think>\boxed{%s}", 0.0),
        ("required", r"hm <think>hm</think>\boxed{%s}", 0.0),
        ("required", r"<think>hm</think>\boxed{%s}", 1.0),
        ("required", r"<think>\boxed{%s}</think>", 0.0),
    ],
)
def test_thinking_is_off_optional_or_required(think: str, reply: str, total: float) -> None:
    environment = AnswerFormat(forms=["boxed"], think=think)
    for task in environment.tasks("test", 0):
        assert environment.score(task, reply % task.answer).total == total


def test_a_wrong_value_in_the_right_form_earns_nothing_and_is_seen() -> None:
    environment = AnswerFormat(forms=["boxed"])
    task = next(iter(environment.tasks("train", 0)))
    found = components(environment, task, r"\boxed{nonsense}")
    assert (found["answer_form"], found["form"]) == (0.0, 1.0)
    assert environment.rubric.weights == {"format": 0.0, "answer_form": 1.0, "form": 0.0}


@pytest.mark.parametrize(("setting", "said"), [({"forms": ["boxd"]}, "'boxed'"), ({"think": "on"}, "think")])
def test_settings_that_cannot_be_are_refused(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        AnswerFormat(**setting)
