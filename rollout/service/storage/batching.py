"""Batches: which of the waiting groups come next, so that their sequences fill a batch exactly."""

import heapq
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

_STEPS_BACK = 16
"""How many of the newest groups of a batch are exchanged at most in search of one that is exactly full."""


class Waiting(NamedTuple):
    """A group that waits: its number says how old it is."""

    number: int
    env_id: int | None
    sequences: int


class Batch(NamedTuple):
    """The groups of one batch, oldest first."""

    groups: list[Waiting]
    exact: bool
    """Whether their sequences are exactly as many as were asked for."""


_Shelf = tuple[int | None, int]
"""The environment and the number of sequences that the groups in one line have in common."""


class WaitingGroups:
    """The groups that wait, in one line for each environment and size.

    So the cost of a batch depends on its own length and on how many lines there are, never on how many groups wait.
    """

    def __init__(self) -> None:
        self._lines: dict[_Shelf, deque[int]] = {}
        self.groups = 0
        self.sequences = 0

    def add(self, group: Waiting) -> None:
        """Append ``group``, whose number is above all others."""
        self._lines.setdefault((group.env_id, group.sequences), deque()).append(group.number)
        self._count(1, group.sequences)

    def put_back(self, groups: Iterable[Waiting]) -> None:
        """Return groups that were taken to where they were."""
        for group in sorted(groups, reverse=True):
            line = self._lines.setdefault((group.env_id, group.sequences), deque())
            older = []
            while line and line[0] < group.number:
                older.append(line.popleft())
            line.extendleft([group.number, *reversed(older)])
            self._count(1, group.sequences)

    def drop(self, upto: int) -> None:
        """Remove all groups with a number of at most ``upto``."""
        for shelf, line in list(self._lines.items()):
            while line and line[0] <= upto:
                line.popleft()
                self._count(-1, -shelf[1])
            if not line:
                del self._lines[shelf]

    def oldest(self) -> int | None:
        """The number of the group that waits longest."""
        return min((line[0] for line in self._lines.values()), default=None)

    def by_environment(self) -> dict[int | None, int]:
        """How many sequences wait of each environment."""
        sequences: dict[int | None, int] = {}
        for (env_id, size), line in self._lines.items():
            sequences[env_id] = sequences.get(env_id, 0) + size * len(line)
        return sequences

    def largest(self, env_id: int | None = None) -> int:
        """The sequences of the largest group that waits, of one environment or of all; 0 if there is none."""
        return max((size for (owner, size) in self._lines if env_id is None or owner == env_id), default=0)

    def take(
        self, batch_size: int, least: Mapping[int, int], *, short: bool = False, oldest_first: bool = False
    ) -> Batch | None:
        """Take the next batch out, or nothing if none can be formed yet.

        Groups are taken in order as far as they fit. If they do not fill the batch exactly, the newest of them are
        exchanged for others that do. A group larger than a batch makes a batch of its own when it is the oldest.

        Args:
            batch_size: sequences.
            least: sequences that an environment has at least in the batch; the batch waits until it has them.
            short: whether a batch that cannot be filled exactly is taken as full as it can be.
            oldest_first: whether the oldest group is taken before the shares in ``least`` are filled.
        """
        if not self.groups:
            return None
        oldest = min((line[0], shelf) for shelf, line in self._lines.items())
        if oldest[1][1] > batch_size:
            return self._remove([oldest], exact=False)
        if self.sequences < batch_size:
            return None
        least = scaled(least, batch_size)
        pick = _Pick(self._lines, batch_size)
        if oldest_first or not least:
            pick.add(oldest[1])
        if not pick.reserve(least):
            return None
        if pick.fill():
            return self._remove(pick.chosen, exact=True)
        if short:
            return self._remove(pick.fullest(), exact=False)
        return None

    def _remove(self, chosen: Sequence[tuple[int, _Shelf]], exact: bool) -> Batch:
        for _, shelf in chosen:
            self._lines[shelf].popleft()
            self._count(-1, -shelf[1])
            if not self._lines[shelf]:
                del self._lines[shelf]
        return Batch([Waiting(number, *shelf) for number, shelf in sorted(chosen)], exact)

    def _count(self, groups: int, sequences: int) -> None:
        self.groups += groups
        self.sequences += sequences


