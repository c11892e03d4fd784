"""Samples packed into micro-batches of bounded size, in which a shared prompt occurs only once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .sample import Sample

ROW = 512
"""The most tokens of a row with several continuations of one prefix; attention costs the square of it."""


@dataclass(frozen=True, eq=False)
class MicroBatch:
    """R rows padded to T tokens, and the flat view of the N tokens that enter the loss.

    A row holds one prefix (usually a group's prompt) and several continuations of it, one after the other. A token
    attends only to the prefix and to its own continuation, and has the position that it has in its own sample. So each
    sample is computed as if it were alone, and the prefix is computed once for all of them.

    Attributes:
        tokens_RT: int64, padded on the right with 0.
        positions_RT: int64, each token's position in its own sample.
        mask_RTT: bool [R, 1, T, T], whether a token (third axis) attends to another (fourth axis); None if every row
            holds one sample, so that each token attends to all tokens before it.
        rows_N: int64, the row of each trained token.
        sources_N: int64, the column whose logits predict the token.
        targets_N: int64, the token's id.
        logprobs_N: the sampler's logprobs; 0 in supervised samples, NaN for trained tokens that were not sampled.
        advantages_N: the advantage of each trained token.
        temperatures_N: the divisor of each trained token's logits; 1 for greedy sampling.
        weights_N: the weight of each trained token's loss.
        sequences_N: int64, the index of the token's sample in ``samples``; a sample's tokens are contiguous, in order.
        samples: the packed samples.
        extra_N: float32 by name, the samples' ``extra`` at the trained tokens; NaN where a sample lacks that name.
    """

    tokens_RT: Tensor
    positions_RT: Tensor
    mask_RTT: Tensor | None
    rows_N: Tensor
    sources_N: Tensor
    targets_N: Tensor
    logprobs_N: Tensor
    advantages_N: Tensor
    temperatures_N: Tensor
    weights_N: Tensor
    sequences_N: Tensor
    samples: tuple[Sample, ...]
    extra_N: Mapping[str, Tensor] = field(default_factory=dict)


def micro_batches(
    samples: Sequence[Sample], micro_tokens: int, device: torch.device, rank: int = 0, ranks: int = 1
) -> Iterator[MicroBatch]:
    """Pack one rank's part of the samples into micro-batches.

    Rows are split so that all ranks have about the same number of tokens, and grouped by length so that rows × longest
    row stays within ``micro_tokens``; a longer row is a micro-batch by itself. All ranks get the same number of
    micro-batches, some of them empty, because a sharded model runs on all ranks at once.
    """
    rows = list(_rows(samples, min(ROW, micro_tokens)))
    batches = [_group_by_length(part, micro_tokens) for part in split_over_ranks(rows, ranks)]
    for number in range(max(map(len, batches))):
        yield _pad(batches[rank][number], device) if number < len(batches[rank]) else _empty_micro_batch(device)


def split_over_ranks(rows: Sequence["_Row"], ranks: int) -> list[list["_Row"]]:
    """Give the rows to the ranks: the longest first, each to the rank with the fewest tokens so far."""
    parts: list[list[_Row]] = [[] for _ in range(ranks)]
    loads = [0] * ranks
    for row in sorted(rows, key=lambda row: -row.length) if ranks > 1 else rows:
        rank = loads.index(min(loads))
        parts[rank].append(row)
        loads[rank] += row.length
    return parts


def _group_by_length(rows: Sequence["_Row"], micro_tokens: int) -> list[list["_Row"]]:
    """Group rows of similar lengths. Rows above ``ROW`` hold one sample, so apart from the others they need no mask."""
    batches: list[list[_Row]] = []
    for row in sorted(rows, key=lambda row: row.length):
        last = batches[-1] if batches else []
        fits = (len(last) + 1) * row.length <= micro_tokens
        if last and fits and (row.length <= ROW or last[-1].length > ROW):
            last.append(row)
        else:
            batches.append([row])
    return batches


@dataclass(frozen=True, eq=False)
class _Row:
    """Samples that begin with the same ``prefix`` tokens, which are not trained."""

    samples: list[Sample]
    prefix: int

    @cached_property
    def length(self) -> int:
        return self.prefix + sum(sample.tokens.size - self.prefix for sample in self.samples)


def _rows(samples: Sequence[Sample], longest: int) -> Iterator[_Row]:
    """Put samples with the same prompt into shared rows of at most ``longest`` tokens; a longer sample gets its own."""
    families: dict[bytes, list[Sample]] = {}
    for sample in samples:
        first = int(sample.mask.argmax())
        families.setdefault(sample.tokens[:first].tobytes(), []).append(sample)
    for key, family in families.items():
        prefix = len(key) // 4
        row: list[Sample] = []
        for sample in sorted(family, key=lambda sample: sample.tokens.size):
            if row and _Row([*row, sample], prefix).length > longest:
                yield _Row(row, prefix)
                row = []
            row.append(sample)
        yield _Row(row, prefix)


def _pad(rows: Sequence[_Row], device: torch.device) -> MicroBatch:
    shape = (len(rows), max(row.length for row in rows))
    tokens_RT, positions_RT = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    parts_RT = np.full(shape, -1, np.int64)  # 0 for the prefix, 1, 2, … for the continuations, -1 for padding
    trained: list[tuple[npt.NDArray[Any], ...]] = []
    rows_S: list[int] = []
    for number, row in enumerate(rows):
        prefix, start = row.prefix, row.prefix
        tokens_RT[number, :prefix] = row.samples[0].tokens[:prefix]
        positions_RT[number, :prefix] = np.arange(prefix)
        parts_RT[number, :prefix] = 0
        for part, sample in enumerate(row.samples, start=1):
            end = start + sample.tokens.size - prefix
            tokens_RT[number, start:end] = sample.tokens[prefix:]
            positions_RT[number, start:end] = np.arange(prefix, sample.tokens.size)
            parts_RT[number, start:end] = part
            trained.append(_trained_tokens(sample, prefix, start))
            rows_S.append(number)
            start = end
    mask_RTT = None
    if all(len(row.samples) == 1 for row in rows):
        positions_RT[:] = np.arange(shape[1])  # padding too: transformers takes falling positions for a new sequence
    else:
        same = (parts_RT[:, :, None] == parts_RT[:, None, :]) | (parts_RT[:, None, :] == 0)
        mask_RTT = same & np.tri(shape[1], dtype=np.bool_)  # padding attends to padding, so that no softmax is empty
        mask_RTT = mask_RTT[:, None]
    sources_N, targets_N, logprobs_N, advantages_N = (np.concatenate(arrays) for arrays in zip(*trained, strict=True))
    samples = tuple(sample for row in rows for sample in row.samples)
    sizes_S = [sources.size for sources, *_ in trained]
    temperatures_S = np.array([sample.temperature for sample in samples], np.float32)
    weights_S = np.array([sample.weight for sample in samples], np.float32)
    flat = [
        np.repeat(np.array(rows_S, np.int64), sizes_S),
        sources_N,
        targets_N.astype(np.int64),
        logprobs_N,
        advantages_N,
        np.repeat(temperatures_S, sizes_S),
        np.repeat(weights_S, sizes_S),
        np.repeat(np.arange(len(samples)), sizes_S),
    ]
    return _micro_batch(device, tokens_RT, positions_RT, mask_RTT, flat, samples)


def _empty_micro_batch(device: torch.device) -> MicroBatch:
    """A micro-batch of one token that is not trained."""
    one, none = np.zeros((1, 1), np.int64), np.zeros(0, np.int64)
    floats = np.zeros(0, np.float32)
    return _micro_batch(device, one, one, None, [none, none, none, floats, floats, floats, floats, none], ())


def _micro_batch(
    device: torch.device,
    tokens_RT: npt.NDArray[np.int64],
    positions_RT: npt.NDArray[np.int64],
    mask_RTT: npt.NDArray[np.bool_] | None,
    flat: Sequence[npt.NDArray[Any]],
    samples: tuple[Sample, ...],
) -> MicroBatch:
    arrays = (tokens_RT, positions_RT, mask_RTT, *flat)
    tensors = (None if array is None else torch.from_numpy(array).to(device) for array in arrays)
    extra = {name: torch.from_numpy(values).to(device) for name, values in _extra(samples).items()}
    fields: tuple[Any, ...] = (*tensors, samples, extra)
    return MicroBatch(*fields)


def _extra(samples: Sequence[Sample]) -> dict[str, npt.NDArray[np.float32]]:
    """Collect the samples' ``extra`` values at the trained tokens, by name."""
    names = sorted({name for sample in samples for name in sample.extra})
    found = {}
    for name in names:
        parts = [
            sample.extra[name][sample.mask]
            if name in sample.extra
            else np.full(int(sample.mask.sum()), np.nan, np.float32)
            for sample in samples
        ]
        found[name] = np.concatenate(parts)
    return found


def _trained_tokens(sample: Sample, prefix: int, start: int) -> tuple[npt.NDArray[Any], ...]:
    """Return source column, target, logprob and advantage of a sample's trained tokens."""
    places = np.flatnonzero(sample.mask)
    sources = places + (start - prefix - 1)
    if places[0] == prefix:
        sources[0] = prefix - 1
    logprobs = np.zeros(places.size, np.float32) if sample.logprobs is None else sample.logprobs[places]
    return sources, sample.tokens[places], logprobs, sample.advantages[places]
