"""Expected answers that no reply can match are found before anyone plays."""

import asyncio
from collections.abc import Iterator

from lachesis.environments.audit.expected_answer import check_expected_answers
from lachesis.environments.environment import Environment, Split
from lachesis.verifiers.rubric import Rubric, use
from lachesis.verifiers.task import Task


class Sums(Environment):
    """A question with a formula as its answer."""

    rubric = Rubric(use("math"), use("format", weight=0.0))

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        yield Task("1 + 1?", "2")


class Words(Sums):
    """No verifier of this one can check its answers."""

    rubric = Rubric(use("exact"))


def test_each_answer_that_cannot_verify_itself_is_a_finding_with_its_task() -> None:
    tasks = [Task("?", answer) for answer in ("2", r"\frac{1}{", ["3"], ["3", "4"], "nan", r"x\in(0,1]", None)]
    findings = asyncio.run(check_expected_answers(Sums(), tasks))
    assert [finding.tasks for finding in findings] == [(tasks[number].id,) for number in (1, 3, 4, 6)]
    assert {finding.kind for finding in findings} == {"gold"}
    assert "repair the dataset" in findings[0].message


def test_the_answers_of_a_tasks_own_verifiers_are_checked_too() -> None:
    own = [{"verifier": "math", "answer": answer} for answer in ("2", "nan")]
    tasks = [Task("?", "1", verify=(entry,)) for entry in own]
    (finding,) = asyncio.run(check_expected_answers(Words(), tasks))
    assert finding.tasks == (tasks[1].id,)
    assert "'task/math'" in finding.message


def test_verifiers_without_a_self_check_find_nothing() -> None:
    assert asyncio.run(check_expected_answers(Words(), [Task("?", None)])) == []
