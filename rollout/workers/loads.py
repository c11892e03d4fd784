"""How many orders each worker has, and which worker has the fewest, in a time that hardly grows with their number."""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush


class Loads:
    """A list of numbers that finds its smallest one without looking at the others.

    Args:
        count: number of workers.
    """

    def __init__(self, count: int) -> None:
        self._loads = [0] * count
        self._heap = [(0, worker) for worker in range(count)]  # may hold former loads, which are passed over

    def __len__(self) -> int:
        return len(self._loads)

    def __getitem__(self, worker: int) -> int:
        return self._loads[worker]

    def __setitem__(self, worker: int, load: int) -> None:
        self._loads[worker] = load
        heappush(self._heap, (load, worker))
        if len(self._heap) > 4 * len(self._loads) + 16:
            self._heap = [(load, worker) for worker, load in enumerate(self._loads)]
            heapify(self._heap)

    def least(self, down_until: Sequence[float], now: float) -> int:
        """The worker with the fewest orders, the first of equals; one that is down at ``now`` only if all are."""
        heap, chosen = self._heap, None
        down: list[tuple[int, int]] = []
        while heap and chosen is None:
            load, worker = heap[0]
            if load != self._loads[worker]:
                heappop(heap)
            elif down_until[worker] > now:
                entry = heappop(heap)
                if not down or down[-1] != entry:  # a load that was left and taken up again is there twice
                    down.append(entry)
            else:
                chosen = worker
        for entry in down:
            heappush(heap, entry)
        return down[0][1] if chosen is None else chosen
