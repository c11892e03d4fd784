"""A preference pair as samples: a chosen and a rejected reply to the same prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ..losses.preference import PairTerms
from .sample import Sample


@dataclass(frozen=True, eq=False)
class Pair:
    """One preference pair.

    Attributes:
        chosen: the samples of the better reply. A conversation is several samples if the template cannot continue it.
        rejected: the samples of the worse one.
        reference: the reference model's logprobs of the chosen and of the rejected reply, each summed over the trained
            tokens; NaN until they are known.
    """

    chosen: tuple[Sample, ...]
    rejected: tuple[Sample, ...]
    reference: tuple[float, float] = (float("nan"), float("nan"))

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All samples, those of the chosen reply first."""
        return self.chosen + self.rejected

    @property
    def sides(self) -> tuple[tuple[Sample, ...], ...]:
        """The samples of the chosen and of the rejected reply."""
        return self.chosen, self.rejected

    def with_sides(self, sides: Sequence[tuple[Sample, ...]]) -> "Pair":
        """Return it with other samples, whose reference is not known."""
        return Pair(sides[0], sides[1])


def samples_of_pairs(pairs: Sequence[Pair]) -> list[Sample]:
    """Return the samples of all pairs, in order."""
    return [sample for pair in pairs for sample in pair.samples]


def summed_logprobs(pairs: Sequence[Pair], logprobs: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
    """Sum the logprobs of each pair's replies.

    Args:
        pairs: P pairs.
        logprobs: for each sample of ``samples_of_pairs``, the logprobs of its trained tokens.

    Returns:
        float64 [P, 2], for the chosen and the rejected reply.
    """
    rest = iter(logprobs)
    sums = [[sum(float(next(rest).sum(dtype=np.float64)) for _ in side) for side in pair.sides] for pair in pairs]
    return np.asarray(sums, np.float64).reshape(-1, 2)


def pair_terms(pairs: Sequence[Pair], sums: npt.NDArray[np.float64]) -> PairTerms:
    """Return what a preference loss needs of pairs with the policy's summed logprobs ``sums``."""
    ratios = torch.from_numpy(sums - np.asarray([pair.reference for pair in pairs], np.float64).reshape(-1, 2))
    tokens = torch.tensor(
        [[sum(int(one.mask.sum()) for one in side) for side in pair.sides] for pair in pairs],
        dtype=torch.float64,
    ).reshape(-1, 2)
    return PairTerms(ratios[:, 0], ratios[:, 1], tokens[:, 0], tokens[:, 1])
