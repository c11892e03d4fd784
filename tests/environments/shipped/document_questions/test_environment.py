"""Questions about documents: good questions with right answers pay, and nothing else does."""

import re
from itertools import islice

import pytest

from lachesis.environments.shipped.document_questions.document import read_facts
from lachesis.environments.shipped.document_questions.environment import GRAPH, DocumentQuestions
from lachesis.verifiers.task import Task

ENVIRONMENT = DocumentQuestions()
TASKS = list(islice(ENVIRONMENT.tasks("train", 0), 60))


def test_the_demonstrations_pass_and_both_kinds_of_questions_occur() -> None:
    for task in TASKS:
        question, answer = ENVIRONMENT.demonstration(task)
        assert ENVIRONMENT.score(task, question, answer).success is True
        assert ENVIRONMENT.score(task, f"<think>{answer}</think>{question}", f"<think>hm</think>\n{answer}").success
        assert answer == task.answer
    kinds = {str(ENVIRONMENT.demonstration(task)[0]).split()[0] for task in TASKS}  # type: ignore[index]
    assert kinds == {"Who", "How"}


def test_only_a_question_with_the_clues_and_without_the_answer_is_answered() -> None:
    for task in TASKS:
        question, answer = ENVIRONMENT.demonstration(task)
        clue = re.findall(r"\w+", question)[-1]
        for bad in (
            question.rstrip("?"),
            question.replace(clue, "it"),
            f"{answer}: {question}",
            f"{question} 2 + 4?",
            f"Is it six? {question}",
            "x" * 200 + question,
            str(task.prompt),
            "",
        ):
            reward = ENVIRONMENT.score(task, bad, answer)
            assert (reward.gate, reward.total) == ("walk", 0.0), bad


def test_the_answer_is_right_only_if_it_is_the_one_that_was_planned() -> None:
    for task in TASKS[:15]:
        question, answer = ENVIRONMENT.demonstration(task)
        others = {str(value) for fact in read_facts(str(task.prompt)) for value in fact} - {answer}
        assert not any(ENVIRONMENT.score(task, question, other).total for other in others)
        assert not ENVIRONMENT.score(task, question, f"{answer} or {min(others)}").total


def test_an_owner_is_only_asked_for_if_there_is_one() -> None:
    document = {"text": "Tom has 3 cats. Ann has 3 cats."}
    tasks = [ENVIRONMENT.task_of(document, number) for number in range(30)]
    assert {ENVIRONMENT.demonstrated(task)[0].path[1] for task in tasks} == {"number_of"}


def test_splits_share_no_document_and_seeds_give_the_same_tasks() -> None:
    test = list(ENVIRONMENT.tasks("test", 1))
    assert len(test) == 64
    assert list(islice(DocumentQuestions().tasks("train", 0), 60)) == TASKS
    assert not {task.prompt for task in test} & {task.prompt for task in TASKS}
    assert {task.info["difficulty"] for task in test} == {1, 2, 3, 4}
    several = list(islice(DocumentQuestions(walks=2, difficulty=[4]).tasks("train", 0), 4))
    assert [task.info["walk"] for task in several] == [0, 1, 0, 1]


def test_the_graph_is_drawn() -> None:
    assert GRAPH.mermaid().count("-->") == 8


@pytest.mark.parametrize("text", ["", "Nothing is said here."])
def test_a_document_without_facts_ends_the_walk(text: str) -> None:
    task = Task("x", info={"document": {"text": text}, "walk": 0})
    assert ENVIRONMENT.demonstrated(task)[0].ended == "postcondition at facts"
