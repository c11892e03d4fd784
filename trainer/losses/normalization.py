"""How a step's token losses become one number: the weight of each sequence's tokens, from the counts of all ranks.

A micro-batch, a rank or a packed row never counts for itself: every sum is divided by counts of the whole step. Each
function takes the number of trained tokens of each of the step's S sequences and the longest reply that is allowed, in
tokens, and returns the weight of every token of each sequence, float64 [S].
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...verifiers.errors import ConfigError

Floats = npt.NDArray[np.float64]


def by_token(lengths_S: Sequence[int], longest: int) -> Floats:
    """1 / Σ lengths; long sequences weigh more (DAPO, arXiv:2503.14476, eq. 8)."""
    lengths = np.asarray(lengths_S, np.float64)
    return np.full(lengths.size, 1 / max(1.0, lengths.sum()))


def by_sequence(lengths_S: Sequence[int], longest: int) -> Floats:
    """1 / (S · length); each sequence weighs the same (GRPO, arXiv:2402.03300, eq. 3)."""
    lengths = np.asarray(lengths_S, np.float64)
    weights: Floats = 1 / (max(1, lengths.size) * np.maximum(lengths, 1))
    return weights


def by_constant(lengths_S: Sequence[int], longest: int) -> Floats:
    """1 / (S · longest), whatever the lengths are (Dr. GRPO, arXiv:2503.20783).

    Raises:
        ConfigError: ``longest`` is not known.
    """
    if longest < 1:
        raise ConfigError(f"normalising by a constant needs a length of at least 1 token, found {longest}")
    return np.full(len(lengths_S), 1 / (max(1, len(lengths_S)) * longest))
