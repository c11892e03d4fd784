r"""MATH-500 and AIME, asked as in DeepSeek's and Qwen's reports: the problem, then "reason step by step … \boxed{}"."""

from typing import ClassVar

from pydantic import Field

from ...dataset import Examples
from ..math import MathProblems

INSTRUCTION = r"Please reason step by step, and put your final answer within \boxed{}."


class Math500(MathProblems):
    """MATH-500 (Hendrycks et al., 2021; Lightman et al., 2023): 500 problems of MATH."""

    class Config(MathProblems.Config):
        """Where the problems are; ``where = {level = 5}`` asks the hardest."""

        dataset: str = "HuggingFaceH4/MATH-500"
        """If there is no ``path``: a dataset id on the Hugging Face Hub, or a folder that ``datasets`` can load."""
        splits: dict[str, str] = Field(default_factory=lambda: {"test": "test"})
        """The name of the only split."""
        question: str = "problem"
        """The column of the problem."""
        answer: str = "answer"
        """The column of the answer."""
        instruction: str = INSTRUCTION
        """Text after each problem; none if empty."""

    example_rows: ClassVar[Examples] = {
        "": {"problem": "What is $2^{10}$?", "answer": "1024", "level": 1, "subject": "Algebra"}
    }


class Aime(MathProblems):
    """AIME: competition problems whose answers are integers from 0 to 999."""

    class Config(MathProblems.Config):
        """Where the problems are; ``dataset`` chooses the year."""

        dataset: str = "HuggingFaceH4/aime_2024"
        """If there is no ``path``: a dataset id on the Hugging Face Hub, or a folder that ``datasets`` can load."""
        splits: dict[str, str] = Field(default_factory=lambda: {"test": "train"})
        """The name of the only split."""
        instruction: str = INSTRUCTION
        """Text after each problem; none if empty."""

    example_rows: ClassVar[Examples] = {
        "": {"problem": "What is the remainder of $2^{10}$ divided by 1000?", "answer": "24"}
    }
