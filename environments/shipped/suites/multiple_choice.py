"""GPQA, MMLU and ARC: questions with options, asked and scored as in OpenAI's simple-evals, without examples."""

import random
from typing import Any, ClassVar

from pydantic import Field

from ....verifiers.errors import DataError
from ....verifiers.rubric import Rubric, use
from ....verifiers.task import Task
from ....verifiers.text.choices.choice import LABELS
from ...dataset import DatasetConfig, DatasetEnvironment, Examples
from ...rows.column import Row, column, find, text_column

PROMPT = """\
Answer the following multiple choice question. The last line of your response should be of the following format: \
'Answer: $LETTER' (without quotes) where LETTER is one of {letters}. Think step by step before answering.

{question}

{options}"""


class _MultipleChoice(DatasetEnvironment):
    """A question with options; the last line of the reply names one."""

    rubric = Rubric(use("choice"), use("format", weight=0.0, required=False), success="choice")

    def demonstration(self, task: Task) -> str:
        """The right letter, in the form that is asked for."""
        return f"Answer: {task.answer}"


class Gpqa(_MultipleChoice):
    """GPQA (Rein et al., 2023): questions of science with four options, in an order that depends on the question."""

    class Config(DatasetConfig):
        """Where the questions are."""

        dataset: str = "Idavidrein/gpqa"
        """If there is no ``path``: a dataset id on the Hugging Face Hub, or a folder that ``datasets`` can load."""
        name: str | None = "gpqa_diamond"
        """Its configuration: gpqa_diamond, gpqa_main or gpqa_extended; in a folder, the file of this name."""
        splits: dict[str, str] = Field(default_factory=lambda: {"test": "train"})
        """The name of the only split."""

    example_rows: ClassVar[Examples] = {
        "": {
            "Question": "Which particle carries the electromagnetic force?",
            "Correct Answer": "the photon",
            "Incorrect Answer 1": "the gluon",
            "Incorrect Answer 2": "the W boson",
            "Incorrect Answer 3": "the Higgs boson",
            "Record ID": "rec1",
        }
    }

    def task_of(self, row: Row) -> Task:
        """The question with its options in a shuffled order, the same each time."""
        question = text_column(row, "Question")
        right = text_column(row, "Correct Answer")
        options = [right, *(text_column(row, f"Incorrect Answer {number}") for number in (1, 2, 3))]
        random.Random(question).shuffle(options)
        return _task(question, options, options.index(right), str(row.get("Record ID") or ""))


class Mmlu(_MultipleChoice):
    """MMLU (Hendrycks et al., 2021): questions from 57 subjects with four options."""

    class Config(DatasetConfig):
        """Where the questions are; ``where = {subject = "anatomy"}`` asks those of one subject."""

        dataset: str = "cais/mmlu"
        """If there is no ``path``: a dataset id on the Hugging Face Hub, or a folder that ``datasets`` can load."""
        name: str | None = "all"
        """Its configuration: all, or a subject."""
        splits: dict[str, str] = Field(default_factory=lambda: {"train": "auxiliary_train", "test": "test"})
        """The names of the two splits."""

    example_rows: ClassVar[Examples] = {
        "": {
            "question": "Which of these is a metal?",
            "subject": "high_school_chemistry",
            "choices": ["iron", "glass", "wood", "wool"],
            "answer": 0,
        }
    }

    def task_of(self, row: Row) -> Task:
        """The question; its answer is an index from 0 or a letter."""
        right = _index(column(row, "answer"), list(LABELS))
        return _task(text_column(row, "question"), column(row, "choices"), right)


class Arc(_MultipleChoice):
    """ARC (Clark et al., 2018): questions of school science with three to five options."""

    class Config(DatasetConfig):
        """Where the questions are."""

        dataset: str = "allenai/ai2_arc"
        """If there is no ``path``: a dataset id on the Hugging Face Hub, or a folder that ``datasets`` can load."""
        name: str | None = "ARC-Challenge"
        """Its configuration: ARC-Challenge or ARC-Easy."""

    example_rows: ClassVar[Examples] = {
        "": {
            "id": "own-0",
            "question": "Which of these is a metal?",
            "choices": {"text": ["iron", "glass", "wood"], "label": ["A", "B", "C"]},
            "answerKey": "A",
        }
    }

    def task_of(self, row: Row) -> Task:
        """The question; its options have letters, whatever labels the row gives them."""
        question = text_column(row, "question.stem" if isinstance(row.get("question"), dict) else "question")
        choices = column(row, "question.choices" if find(row, "question.choices") else "choices")
        if isinstance(choices, list):  # as in the files of the authors
            choices = {key: [find(choice, key) for choice in choices] for key in ("text", "label")}
        options, labels = (column({"choices": choices}, f"choices.{key}") for key in ("text", "label"))
        return _task(question, options, _index(column(row, "answerKey"), labels), str(row.get("id") or ""))


def _index(answer: Any, labels: list[Any]) -> int:
    """The index that an answer stands for: itself, or the place of its label."""
    if isinstance(answer, int) and not isinstance(answer, bool):
        return answer
    if isinstance(answer, str) and answer.strip() in labels:
        return labels.index(answer.strip())
    raise DataError(f"the answer is an index or one of the labels {', '.join(map(str, labels))}, found {answer!r:.80}")


def _task(question: str, options: Any, right: int, name: str = "") -> Task:
    if not isinstance(options, list) or not 2 <= len(options) <= len(LABELS):
        raise DataError(f"a question has a list of 2 to {len(LABELS)} options, found {options!r:.80}")
    if not all(isinstance(option, str) and option.strip() for option in options):
        raise DataError(f"options must be texts that are not blank, found {options!r:.80}")
    if not 0 <= right < len(options):
        raise DataError(f"the answer is the index {right}, and there are {len(options)} options")
    letters = LABELS[: len(options)]
    listed = "\n".join(f"{letter}) {option.strip()}" for letter, option in zip(letters, options, strict=True))
    prompt = PROMPT.format(letters=letters, question=question, options=listed)
    return Task(prompt, answer=letters[right], info={"options": options}, id=name)
