"""A text whose logprobs show whether an engine computes with the weights that it was sent."""

from dataclasses import dataclass

import numpy as np

from ...verifiers.errors import EngineError
from .engine import Ids, Logprobs


@dataclass(frozen=True, eq=False)
class Probe:
    """A fixed text, and the logprobs that an engine with the right weights computes for it.

    Attributes:
        tokens: int32, the text.
        expected: float32, the trainer's logprobs of the tokens; the first is NaN.
        tolerance: the largest difference, in nats, that different kernels may cause.
    """

    tokens: Ids
    expected: Logprobs
    tolerance: float

    def gap(self, logprobs: Logprobs) -> float:
        """The largest difference from the expected logprobs; NaN if any value is NaN."""
        return float(np.abs(logprobs[1:] - self.expected[1:]).max())

    def check(self, logprobs: Logprobs, version: int) -> float:
        """Return the gap of an engine that was sent the weights ``version``.

        Raises:
            EngineError: it is above the tolerance.
        """
        gap = self.gap(logprobs)
        if not gap <= self.tolerance:
            raise EngineError(
                f"weights version {version} arrived whole but have no effect: the probe's logprobs differ by {gap:.3g} "
                f"(trainer against engine, allowed {self.tolerance:g}); check the engine's support for this model, or "
                "set trainer.probe_tolerance"
            )
        return gap
