"""Mathematical problems from any dataset with a column for the problem and one for the answer."""

from ...verifiers.errors import DataError
from ...verifiers.math.answer import last_box
from ...verifiers.math.gold import read_gold
from ...verifiers.rubric import Rubric, use
from ...verifiers.task import Task
from ..dataset import DatasetConfig, DatasetEnvironment, Row, column, text_column

INSTRUCTION = r"Reason step by step, and put the final answer within \boxed{}."


class MathProblems(DatasetEnvironment):
    r"""A problem of any dataset with answers; the reply ends with the answer in ``\boxed{}``.

    An attempt is a success if the answer is right.
    """

    class Config(DatasetConfig):
        """The names of the dataset's columns, and how problems are asked."""

        question: str = "question"
        """The column of the problem."""
        answer: str = "answer"
        r"""The column of the answer, or of a text that gives the answer in ``\boxed{}`` or after ``####``."""
        solution: str = ""
        """The column of a worked solution, for demonstrations; none if empty."""
        instruction: str = INSTRUCTION
        """Text after each problem; none if empty."""

    rubric = Rubric(use("math"), use("format", weight=0.0, required=False), success="math")

    def task_of(self, row: Row) -> Task:
        """The problem as a task; a worked solution goes into the info, which the model does not see."""
        question, value = text_column(row, self.config.question), column(row, self.config.answer)
        try:
            answer = read_gold(value)
        except DataError as error:
            raise DataError(f"{self.config.answer!r}: {error}") from error
        worked = text_column(row, self.config.solution) if self.config.solution else ""
        if not worked and isinstance(value, str) and answer != value.strip():
            worked = value.strip()
        prompt = f"{question}\n\n{self.config.instruction}".strip()
        return Task(prompt, answer=answer, info={"solution": worked})

    def demonstration(self, task: Task) -> str:
        """The worked solution, if there is one, and the answer in one box: two boxes would be a hedge."""
        box = f"\\boxed{{{task.answer}}}"
        worked = str(task.info["solution"])
        if "\\boxed" not in worked:
            return f"{worked}\n{box}".strip()
        return worked if worked.count("\\boxed") == 1 and last_box(worked) else box
