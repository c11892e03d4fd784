"""Mathematical problems with answers, from any dataset that has a column for either."""

from ...verifiers.errors import DataError
from ...verifiers.math.answer import expected_answer, last_box
from ...verifiers.rubric import Rubric, use
from ...verifiers.task import Task
from ..dataset import DatasetConfig, DatasetEnvironment, Row, column, text_column

INSTRUCTION = r"Reason step by step, and put the final answer within \boxed{}."


class MathProblems(DatasetEnvironment):
    r"""A problem of any dataset with answers; the reply ends with the answer in ``\boxed{}``."""

    class Config(DatasetConfig):
        """What the dataset calls its columns, and how problems are put."""

        question: str = "question"
        """The column of the problem."""
        answer: str = "answer"
        r"""The column of the answer, or of a text that gives it in ``\boxed{}`` or after ``####``."""
        solution: str = ""
        """The column of a worked solution, for demonstrations; empty for none."""
        instruction: str = INSTRUCTION
        """Put after each problem; empty for none."""

    rubric = Rubric(use("math"), use("format", weight=0.0, required=False))

    def task_of(self, row: Row) -> Task:
        """The problem; what the row says beyond the final answer stays in the task's info."""
        question, value = text_column(row, self.config.question), column(row, self.config.answer)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise DataError(f"{self.config.answer!r} is a text or a number, found {value!r:.80}")
        answer = expected_answer(str(value))
        if not answer:
            raise DataError(f"{self.config.answer!r} holds no answer: {value!r:.80}")
        worked = text_column(row, self.config.solution) if self.config.solution else ""
        if not worked and answer != str(value).strip():
            worked = str(value).strip()
        prompt = f"{question}\n\n{self.config.instruction}".strip()
        return Task(prompt, answer=answer, info={"solution": worked})

    def demonstration(self, task: Task) -> str:
        """The worked solution, where there is one, and the answer in its box; two boxes would be a hedge."""
        box = f"\\boxed{{{task.answer}}}"
        worked = str(task.info["solution"])
        if "\\boxed" not in worked:
            return f"{worked}\n{box}".strip()
        return worked if worked.count("\\boxed") == 1 and last_box(worked) else box
