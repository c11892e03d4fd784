"""Whether a policy reasons in ``<think>`` before it answers, and for how long."""

import random
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from ..verifiers.settings import Settings


class Thinking(Settings):
    """Reasoning, switched and bounded."""

    mode: Literal["free", "on", "off", "mixed"] = "free"
    """``free``: as the chat template has it. ``on``: the reply begins inside ``<think>``. ``off``: behind an empty
    block. ``mixed``: each task one or the other, half of them."""
    instruction: str = ""
    """Put behind the system prompt where thinking is on."""
    budget: int = Field(0, ge=0)
    """Tokens of a reply after which a block that is still open is closed; 0 is no bound."""
    closing: str = "\n</think>\n\n"
    """What closes it. These tokens are not sampled, and marked as ``forced`` in the segment."""
    train: Literal["sampled", "closing"] = "sampled"
    """``closing``: nothing but forced closings is trained on, each token with advantage 1: the policy learns to end its
    reasoning there and nothing else (the length control of Hermes 4)."""

    def drawn(self, seed: Sequence[int]) -> "Thinking":
        """The same with ``mixed`` decided; all attempts at a task, whose seeds differ in the last number, alike."""
        if self.mode != "mixed":
            return self
        on = random.Random(repr(("thinking", *seed[:-1]))).random() < 0.5
        return self.model_copy(update={"mode": "on" if on else "off"})
