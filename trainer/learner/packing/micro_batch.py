"""Samples packed into micro-batches of bounded size, in which what samples have in common occurs only once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..sample import Sample
from .attention import BLOCK
from .prefix_tree import PrefixTree, prefix_trees

ROW = 512
"""The most tokens of a padded row with several samples; its explicit mask costs the square of it."""
STEPS = 8
"""The most lengths of flat rows between a power of two and the next; with few shapes the memory allocator can use its
blocks again."""


@dataclass(frozen=True, eq=False)
class MicroBatch:
    """R rows padded to T tokens, and the flat view of the N tokens that enter the loss.

    A row holds one prefix tree, or several one after the other. A token attends only to the tokens before it in its own
    samples, and has the position that it has there. So each sample is computed as if it were alone, and what samples
    have in common is computed once for all of them.

    Attributes:
        tokens_RT: int64, padded on the right with 0.
        positions_RT: int64, each token's position in its own sample.
        ends_RT: int64, the column behind the last token that attends to this one (see ``PrefixTree``); None if every
            row holds one sample, so that each token attends to all tokens before it.
        lengths: if the one row holds samples that share nothing, their lengths one after the other, and that of the
            padding; else None.
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
    ends_RT: Tensor | None
    lengths: tuple[int, ...] | None
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
    samples: Sequence[Sample],
    micro_tokens: int,
    device: torch.device,
    rank: int = 0,
    ranks: int = 1,
    *,
    flat: bool = False,
    apart: bool = False,
) -> Iterator[MicroBatch]:
    """Pack one rank's part of the samples into micro-batches.

    Prefix trees are split so that all ranks have about the same number of tokens. All ranks get the same number of
    micro-batches, some of them empty, because a sharded model runs on all ranks at once.

    Args:
        samples: the samples of all ranks.
        micro_tokens: the most tokens of a micro-batch, with padding; a longer sample is a micro-batch by itself.
        device: where the tensors go.
        rank: this rank.
        ranks: how many there are.
        flat: put many trees into one row, padded to ``row_length``; else each tree is a row, and rows are padded to the
            longest.
        apart: put samples that share nothing into other flat rows than those that do.
    """
    trees = list(prefix_trees(samples, micro_tokens if flat else min(ROW, micro_tokens)))
    batches = [_grouped(part, micro_tokens, flat, apart) for part in split_over_ranks(trees, ranks)]
    for number in range(max(map(len, batches))):
        if number >= len(batches[rank]):
            yield _empty_micro_batch(device, flat, apart)
        elif flat:
            row = batches[rank][number]
            yield _pad([row], device, row_length(sum(tree.size for tree in row), micro_tokens), apart)
        else:
            yield _pad([[tree] for tree in batches[rank][number]], device)


