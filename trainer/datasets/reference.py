"""The reference model's logprobs of preference pairs, computed once and kept in the run's folder."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...verifiers.errors import InfrastructureError
from ..learner.learner import Learner
from ..learner.pair import Pair, samples_of_pairs, summed_logprobs

_PART = 256
"""Pairs whose logprobs are computed together."""


def with_reference(
    pairs: Sequence[Pair], learner: Learner, file: Path, show: Callable[[int], None] = lambda done: None
) -> list[Pair]:
    """Return the pairs with the logprobs of ``learner``, whose weights must be the reference's, or those in ``file``.

    Args:
        pairs: the pairs.
        learner: the reference model.
        file: keeps the logprobs, ``.npy`` of float64 [P, 2]; its name should hold the digest of the pairs.
        show: called with the number of pairs that are done.

    Raises:
        InfrastructureError: the file cannot be read or written.
    """
    try:
        sums = np.load(file, allow_pickle=False) if file.exists() else None
        if sums is None or sums.shape != (len(pairs), 2) or not np.isfinite(sums).all():
            sums = _computed(pairs, learner, show)
            draft = file.with_suffix(".draft")
            with draft.open("wb") as opened:
                np.save(opened, sums)
            draft.replace(file)
    except (OSError, ValueError, EOFError) as error:
        raise InfrastructureError(
            f"cannot keep the reference's logprobs in {file}: {error}; free the disk, or delete the file"
        ) from None
    return [
        replace(pair, reference=(float(chosen), float(rejected)))
        for pair, (chosen, rejected) in zip(pairs, sums, strict=True)
    ]


def _computed(
    pairs: Sequence[Pair], learner: Learner, show: Callable[[int], None]
) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    parts = [np.zeros((0, 2), np.float64)]
    for start in range(0, len(pairs), _PART):
        part = pairs[start : start + _PART]
        logprobs = [found.logprobs for found in learner.compute_each(samples_of_pairs(part))]
        parts.append(summed_logprobs(part, logprobs))
        show(start + len(part))
    return np.concatenate(parts)
