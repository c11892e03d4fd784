"""Settings for reasoning: whether a policy thinks in ``<think>`` before it answers, and for how long."""

import random
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from ..verifiers.settings import Settings


class Thinking(Settings):
    """Whether replies begin with reasoning, and how long it may be."""

    mode: Literal["free", "on", "off", "mixed"] = "free"
    """``free``: the chat template decides. ``on``: the reply begins inside ``<think>``. ``off``: it begins after an
    empty block. ``mixed``: on for half of the tasks and off for the others."""
    instruction: str = ""
    """Text after the system prompt if thinking is on."""
    budget: int = Field(0, ge=0)
    """Tokens of a reply after which open reasoning is closed. 0 means no limit."""
    closing: str = "\n</think>\n\n"
    """The text that closes reasoning. Its tokens are not sampled, and are marked as ``forced`` in the segment."""
    train: Literal["sampled", "closing"] = "sampled"
    """``sampled`` trains on sampled tokens. ``closing`` trains only on forced closings, with advantage 1, so that the
    policy learns only to end its reasoning at the budget (the length control of Hermes 4)."""

    def drawn(self, seed: Sequence[int]) -> "Thinking":
        """These settings with ``mixed`` decided; attempts at one task differ in the last number of ``seed``."""
        if self.mode != "mixed":
            return self
        on = random.Random(repr(("thinking", *seed[:-1]))).random() < 0.5
        return self.model_copy(update={"mode": "on" if on else "off"})
