"""The learner as the training loop sees it: one protocol, for a model in this process or on several ranks."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ...rollout.engines.weight_transport.transport import Shipment, WeightSender
from ..losses.config import PreferenceConfig
from ..losses.objective import Objective
from .pair import Pair
from .sample import Sample
from .throughput import Scale

Metrics = dict[str, float]


class StepResult(NamedTuple):
    """The result of one policy step.

    Attributes:
        metrics: loss, gradient norm and so on.
        logprobs: for each sample, the trainer's logprob of each trained token before the step, float32; None if the
            sample was left out because it teaches nothing.
        entropies: likewise, the entropy of the distribution that each of these tokens was drawn from, in nats.
    """

    metrics: Metrics
    logprobs: list[npt.NDArray[np.float32] | None]
    entropies: list[npt.NDArray[np.float32] | None]


class Computed(NamedTuple):
    """What the model computed of one sample.

    Attributes:
        logprobs: of each trained token, float32.
        first: whether each trained token is the most probable one, bool.
    """

    logprobs: npt.NDArray[np.float32]
    first: npt.NDArray[np.bool_]


class Learner(Protocol):
    """A model, its optimizer and its checkpoints.

    Attributes:
        objective: the loss of its policy steps.
        vocabulary: number of rows of the input embeddings.
        scale: model size and hardware, from which throughput metrics are computed.
    """

    objective: Objective
    vocabulary: int
    scale: Scale

    def add_gradient(self, samples: Sequence[Sample]) -> None:
        """Compute the gradient of a part of the next policy step's samples, and add it to that of the parts before."""
        ...

    def policy_step(self, samples: Sequence[Sample], lr: float) -> StepResult:
        """Take one optimizer step on the configured objective.

        Args:
            samples: the last part of the step's samples, or all of them if ``add_gradient`` was given none.
            lr: the learning rate.

        Returns:
            The result for the samples of all parts, in the order in which they were given.

        Raises:
            InfrastructureError: The gradient was not finite in more than ``trainer.max_nonfinite_steps`` steps in a
                row. The weights stay as they were.
        """
        ...

    def supervised_step(self, samples: Sequence[Sample], lr: float) -> Metrics:
        """Take one step on the mean cross-entropy of the trained tokens; raises as ``policy_step`` does."""
        ...

    def preference_step(self, pairs: Sequence[Pair], config: PreferenceConfig, lr: float) -> Metrics:
        """Take one step on the mean loss of preference pairs; raises as ``policy_step`` does."""
        ...

    def compute_each(self, samples: Sequence[Sample]) -> list[Computed]:
        """Return what the model computes of each sample's trained tokens; nothing is trained."""
        ...

    def keep_reference(self, folder: Path) -> None:
        """Load the reference policy from ``folder``; if the folder is missing, save the current policy there first."""
        ...

    def reset_optimizer(self) -> None:
        """Forget the optimizer's moments, so that those of the warm start do not affect the policy steps."""
        ...

    def compute_logprobs(self, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Return the logprob of each token given the tokens before it; the first is NaN."""
        ...

    def send(self, sender: WeightSender, version: int, adapters: bool = False) -> Shipment:
        """Send the weights to the engines as ``version``, in ``model.dtype``, with adapters merged.

        Args:
            sender: of the transport.
            version: must be new.
            adapters: whether all engines take adapters alone; if adapters are trained, only these are sent then.
        """
        ...

    def save(self, folder: Path) -> None:
        """Begin to write a Hugging Face model folder and, within it, what a resumed trainer needs."""
        ...

    def saved(self) -> bool:
        """Whether everything that ``save`` began is written.

        Raises:
            OSError, RuntimeError, SafetensorError: The disk refuses; the libraries raise different errors for that.
        """
        ...

    def load(self, folder: Path) -> None:
        """Load the weights and moments that ``save`` wrote on any number of ranks.

        Raises:
            ConfigError: They belong to another model.
        """
        ...

    def memory(self) -> float:
        """Return the peak memory of the fullest rank, in GiB."""
        ...

    def close(self) -> None:
        """End threads and processes, after everything that ``save`` began is written."""
        ...
