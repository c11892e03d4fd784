"""Samples that begin alike, laid out in one row so that the tokens they have in common are computed once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..sample import Sample

LEAST_SHARED = 64
"""Tokens in common from which it pays to share them, even if they are less than a whole prompt."""


@dataclass(frozen=True, eq=False)
class PrefixTree:
    """The prefix tree of S samples as a row of T tokens, in depth-first order.

    A token attends to those before it on the way from the root: the token in column q attends to the one in column k if
    ``k <= q < ends_T[k]``. So each sample is computed as if it were alone.

    Attributes:
        samples: S samples, ordered by their tokens.
        tokens_T: int32.
        positions_T: int64, each token's position in the samples that it belongs to.
        ends_T: int64, the column behind the last token that continues this one.
        columns: for each sample the columns of its tokens, int64.
    """

    samples: tuple[Sample, ...]
    tokens_T: npt.NDArray[np.int32]
    positions_T: npt.NDArray[np.int64]
    ends_T: npt.NDArray[np.int64]
    columns: tuple[npt.NDArray[np.int64], ...]

    @property
    def size(self) -> int:
        """Tokens in the row."""
        return self.tokens_T.size

    @classmethod
    def of(cls, ordered: Sequence[Sample]) -> "PrefixTree":
        """Lay out samples that are ordered by their tokens."""
        columns: list[npt.NDArray[np.int64]] = []
        new: list[npt.NDArray[np.int32]] = []  # the tokens that each sample adds
        ends_T = np.zeros(sum(sample.tokens.size for sample in ordered), np.int64)
        size = 0
        for number, sample in enumerate(ordered):
            shared = common_prefix(ordered[number - 1].tokens, sample.tokens) if number else 0
            new.append(sample.tokens[shared:])
            tail = np.arange(size, size + new[-1].size)
            columns.append(np.concatenate([columns[-1][:shared], tail]) if number else tail)
            size += tail.size
            ends_T[columns[-1]] = size  # the samples with a token in common are neighbours, and the last one ends it
        positions_T = np.zeros(size, np.int64)
        for places in columns:
            positions_T[places] = np.arange(places.size)
        return cls(tuple(ordered), np.concatenate(new), positions_T, ends_T[:size], tuple(columns))


def prefix_trees(samples: Sequence[Sample], longest: int) -> Iterator[PrefixTree]:
    """Put samples into trees of at most ``longest`` tokens; a longer sample gets a tree of its own.

    A sample joins the tree of its predecessor, in the order of their tokens, if they share the whole prompt of one of
    them or at least ``LEAST_SHARED`` tokens.
    """
    tree: list[Sample] = []
    size = 0
    for sample in sorted(samples, key=lambda sample: sample.tokens.astype(">i4").tobytes()):
        length = sample.tokens.size
        shared = common_prefix(tree[-1].tokens, sample.tokens) if tree else 0
        if tree and (not _pays(shared, tree[-1], sample) or size + length - shared > longest):
            yield PrefixTree.of(tree)
            tree, size, shared = [], 0, 0
        tree.append(sample)
        size += length - shared
    if tree:
        yield PrefixTree.of(tree)


def common_prefix(first: npt.NDArray[np.int32], second: npt.NDArray[np.int32]) -> int:
    """How many tokens two samples have in common from their first on."""
    length = min(first.size, second.size)
    different = first[:length] != second[:length]
    return int(different.argmax()) if different.any() else length


def _pays(shared: int, first: Sample, second: Sample) -> bool:
    """Whether it is worth computing ``shared`` common tokens once."""
    return shared >= min(LEAST_SHARED, int(first.mask.argmax()), int(second.mask.argmax()))
