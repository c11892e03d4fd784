"""HumanEval and MBPP, asked without examples and with the tests that their authors publish."""

from typing import ClassVar, Literal

from pydantic import Field

from ....verifiers.code.suite import read_texts
from ....verifiers.task import Task
from ...dataset import Examples
from ...rows.column import Row, column, text_column
from ..code import EXAMPLE_ROWS, Code


class HumanEval(Code):
    """HumanEval (Chen et al., 2021): 164 functions to complete; the prompt is that of OpenAI's simple-evals."""

    class Config(Code.Config):
        """Where the problems are."""

        dataset: str = "openai/openai_humaneval"
        """If there is no ``path``: a dataset id on the Hugging Face Hub, or a folder that ``datasets`` can load."""
        splits: dict[str, str] = Field(default_factory=lambda: {"test": "test"})
        """The name of the only split."""
        format: Literal["humaneval"] = "humaneval"
        """The form of the rows."""
        instruction: str = (
            "Read the following function signature and docstring, and fully implement the function described. Your "
            "response should only contain the code for this function."
        )
        """Text before each function."""

    example_rows: ClassVar[Examples] = {"": EXAMPLE_ROWS['format = "humaneval"']}

    def task_of(self, row: Row) -> Task:
        """The function's head, after the instruction."""
        task = super().task_of(row)
        return Task(f"{self.config.instruction}\n{column(row, 'prompt')}", task.answer, task.info, task.id)


class Mbpp(Code):
    """MBPP (Austin et al., 2021): 500 short functions; the prompt is the published one, with all tests in it."""

    class Config(Code.Config):
        """Where the problems are."""

        dataset: str = "google-research-datasets/mbpp"
        """If there is no ``path``: a dataset id on the Hugging Face Hub, or a folder that ``datasets`` can load."""
        name: str | None = "full"
        """Its configuration: full or sanitized."""
        format: Literal["mbpp"] = "mbpp"
        """The form of the rows."""
        instruction: str = "You are an expert Python programmer, and here is your task:"
        """Text before each problem."""

    example_rows: ClassVar[Examples] = {"": EXAMPLE_ROWS['format = "mbpp"']}

    def task_of(self, row: Row) -> Task:
        """The problem between the instruction and the tests."""
        task = super().task_of(row)
        question = text_column(row, "text" if row.get("text") else "prompt")
        tests = "\n".join(read_texts(column(row, "test_list"), "'test_list'"))
        prompt = f"{self.config.instruction} {question} Your code should pass these tests:\n\n{tests}"
        return Task(prompt, task.answer, task.info, task.id)
