"""The order in which rows are trained on: epochs of shuffled rows in batches, which the seed and the step decide."""

from collections.abc import Iterator, Sequence

import numpy as np


class Batches:
    """The batches of endless epochs.

    Args:
        lengths: the tokens of each row.
        batch: rows of a batch.
        batch_tokens: the most tokens of a batch, as far as one row has no more; with 0, ``batch`` counts.
        seed: of the orders.
        shuffle: whether each epoch has an order of its own.
    """

    def __init__(
        self, lengths: Sequence[int], batch: int, batch_tokens: int = 0, seed: int = 0, shuffle: bool = True
    ) -> None:
        self._lengths = np.asarray(lengths, np.int64)
        self._batch, self._batch_tokens, self._seed, self._shuffle = batch, batch_tokens, seed, shuffle

    def epoch(self, number: int) -> list[list[int]]:
        """Return the batches of an epoch, each with the numbers of its rows. The last one may be smaller."""
        count = self._lengths.size
        order = (
            np.random.default_rng([self._seed, 0xE90C, number]).permutation(count) if self._shuffle else range(count)
        )
        rows = [int(row) for row in order]
        if not self._batch_tokens:
            return [rows[start : start + self._batch] for start in range(0, len(rows), self._batch)]
        batches: list[list[int]] = []
        room = 0
        for row in rows:
            length = int(self._lengths[row])
            if not batches or length > room:
                batches.append([])
                room = self._batch_tokens
            batches[-1].append(row)
            room -= length
        return batches

    def steps(self, epochs: int) -> int:
        """Return the number of batches in so many epochs."""
        if not self._batch_tokens:
            return epochs * -(-self._lengths.size // self._batch)
        return sum(len(self.epoch(number)) for number in range(epochs))

    def after(self, step: int) -> Iterator[tuple[float, list[int]]]:
        """Yield the batches after the first ``step`` ones, each with the epochs that are done once it is trained on."""
        number = 0
        while True:
            batches = self.epoch(number)
            done = 0
            for batch in batches:
                done += len(batch)
                if step:
                    step -= 1
                    continue
                yield number + done / self._lengths.size, batch
            number += 1
