"""Normalisations of the loss: the weight that each sequence's tokens have in the sum over a step.

All weights come from counts of the whole step, so the result does not depend on how the step is split into rows,
micro-batches and ranks. Each function takes the number of trained tokens of each of the step's S sequences, and the
most tokens that a reply may have, and returns the weight of each token of each sequence, float64 [S].
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...verifiers.errors import ConfigError

Floats = npt.NDArray[np.float64]


def by_token(lengths_S: Sequence[int], longest: int) -> Floats:
    """1 / Σ lengths: long sequences weigh more (DAPO, arXiv:2503.14476, eq. 8)."""
    lengths = np.asarray(lengths_S, np.float64)
    return np.full(lengths.size, 1 / max(1.0, lengths.sum()))


def by_sequence(lengths_S: Sequence[int], longest: int) -> Floats:
    """1 / (S · length): all sequences weigh the same (GRPO, arXiv:2402.03300, eq. 3)."""
    lengths = np.asarray(lengths_S, np.float64)
    weights: Floats = 1 / (max(1, lengths.size) * np.maximum(lengths, 1))
    return weights


def by_constant(lengths_S: Sequence[int], longest: int) -> Floats:
    """1 / (S · longest): the weight does not depend on the lengths (Dr. GRPO, arXiv:2503.20783).

    Raises:
        ConfigError: ``longest`` is below 1.
    """
    if longest < 1:
        raise ConfigError(
            f'trainer.loss.normalize = "constant" needs a length of at least 1 token, found {longest}; '
            "set rollout.sampling.max_tokens"
        )
    return np.full(len(lengths_S), 1 / (max(1, len(lengths_S)) * longest))
