"""Mathematical problems from any dataset with a column for the problem and one for the answer."""

from typing import ClassVar

from ...verifiers.adapters import convention_of, from_row
from ...verifiers.errors import DataError
from ...verifiers.math.answer import last_box
from ...verifiers.math.gold import read_gold
from ...verifiers.rubric import Rubric, use
from ...verifiers.task import Task
from ..dataset import DatasetConfig, DatasetEnvironment, Examples
from ..rows.column import Row, column, first_of, prompt_column, text_column

INSTRUCTION = r"Reason step by step, and put the final answer within \boxed{}."
QUESTIONS = ("question", "problem", "prompt", "messages", "Question", "Problem")
ANSWERS = (
    "answer",
    "expected_answer",
    "ground_truth",
    "final_answer",
    "reward_model.ground_truth",
    "Answer",
    "solution",
)


class MathProblems(DatasetEnvironment):
    r"""A problem of any dataset with answers; the reply ends with the answer in ``\boxed{}``.

    An attempt is a success if the answer is right.
    """

    class Config(DatasetConfig):
        """The names of the dataset's columns, and how problems are asked."""

        question: str = ""
        """The column of the problem, a text or messages; if empty, the first of question, problem, prompt, messages."""
        answer: str = ""
        r"""The column of the answer, or of a text that gives the answer in ``\boxed{}`` or after ``####``; if empty,
        the first of answer, expected_answer, ground_truth, final_answer, reward_model.ground_truth, solution."""
        solution: str = ""
        """The column of a worked solution, for demonstrations; none if empty."""
        instruction: str = INSTRUCTION
        """Text after each problem; none if empty."""

    example_rows: ClassVar[Examples] = {
        "": {"problem": "What is $2^{10}$?", "answer": "1024"},
        'question = "chat", answer = "reward_model.ground_truth"': {
            "chat": [{"role": "user", "content": "What is $2^{10}$?"}],
            "reward_model": {"ground_truth": "1024"},
        },
    }
    rubric = Rubric(use("math"), use("format", weight=0.0, required=False), success="math")

    def task_of(self, row: Row) -> Task:
        """The problem as a task; a worked solution goes into the info, which the model does not see.

        Rows of Tülu, SYNTHETIC and verl keep their own prompts, unless the config names a column.
        """
        if not self.config.question and not self.config.answer and (convention := convention_of(row)):
            return self._by_convention(row, convention)
        question = self.config.question or first_of(row, QUESTIONS)
        name = self.config.answer or first_of(row, ANSWERS)
        value = column(row, name)
        try:
            answer = read_gold(value)
        except DataError as error:
            raise DataError(f"{name!r}: {error}") from error
        worked = text_column(row, self.config.solution) if self.config.solution else ""
        if not worked and isinstance(value, str) and answer != value.strip():
            worked = value.strip()
        return Task(prompt_column(row, question, self.config.instruction), answer=answer, info={"solution": worked})

    def _by_convention(self, row: Row, convention: str) -> Task:
        cure = "leave such rows out with `where`, or name the columns `question` and `answer`"
        try:
            task = from_row(row)
        except DataError as error:
            raise DataError(f"{error}; {cure}") from None
        kinds = [entry["verifier"] for entry in task.verify]
        if kinds != ["math"]:
            raise DataError(f"this row of {convention} is scored by {', '.join(kinds)}, not as mathematics; {cure}")
        worked = text_column(row, self.config.solution) if self.config.solution else ""
        return Task(task.prompt, answer=read_gold(task.answer), info={"solution": worked}, id=task.id)

    def demonstration(self, task: Task) -> str:
        """The worked solution, if there is one, and the answer in one box: two boxes would be a hedge."""
        box = f"\\boxed{{{task.answer}}}"
        worked = str(task.info["solution"])
        if "\\boxed" not in worked:
            return f"{worked}\n{box}".strip()
        return worked if worked.count("\\boxed") == 1 and last_box(worked) else box