def row_length(tokens: int, most: int) -> int:
    """The length of a flat row of ``tokens``: a multiple of ``BLOCK``, at most an eighth or a block longer.

    It is not above ``most``, to a whole block, unless there are more tokens. No row has only one block, because torch
    compiles code of its own for a size of 1.
    """
    step = max(BLOCK, (1 << (tokens - 1).bit_length()) // (2 * STEPS))
    steps, least, limit = (
        -(-number // size) * size for number, size in ((tokens, step), (tokens, BLOCK), (most, BLOCK))
    )
    return max(2 * BLOCK, least, min(steps, limit))


def split_over_ranks(trees: Sequence[PrefixTree], ranks: int) -> list[list[PrefixTree]]:
    """Give the trees to the ranks: the longest first, each to the rank with the fewest tokens so far."""
    parts: list[list[PrefixTree]] = [[] for _ in range(ranks)]
    loads = [0] * ranks
    for tree in sorted(trees, key=lambda tree: -tree.size) if ranks > 1 else trees:
        rank = loads.index(min(loads))
        parts[rank].append(tree)
        loads[rank] += tree.size
    return parts


def _grouped(trees: Sequence[PrefixTree], micro_tokens: int, flat: bool, apart: bool) -> list[list[PrefixTree]]:
    """The trees of each micro-batch."""
    if not flat:
        return _group_by_length(trees, micro_tokens)
    parts = [[tree for tree in trees if (len(tree.samples) > 1) is sharing] for sharing in (False, True)]
    return [row for part in (parts if apart else [trees]) for row in _fill_rows(part, micro_tokens)]


def _group_by_length(trees: Sequence[PrefixTree], micro_tokens: int) -> list[list[PrefixTree]]:
    """Group trees of similar sizes. Those above ``ROW`` hold one sample, so apart from the others they need no mask."""
    batches: list[list[PrefixTree]] = []
    for tree in sorted(trees, key=lambda tree: tree.size):
        last = batches[-1] if batches else []
        fits = (len(last) + 1) * tree.size <= micro_tokens
        if last and fits and (tree.size <= ROW or last[-1].size > ROW):
            last.append(tree)
        else:
            batches.append([tree])
    return batches


def _fill_rows(trees: Sequence[PrefixTree], micro_tokens: int) -> list[list[PrefixTree]]:
    """Fill rows of at most ``micro_tokens``: the longest tree first, each into the first row with room for it."""
    rows: list[list[PrefixTree]] = []
    room: list[int] = []
    for tree in sorted(trees, key=lambda tree: -tree.size):
        place = next((number for number, left in enumerate(room) if tree.size <= left), len(rows))
        if place == len(rows):
            rows.append([])
            room.append(micro_tokens)
        rows[place].append(tree)
        room[place] -= tree.size
    return rows


def _pad(rows: Sequence[Sequence[PrefixTree]], device: torch.device, width: int = 0, apart: bool = False) -> MicroBatch:
    """Lay the trees of each row one after the other, and pad the rows to the longest, or a flat one to its width."""
    longest = max(sum(tree.size for tree in row) for row in rows)
    shape = (len(rows), width or longest)
    tokens_RT, positions_RT = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    ends_RT = np.full(shape, shape[1])  # padding attends to padding, so that no softmax is empty
    trained: list[tuple[npt.NDArray[Any], ...]] = []
    rows_S: list[int] = []
    samples: list[Sample] = []
    for number, row in enumerate(rows):
        start = 0
        for tree in row:
            place = slice(start, start + tree.size)
            tokens_RT[number, place] = tree.tokens_T
            positions_RT[number, place] = tree.positions_T
            ends_RT[number, place] = tree.ends_T + start
            for sample, columns in zip(tree.samples, tree.columns, strict=True):
                trained.append(_trained_tokens(sample, columns + start))
                rows_S.append(number)
                samples.append(sample)
            start += tree.size
    lengths: tuple[int, ...] | None = None
    if apart and all(len(tree.samples) == 1 for tree in rows[0]):
        lengths = (*(tree.size for tree in rows[0]), *([shape[1] - longest] if shape[1] > longest else []))
    plain = not width and len(samples) == len(rows)
    if plain:
        positions_RT[:] = np.arange(shape[1])  # padding too: transformers takes falling positions for a new sequence
    sources_N, targets_N, logprobs_N, advantages_N = (np.concatenate(arrays) for arrays in zip(*trained, strict=True))
    sizes_S = [sources.size for sources, *_ in trained]
    temperatures_S = np.array([sample.temperature for sample in samples], np.float32)
    weights_S = np.array([sample.weight for sample in samples], np.float32)
    trained_N: list[npt.NDArray[Any]] = [
        np.repeat(np.array(rows_S, np.int64), sizes_S),
        sources_N,
        targets_N.astype(np.int64),
        logprobs_N,
        advantages_N,
        np.repeat(temperatures_S, sizes_S),
        np.repeat(weights_S, sizes_S),
        np.repeat(np.arange(len(samples)), sizes_S),
    ]
    needed_RT = None if plain or lengths else ends_RT
    return _micro_batch(device, tokens_RT, positions_RT, needed_RT, lengths, trained_N, tuple(samples))


def _empty_micro_batch(device: torch.device, flat: bool, apart: bool) -> MicroBatch:
    """A micro-batch of a few tokens that are not trained."""
    shape = (1, row_length(1, 1) if flat else 1)
    zeros, none, floats = np.zeros(shape, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    ends_RT = np.full(shape, shape[1]) if flat and not apart else None
    trained_N: list[npt.NDArray[Any]] = [none, none, none, floats, floats, floats, floats, none]
    return _micro_batch(device, zeros, zeros, ends_RT, shape[1:] if apart else None, trained_N, ())


def _micro_batch(
    device: torch.device,
    tokens_RT: npt.NDArray[np.int64],
    positions_RT: npt.NDArray[np.int64],
    ends_RT: npt.NDArray[np.int64] | None,
    lengths: tuple[int, ...] | None,
    trained_N: Sequence[npt.NDArray[Any]],
    samples: tuple[Sample, ...],
) -> MicroBatch:
    def there(array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(device)

    ends = None if ends_RT is None else there(ends_RT)
    extra = {name: there(values) for name, values in _extra(samples).items()}
    fields: tuple[Any, ...] = (there(positions_RT), ends, lengths, *map(there, trained_N), samples, extra)
    return MicroBatch(there(tokens_RT), *fields)


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


def _trained_tokens(sample: Sample, columns: npt.NDArray[np.int64]) -> tuple[npt.NDArray[Any], ...]:
    """Return source column, target, logprob and advantage of a sample's trained tokens."""
    places = np.flatnonzero(sample.mask)
    logprobs = np.zeros(places.size, np.float32) if sample.logprobs is None else sample.logprobs[places]
    return columns[places - 1], sample.tokens[places], logprobs, sample.advantages[places]
