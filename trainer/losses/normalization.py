"""How a step's losses of single tokens become one number: a weight for each sequence, from the numbers of all ranks.

A micro-batch, a rank or a packed row never counts for itself: every sum is divided by the numbers of the whole step.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...verifiers.errors import ConfigError

Normalization = Literal["token", "sequence", "constant"]


def weights(lengths_S: Sequence[int], normalize: Normalization, constant: int = 0) -> npt.NDArray[np.float64]:
    """The weight of every token of each of the step's S sequences, of which ``lengths_S`` tokens are trained.

    - ``token``: 1 / Σ lengths; long sequences weigh more (DAPO, arXiv:2503.14476, eq. 8).
    - ``sequence``: 1 / (S · length); each weighs the same (GRPO, arXiv:2402.03300, eq. 3).
    - ``constant``: 1 / (S · L), L the longest that a reply may be (Dr. GRPO, arXiv:2503.20783).

    Raises:
        ConfigError: ``constant`` is needed, and none is given.
    """
    lengths = np.asarray(lengths_S, np.float64)
    if normalize == "token":
        return np.full(lengths.size, 1 / max(1.0, lengths.sum()))
    if normalize == "sequence":
        return 1 / (max(1, lengths.size) * np.maximum(lengths, 1))
    if constant < 1:
        raise ConfigError(f"normalising by a constant needs a length of at least 1 token, found {constant}")
    return np.full(lengths.size, 1 / (max(1, lengths.size) * constant))
