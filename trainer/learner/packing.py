"""Training samples, packed into micro-batches of bounded size in which shared prompts stand once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...verifiers.errors import DataError
from ...verifiers.group import Group
from ...verifiers.trajectory import StopReason
from ..advantages.estimator import advantages_of

ROW = 512
"""Tokens up to which continuations of one prefix are put into one row; attention costs its square."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One row of a batch, L tokens long.

    Attributes:
        tokens: int32 [L].
        mask: bool [L], tokens that enter the loss; never the first.
        logprobs: float32 [L], the sampler's; NaN outside ``mask`` and where ``forced``; None for supervised samples.
        advantages: float32 [L].
        temperature: what the logits are divided by.
        weight: of each trained token's loss in the sum.
        forced: bool [L], tokens that nobody sampled and that may be trained all the same: the sampler's logprob is then
            taken to be the trainer's own; None for none.
        source: which group of the step, attempt of that and segment of that it was made of, by place.

    Raises:
        DataError: no token is trained, the first one is, or a trained token has no logprob of the sampler's.
    """

    tokens: npt.NDArray[np.int32]
    mask: npt.NDArray[np.bool_]
    logprobs: npt.NDArray[np.float32] | None
    advantages: npt.NDArray[np.float32]
    temperature: float = 1.0
    weight: float = 1.0
    source: tuple[int, int, int] = (-1, -1, -1)
    forced: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if not self.mask.any():
            raise DataError(f"a sample trains at least one token, found none in {self.tokens.size}")
        if self.mask[0]:
            raise DataError("the first token of a sample is predicted by nothing, so it cannot be trained; mask it out")
        if self.logprobs is None:
            return
        sampled = self.mask if self.forced is None else self.mask & ~self.forced
        if not np.isfinite(self.logprobs[sampled]).all():
            place = int(np.flatnonzero(sampled & ~np.isfinite(self.logprobs))[0])
            raise DataError(
                f"token {place} of a sample is trained but has logprob {self.logprobs[place]}: only what the policy "
                "sampled can be; mask it out"
            )


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
        samples: what it was made of.
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


def samples_of(
    groups: Sequence[Group], advantage: str, context: int, overlong: Literal["keep", "filter"] = "keep"
) -> list[Sample]:
    """Every trainable segment of ``groups`` that holds a token to train on, with its advantages.

    An agent that was given no reward learns nothing: its advantages are 0. Attempts that ran into a limit of tokens are
    left out where ``overlong`` is ``filter``.

    Raises:
        DataError: a segment is longer than ``context``, or cannot be trained on as it is; the message names the group.
    """
    samples = []
    for place, (group, advantages) in enumerate(zip(groups, advantages_of(groups, advantage), strict=True)):
        for number, attempt in enumerate(group.trajectories):
            if overlong == "filter" and attempt.stop is StopReason.LENGTH:
                continue
            for part, segment in enumerate(attempt.segments):
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
                source = (place, number, part)
                try:
                    samples.append(
                        Sample(
                            segment.tokens,
                            segment.mask,
                            segment.logprobs,
                            per_token,
                            temperature,
                            source=source,
                            forced=segment.extra.get("forced"),
                        )
                    )
                except DataError as error:
                    raise DataError(f"group {group.index} (task {group.task.id}): {error}") from None
    return samples


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
    fields: tuple[Any, ...] = (*tensors, samples)
    return MicroBatch(*fields)


def _trained(sample: Sample, prefix: int, start: int) -> tuple[npt.NDArray[Any], ...]:
    """Source column, target, logprob and advantage of a sample's trained tokens."""
    places = np.flatnonzero(sample.mask)
    sources = places + (start - prefix - 1)
    if places[0] == prefix:
        sources[0] = prefix - 1
    logprobs = np.zeros(places.size, np.float32) if sample.logprobs is None else sample.logprobs[places]
    return sources, sample.tokens[places], logprobs, sample.advantages[places]
