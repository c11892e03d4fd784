"""Training samples, packed into padded micro-batches of bounded size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..verifiers.errors import DataError
from ..verifiers.group import Group
from .advantages import group_advantages


@dataclass(frozen=True, eq=False)
class Sample:
    """One row of a batch, L tokens long.

    Attributes:
        tokens: int32 [L].
        mask: bool [L], tokens that enter the loss; never the first.
        logprobs: float32 [L], the sampler's; NaN outside ``mask``; None for supervised samples.
        advantages: float32 [L].
        temperature: what the logits are divided by.
    """

    tokens: npt.NDArray[np.int32]
    mask: npt.NDArray[np.bool_]
    logprobs: npt.NDArray[np.float32] | None
    advantages: npt.NDArray[np.float32]
    temperature: float = 1.0


@dataclass(frozen=True, eq=False)
class MicroBatch:
    """Rows padded to one length, and the flat view of the N tokens that enter the loss.

    Attributes:
        tokens_BT: int64, padded on the right with 0.
        attention_BT: int64, 0 on padding.
        rows_N, columns_N: where each trained token stands.
        logprobs_N: the sampler's, 0 for supervised samples.
        advantages_N: of each trained token.
        temperatures_N: of each trained token; 1 where it was sampled greedily.
    """

    tokens_BT: Tensor
    attention_BT: Tensor
    rows_N: Tensor
    columns_N: Tensor
    logprobs_N: Tensor
    advantages_N: Tensor
    temperatures_N: Tensor


def samples_of(groups: Sequence[Group], advantage: str, context: int) -> list[Sample]:
    """Every trainable segment of ``groups``, with its advantages.

    Raises:
        DataError: a segment is longer than ``context``, or holds no token to train on.
    """
    samples = []
    for group in groups:
        advantages = group_advantages(group, advantage)
        for number, attempt in enumerate(group.trajectories):
            for segment in attempt.segments:
                if not segment.trainable or not segment.mask.any():
                    continue
                if len(segment) > context:
                    raise DataError(
                        f"group {group.index} (task {group.task.id}): a segment of {len(segment)} tokens is longer "
                        f"than model.context = {context}"
                    )
                given = segment.advantages
                value = advantages.get((number, segment.agent), 0.0)
                per_token = np.full(len(segment), value, np.float32) if given is None else given
                temperature = segment.temperature or 1.0
                samples.append(Sample(segment.tokens, segment.mask, segment.logprobs, per_token, temperature))
    return samples


def micro_batches(samples: Sequence[Sample], micro_tokens: int, device: torch.device) -> Iterator[MicroBatch]:
    """Pack by length, so that rows × longest row stays within ``micro_tokens`` (a longer row goes alone)."""
    ordered = sorted(samples, key=lambda sample: sample.tokens.size)
    rows: list[Sample] = []
    for sample in ordered:
        if rows and (len(rows) + 1) * sample.tokens.size > micro_tokens:
            yield _padded(rows, device)
            rows = []
        rows.append(sample)
    if rows:
        yield _padded(rows, device)


def _padded(samples: Sequence[Sample], device: torch.device) -> MicroBatch:
    shape = (len(samples), max(sample.tokens.size for sample in samples))
    tokens_BT, attention_BT = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    mask_BT = np.zeros(shape, np.bool_)
    logprobs_BT, advantages_BT = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for row, sample in enumerate(samples):
        length = sample.tokens.size
        tokens_BT[row, :length] = sample.tokens
        attention_BT[row, :length] = 1
        mask_BT[row, :length] = sample.mask
        advantages_BT[row, :length] = sample.advantages
        if sample.logprobs is not None:
            logprobs_BT[row, :length] = sample.logprobs
    rows_N, columns_N = np.nonzero(mask_BT)
    temperatures_B = np.array([sample.temperature for sample in samples], np.float32)
    arrays = (
        tokens_BT,
        attention_BT,
        rows_N,
        columns_N,
        logprobs_BT[mask_BT],
        advantages_BT[mask_BT],
        temperatures_B[rows_N],
    )
    return MicroBatch(*(torch.from_numpy(array).to(device) for array in arrays))