class _Pick:
    """A batch while it is being chosen: from each line its first groups."""

    def __init__(self, lines: Mapping[_Shelf, deque[int]], batch_size: int) -> None:
        self._lines = lines
        self._used = dict.fromkeys(lines, 0)
        self.chosen: list[tuple[int, _Shelf]] = []
        self._fixed = 0
        self._room = batch_size

    def add(self, shelf: _Shelf, *, fixed: bool = True) -> None:
        """Choose the next group of a line; a fixed one is not exchanged later."""
        self.chosen.append((self._lines[shelf][self._used[shelf]], shelf))
        self._used[shelf] += 1
        self._room -= shelf[1]
        self._fixed += fixed

    def reserve(self, least: Mapping[int, int]) -> bool:
        """Fill the shares of ``least``; whether all environments had enough."""
        for env_id, sequences in least.items():
            own = [shelf for shelf in self._lines if shelf[0] == env_id]
            missing = sequences - sum(shelf[1] * self._used[shelf] for shelf in own)
            if sum(shelf[1] * (len(self._lines[shelf]) - self._used[shelf]) for shelf in own) < missing:
                return False
            self._greedy(own, missing, fixed=True)
        return True

    def fill(self) -> bool:
        """Fill the room that is left with any groups; whether that succeeded exactly."""
        self._greedy(list(self._lines), self._room, fixed=False)
        for back in range(min(len(self.chosen) - self._fixed, _STEPS_BACK) + 1):
            if back:
                self._give_up()
            if self._exchange(exactly=True):
                return True
        return False

    def fullest(self) -> list[tuple[int, _Shelf]]:
        """The fixed groups, and of the others as many sequences as fit."""
        while len(self.chosen) > self._fixed:
            self._give_up()
        self._exchange(exactly=False)
        return self.chosen

    def _greedy(self, shelves: Iterable[_Shelf], sequences: int, *, fixed: bool) -> None:
        """Choose the oldest groups of ``shelves`` that fit, until they have so many sequences."""
        order = [
            (self._lines[shelf][self._used[shelf]], shelf)
            for shelf in shelves
            if self._used[shelf] < len(self._lines[shelf])
        ]
        heapq.heapify(order)  # numbers are unique, so lines are never compared
        while order and sequences > 0:
            _, shelf = heapq.heappop(order)
            if shelf[1] > self._room:
                continue  # the room only shrinks, so nothing in this line will fit
            self.add(shelf, fixed=fixed)
            sequences -= shelf[1]
            if self._used[shelf] < len(self._lines[shelf]):
                heapq.heappush(order, (self._lines[shelf][self._used[shelf]], shelf))

    def _give_up(self) -> None:
        _, shelf = self.chosen.pop()
        self._used[shelf] -= 1
        self._room += shelf[1]

    def _exchange(self, *, exactly: bool) -> bool:
        """Fill the room with groups that are not chosen yet, exactly or as far as it goes."""
        left: dict[int, int] = {}
        for shelf, line in self._lines.items():
            left[shelf[1]] = left.get(shelf[1], 0) + len(line) - self._used[shelf]
        counts = counts_that_sum(left, self._room, exactly=exactly)
        if counts is None:
            return False
        for size, count in counts.items():
            for _ in range(count):
                own = [s for s in self._lines if s[1] == size and self._used[s] < len(self._lines[s])]
                self.add(min(own, key=lambda shelf: self._lines[shelf][self._used[shelf]]), fixed=False)
        return True


def scaled(least: Mapping[int, int], batch_size: int) -> dict[int, int]:
    """The smallest shares in sequences, scaled down together if they are more than a batch."""
    total = sum(least.values())
    return {env_id: n * batch_size // total if total > batch_size else n for env_id, n in least.items() if n > 0}


def counts_that_sum(available: Mapping[int, int], total: int, *, exactly: bool) -> dict[int, int] | None:
    """How many of each size make ``total`` together, or with ``exactly`` false the largest sum up to it.

    A bounded subset sum in which a set of sums is the bits of one integer.

    Args:
        available: how many there are of each size.
        total: the sum that is wanted.
        exactly: whether nothing less will do; then None is returned where it cannot be reached.
    """
    sizes = [size for size, count in available.items() if 0 < size <= total and count > 0]
    mask = (1 << (total + 1)) - 1
    layers = [1]
    for size in sizes:
        sums, count, piece = layers[-1], min(available[size], total // size), 1
        while count > 0:
            sums |= sums << (min(piece, count) * size) & mask
            count -= piece
            piece *= 2
        layers.append(sums)
    rest = layers[-1].bit_length() - 1
    if exactly and rest != total:
        return None
    counts: dict[int, int] = {}
    for size, below in zip(reversed(sizes), reversed(layers[:-1]), strict=True):
        while not below >> rest & 1:
            counts[size] = counts.get(size, 0) + 1
            rest -= size
    return counts
