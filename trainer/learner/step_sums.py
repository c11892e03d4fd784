"""What a policy step adds up over the parts of its samples, beside the gradient."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..losses.normalization import Weights
from ..losses.objective import Terms
from .learner import StepResult
from .loss_metrics import LossMetrics
from .packing.micro_batch import MicroBatch
from .sample import Sample
from .sharded.sharding import Ranks


class StepSums:
    """The sums of one step so far, on this rank.

    Attributes:
        divisor: by which the summed gradient of all parts is divided.
    """

    def __init__(self) -> None:
        self.divisor = 0.0
        self._trained = self._forward = 0  # tokens
        self._samples = 0
        self._losses = LossMetrics()
        self._places: dict[int, int] = {}  # of the samples of the last part in the step, by id()
        self._computed: dict[int, npt.NDArray[np.float32]] = {}

    def begin_part(self, samples: Sequence[Sample], weights: Weights, *, needs_all: bool) -> list[Sample]:
        """Count the samples of a part; return those that have a gradient, each with its weight.

        A sample whose advantages are all 0 is counted, but adds nothing to the gradient.

        Args:
            samples: the part's samples.
            weights: their weights.
            needs_all: whether samples whose advantages are all 0 have a gradient, too.
        """
        weighed = [replace(one, weight=float(weight)) for one, weight in zip(samples, weights.weights_S, strict=True)]
        live = [one for one in weighed if needs_all or one.has_advantage]
        self.divisor += weights.divisor
        self._trained += sum(int(sample.mask.sum()) for sample in samples)
        self._forward += sum(sample.tokens.size for sample in live)
        self._places = {id(one): self._samples + place for place, one in enumerate(weighed)}
        self._samples += len(samples)
        return live

    def add(self, micro: MicroBatch, logprobs_N: Tensor, entropy_N: Tensor, terms: Terms) -> None:
        """Add a micro-batch of the part that was begun last. All arguments except ``terms.loss`` are detached."""
        self._losses.add(micro, logprobs_N, entropy_N, terms)
        computed_2N = torch.stack([logprobs_N, entropy_N])
        self._computed |= {self._places[number]: part for number, part in by_sample(micro, computed_2N).items()}

    def result(self, ranks: Ranks, grad_norm: float, skipped: bool) -> StepResult:
        """Return the result of the step, with the sums over all ranks.

        Args:
            ranks: all of them call this.
            grad_norm: norm of the gradient before it was clipped.
            skipped: whether the weights stayed as they were.
        """
        metrics = {
            **self._losses.reduced(ranks).metrics(self.divisor),
            "grad_norm": grad_norm,
            "skipped": float(skipped),
            "tokens/trained": float(self._trained),
            "tokens/forward": float(self._forward),
        }
        found = {place: one for part in ranks.gather(self._computed) for place, one in part.items()}
        computed = [found.get(place) for place in range(self._samples)]
        logprobs, entropies = ([None if one is None else one[row] for one in computed] for row in (0, 1))
        return StepResult(metrics, logprobs, entropies)


def by_sample(micro: MicroBatch, computed_2N: Tensor) -> dict[int, npt.NDArray[np.float32]]:
    """Map the ``id()`` of each sample to the two rows of values of its trained tokens, [2, tokens]."""
    ends = np.cumsum([int(sample.mask.sum()) for sample in micro.samples], dtype=np.int64)
    parts = np.split(computed_2N.float().cpu().numpy(), ends, axis=1)[:-1]  # the part after the last end is empty
    return {id(sample): part for sample, part in zip(micro.samples, parts, strict=True)}
