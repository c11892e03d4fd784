"""What learns, as the training loop sees it: one protocol, whether the model is in this process or on several ranks."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ...rollout.engines.transport.transport import Shipment, WeightSender
from ..losses.objective import Objective
from .sample import Sample
from .throughput import Scale

Metrics = dict[str, float]


class StepResult(NamedTuple):
    """What one policy step came to.

    Attributes:
        metrics: loss, gradient norm and the like.
        logprobs: for each sample, float32, the trainer's logprob of each trained token before the step; None where the
            sample was left out because it taught nothing.
    """

    metrics: Metrics
    logprobs: list[npt.NDArray[np.float32] | None]


class Learner(Protocol):
    """A model, its optimizer and its checkpoints.

    Attributes:
        objective: the loss that its policy steps minimise.
        vocabulary: rows of the input embeddings.
        scale: the size and hardware that the speed of its steps is measured against.
    """

    objective: Objective
    vocabulary: int
    scale: Scale

    def policy_step(self, samples: Sequence[Sample], lr: float) -> StepResult:
        """Take one optimizer step on the configured objective.

        Raises:
            InfrastructureError: the gradient is not finite, once too often; the weights stay as they were.
        """
        ...

    def supervised_step(self, samples: Sequence[Sample], lr: float) -> Metrics:
        """Take one step of cross-entropy on the trained tokens, averaged over all of them; raises as above."""
        ...

    def keep_reference(self, folder: Path) -> None:
        """Freeze the reference policy: the one in ``folder``, or this one, saved there, where there is none yet."""
        ...

    def reset_optimizer(self) -> None:
        """Forget the moments: reinforcement does not inherit those of the warm start."""
        ...

    def compute_logprobs(self, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Logprob of each token given those before it, the first NaN: what engines are compared with."""
        ...

    def send(self, sender: WeightSender, version: int) -> Shipment:
        """Send the weights to the engines as ``version``, in their dtype, with adapters merged."""
        ...

    def save(self, folder: Path) -> None:
        """Begin to write a plain Hugging Face folder, and beside it what a resumed trainer needs."""
        ...

    def saved(self) -> bool:
        """Whether everything that ``save`` began is written.

        Raises:
            OSError, RuntimeError, SafetensorError: the disk refuses; each library has its own error for that.
        """
        ...

    def load(self, folder: Path) -> None:
        """Take the weights and moments that ``save`` wrote, on any number of ranks.

        Raises:
            ConfigError: they are of another model.
        """
        ...

    def memory(self) -> float:
        """GiB that the fullest rank has held at most."""
        ...

    def close(self) -> None:
        """Let go of threads and processes; what ``save`` began is written to its end."""
        ...
