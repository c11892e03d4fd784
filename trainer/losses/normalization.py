"""Normalisations of the loss: the weight that each sequence's tokens have in the sum over a step.

All weights come from counts of the whole step, so the result does not depend on how the step is split into rows,
micro-batches, parts and ranks.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...verifiers.errors import ConfigError

Floats = npt.NDArray[np.float64]

Normalization = Callable[[Sequence[int], int], "Weights"]
"""Takes the number of trained tokens of each sequence, and the most tokens of a reply."""


class Weights(NamedTuple):
    """The weights of the S sequences of a step, or of a part of one, and what they are divided by.

    The weight of a token in the step's loss is that of its sequence, divided by the sum of the divisors of all parts.

    Attributes:
        weights_S: float64, of each token of each sequence.
        divisor: this part's share of the divisor.
    """

    weights_S: Floats
    divisor: float

    @classmethod
    def of(cls, normalization: Normalization, lengths_S: Sequence[int], longest: int) -> "Weights":
        """Call ``normalization``, which may be a user's, and check what it returns.

        Raises:
            ConfigError: It does not return a weight for each sequence and a divisor above 0.
        """
        found: Any = normalization(lengths_S, longest)
        if not isinstance(found, cls):
            raise ConfigError(
                f"the normalization of trainer.loss.normalize must return Weights(weights_S, divisor), found "
                f"{type(found).__name__}; see lachesis/trainer/losses/normalization.py"
            )
        if len(found.weights_S) != len(lengths_S) or not found.divisor > 0:
            raise ConfigError(
                f"the normalization of trainer.loss.normalize must return a weight for each of {len(lengths_S)} "
                f"sequences and a divisor above 0, found {len(found.weights_S)} weights and {found.divisor}"
            )
        return found


def by_token(lengths_S: Sequence[int], longest: int) -> Weights:
    """1 / Σ lengths: long sequences weigh more (DAPO, arXiv:2503.14476, eq. 8).

    Args:
        lengths_S: the number of trained tokens of each sequence, 1 or more.
        longest: the most tokens that a reply may have.
    """
    return Weights(np.ones(len(lengths_S)), float(sum(lengths_S)))


def by_sequence(lengths_S: Sequence[int], longest: int) -> Weights:
    """1 / (S · length): all sequences weigh the same (GRPO, arXiv:2402.03300, eq. 3). Arguments as of ``by_token``."""
    return Weights(1 / np.asarray(lengths_S, np.float64), float(len(lengths_S)))


def by_constant(lengths_S: Sequence[int], longest: int) -> Weights:
    """1 / (S · longest): the weight does not depend on the lengths (Dr. GRPO, arXiv:2503.20783).

    Arguments are as of ``by_token``.

    Raises:
        ConfigError: ``longest`` is below 1.
    """
    if longest < 1:
        raise ConfigError(
            f'trainer.loss.normalize = "constant" needs a length of at least 1 token, found {longest}; '
            "set rollout.sampling.max_tokens"
        )
    return Weights(np.ones(len(lengths_S)), float(len(lengths_S) * longest))
