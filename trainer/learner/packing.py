"""Samples packed into micro-batches of bounded size, in which a shared prompt stands only once."""

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
"""Tokens up to which continuations of one prefix are put into one row; attention costs its square."""


@dataclass(frozen=True, eq=False)
class MicroBatch:
    """R rows padded to T tokens, and the flat view of the N tokens that enter the loss.

    A row holds one prefix (usually a group's prompt) and several continuations of it, one after the other. A token
    attends to the prefix and to its own continuation only, at the position that it has in its own sample, so each
    sample is computed as if it stood alone, and the prefix once for all of them.

    Attributes:
        tokens_RT: int64, padded on the right with 0.
        positions_RT: int64, each token's place in its own sample.
        mask_RTT: bool [R, 1, T, T], whether the token (third axis) attends to another (fourth); None where every row
            holds one sample, so that a token attends to all before it.
        rows_N: int64, the row of each trained token.
        sources_N: int64, the column whose logits predict it.
        targets_N: int64, its id.
        logprobs_N: the sampler's, 0 for supervised samples, NaN where nobody sampled.
        advantages_N: of each trained token.
        temperatures_N: of each trained token; 1 where it was sampled greedily.
        weights_N: of each trained token's loss.
        sequences_N: int64, which of ``samples`` it belongs to; a sample's tokens stand together, in order.
        samples: the samples that it was made of.
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
    """One rank's part of the samples, packed into rows.

    Rows are dealt so that every rank has about as many tokens, and put together by length so that rows × longest row
    stays within ``micro_tokens``; a row that is longer goes alone. Every rank has as many micro-batches: the last ones
    are empty where it has less to do, because a model that is sharded runs on all ranks at once.
    """
    rows = list(_rows(samples, min(ROW, micro_tokens)))
    batches = [_batched(part, micro_tokens) for part in dealt(rows, ranks)]
    for number in range(max(map(len, batches))):
        yield _padded(batches[rank][number], device) if number < len(batches[rank]) else _empty(device)


def dealt(rows: Sequence["_Row"], ranks: int) -> list[list["_Row"]]:
    """The rows of each rank, by their tokens: the longest first, each to the rank that has fewest."""
    parts: list[list[_Row]] = [[] for _ in range(ranks)]
    loads = [0] * ranks
    for row in sorted(rows, key=lambda row: -row.length) if ranks > 1 else rows:
        rank = loads.index(min(loads))
        parts[rank].append(row)
        loads[rank] += row.length
    return parts


def _batched(rows: Sequence["_Row"], micro_tokens: int) -> list[list["_Row"]]:
    """Rows of like lengths together; those above ``ROW`` apart from the others: they need no mask, and a large one."""
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
    """Samples that begin with the same ``prefix`` tokens, none of which is trained."""

    samples: list[Sample]
    prefix: int

    @cached_property
    def length(self) -> int:
        return self.prefix + sum(sample.tokens.size - self.prefix for sample in self.samples)


def _rows(samples: Sequence[Sample], longest: int) -> Iterator[_Row]:
    """Samples with one prompt share rows of at most ``longest`` tokens; a longer sample has its own."""
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


def _padded(rows: Sequence[_Row], device: torch.device) -> MicroBatch:
    shape = (len(rows), max(row.length for row in rows))
    tokens_RT, positions_RT = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    parts_RT = np.full(shape, -1, np.int64)  # 0 the prefix, 1… the continuations, -1 padding
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
            trained.append(_trained(sample, prefix, start))
            rows_S.append(number)
            start = end
    mask_RTT = None
    if all(len(row.samples) == 1 for row in rows):
        positions_RT[:] = np.arange(shape[1])  # also of padding: a position that falls begins another sequence
    else:
        same = (parts_RT[:, :, None] == parts_RT[:, None, :]) | (parts_RT[:, None, :] == 0)
        mask_RTT = same & np.tri(shape[1], dtype=np.bool_)  # padding attends to padding: no row of a softmax is empty
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
    return _on(device, tokens_RT, positions_RT, mask_RTT, flat, samples)


def _empty(device: torch.device) -> MicroBatch:
    """A row of one token, of which nothing is learned."""
    one, none = np.zeros((1, 1), np.int64), np.zeros(0, np.int64)
    floats = np.zeros(0, np.float32)
    return _on(device, one, one, None, [none, none, none, floats, floats, floats, floats, none], ())


def _on(
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
    """The samples' further values of each trained token, by name."""
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


def _trained(sample: Sample, prefix: int, start: int) -> tuple[npt.NDArray[Any], ...]:
    """Source column, target, logprob and advantage of a sample's trained tokens."""
    places = np.flatnonzero(sample.mask)
    sources = places + (start - prefix - 1)
    if places[0] == prefix:
        sources[0] = prefix - 1
    logprobs = np.zeros(places.size, np.float32) if sample.logprobs is None else sample.logprobs[places]
    return sources, sample.tokens[places], logprobs, sample.advantages[places]
