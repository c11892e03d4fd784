"""IFEval (Zhou et al., 2023): prompts with instructions that a program can check."""

from typing import ClassVar

from pydantic import Field

from ....verifiers.errors import ConfigError, DataError
from ....verifiers.rubric import Rubric, use
from ....verifiers.task import Task
from ...dataset import DatasetConfig, DatasetEnvironment, Examples
from ...rows.column import Row, column, text_column


class IfEval(DatasetEnvironment):
    """A prompt with instructions. A success follows all of them (strict, by prompt); the other figures are metrics.

    ``instruction`` is the strict accuracy by prompt, ``loose`` the loose one, and ``share`` the share of a prompt's
    instructions that are followed.
    """

    class Config(DatasetConfig):
        """Where the prompts are."""

        dataset: str = "google/IFEval"
        """If there is no ``path``: a dataset id on the Hugging Face Hub, or a folder that ``datasets`` can load."""
        splits: dict[str, str] = Field(default_factory=lambda: {"test": "train"})
        """The name of the only split."""

    example_rows: ClassVar[Examples] = {
        "": {
            "key": 1,
            "prompt": "Describe Rome in at least 50 words. Do not use any commas.",
            "instruction_id_list": ["length_constraints:number_words", "punctuation:no_comma"],
            "kwargs": [{"relation": "at least", "num_words": 50}, {}],
        }
    }
    rubric = Rubric(
        use("instruction"),
        use("instruction", label="loose", weight=0.0, mode="loose"),
        use("instruction", label="share", weight=0.0, credit="share"),
        success="instruction",
    )

    def task_of(self, row: Row) -> Task:
        """The prompt as it is; parameters without a value belong to other kinds of instructions."""
        names, kwargs = column(row, "instruction_id_list"), column(row, "kwargs")
        if not isinstance(kwargs, list) or not all(isinstance(params, dict) for params in kwargs):
            raise DataError(f"'kwargs' must be a list of objects, found {kwargs!r:.80}")
        given = [{key: value for key, value in params.items() if value is not None} for params in kwargs]
        answer = {"instruction_id_list": names, "kwargs": given}
        return Task(text_column(row, "prompt"), answer=answer, id=str(row.get("key") or ""))

    def demonstration(self, task: Task) -> str:
        """There is none.

        Raises:
            ConfigError: always, because the rows have no reply that follows the instructions.
        """
        raise ConfigError(
            f"task {task.id} of IFEval has no reply to demonstrate; use another environment for a warm start"
        )
