"""Settings of the rows that ``lachesis sft`` and ``lachesis dpo`` train on."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ...verifiers.settings import Settings


class DataConfig(Settings):
    """The rows that are trained on."""

    path: Path
    """File or folder with the rows: Parquet, Arrow, JSONL, JSON or CSV. Of a folder, all its files are read."""
    validation: Path | None = None
    """File or folder with rows that are only evaluated, every ``eval.every`` steps. If left out, see
    ``validation_share``."""
    validation_share: float = Field(0.0, ge=0, lt=1)
    """Share of the rows of ``path`` that is held back for validation. The seed chooses them."""
    epochs: int = Field(1, ge=1)
    """Passes over the rows. A value of ``trainer.steps`` above 0 counts instead."""
    batch: int = Field(32, ge=1)
    """Rows of one step."""
    batch_tokens: int = Field(0, ge=0)
    """The most tokens of one step, as far as a single row has no more. With 0, ``batch`` counts instead."""
    shuffle: bool = True
    """Whether the seed chooses an order for each epoch. Otherwise the rows come in the order of the files."""
    overlong: Literal["drop", "cut"] = "drop"
    """``drop`` leaves out rows with more than ``model.context`` tokens; ``cut`` keeps their first tokens."""

    @model_validator(mode="after")
    def _consistent(self) -> "DataConfig":
        if self.validation is not None and self.validation_share:
            raise ValueError(
                f"validation = {str(self.validation)!r} and validation_share = {self.validation_share:g} exclude each "
                "other: leave one of them out"
            )
        return self
