"""GSM8K: grade-school word problems (Cobbe et al., 2021), from a local file or from the Hugging Face Hub."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from ...verifiers.errors import DataError
from ...verifiers.rubric import Rubric, use
from ...verifiers.task import Task
from ..dataset import DatasetConfig, DatasetEnvironment, Examples
from ..rows.column import Row

INSTRUCTION = r"Reason step by step, and put the final number within \boxed{}."


class Gsm8k(DatasetEnvironment):
    """A word problem; the reply ends with one number, and is a success if the number is right."""

    class Config(DatasetConfig):
        """Where the problems come from (``path`` or ``dataset``), and how they are asked."""

        path: Path | None = None
        """A file of {question, answer} rows (Parquet, JSONL, CSV, …), or a folder with files for each split."""
        dataset: str = "openai/gsm8k"
        """If there is no ``path``: a dataset id on the Hugging Face Hub, or a folder that ``datasets`` can load."""
        name: str | None = "main"
        """The dataset's configuration on the Hub; in a folder, only files with this word, if there are any."""
        held_out: float = Field(0.0, ge=0, le=1)
        """Share of a single file that is the test split. With 0, each split is the whole file."""
        instruction: str = INSTRUCTION
        """Text after each question; none if empty."""

    example_rows: ClassVar[Examples] = {
        "": {"question": "Tom has 3 apples and buys 2. How many has he?", "answer": "3 + 2 = 5\n#### 5"}
    }
    rubric = Rubric(use("math"), use("format", weight=0.0, required=False), success="math")

    def task_of(self, row: Row) -> Task:
        """The question as a task; its solution goes into the info, which the model does not see."""
        question, answer = row.get("question"), row.get("answer")
        if not isinstance(question, str) or not isinstance(answer, str) or not question.strip():
            raise DataError(f"expected the texts question and answer, found {sorted(row)}")
        solution, mark, final = answer.rpartition("####")
        if not mark or not final.strip():
            raise DataError(f"the answer does not end with '#### N': {answer[-80:]!r}")
        prompt = f"{question.strip()}\n\n{self.config.instruction}".strip()
        return Task(prompt, answer=final.strip(), info={"solution": solution.strip()})

    def demonstration(self, task: Task) -> str:
        """The reference solution, then the answer in its box."""
        return f"{task.info['solution']}\n\\boxed{{{task.answer}}}"
