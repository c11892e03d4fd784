"""Puzzles of planning: knapsacks, schedules, assignments, packing, measuring; any best plan counts."""

from collections import Counter
from itertools import accumulate, pairwise
from random import Random
from typing import Any, Self

from ..answers import INTEGERS, NAMES
from ..puzzle import Puzzle, family

CHOSEN = "the numbers of the chosen {}, separated by commas"


def is_choice(found: list[int], count: int) -> bool:
    """Whether ``found`` has different numbers from 1 to ``count``."""
    return len(set(found)) == len(found) and all(1 <= n <= count for n in found)


@family
class Knapsack(Puzzle):
    """The most valuable load of a knapsack."""

    sizes = range(4, 20, 2)
    answer = INTEGERS
    form = CHOSEN.format("items")
    wordings = (
        "A knapsack carries at most {capacity} kg. Choose items with the largest total value:\n{items}",
        "You can carry {capacity} kg. Which of these items, each available once, are worth most together?\n{items}",
    )
    capacity: int
    weights: list[int]
    values: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        weights, values = ([rng.randint(1, 20) for _ in range(size)] for _ in range(2))
        return cls(max(*weights, sum(weights) // 2), weights, values)

    def shown(self) -> dict[str, str]:
        both = enumerate(zip(self.weights, self.values, strict=True), 1)
        lines = "\n".join(f"{n}: {weight} kg, value {value}" for n, (weight, value) in both)
        return {"capacity": str(self.capacity), "items": lines}

    def solve(self) -> list[int]:
        best: list[tuple[int, list[int]]] = [(0, [])] * (self.capacity + 1)
        for n, (weight, value) in enumerate(zip(self.weights, self.values, strict=True), 1):
            for room in range(self.capacity, weight - 1, -1):
                total, chosen = best[room - weight]
                if total + value > best[room][0]:
                    best[room] = (total + value, [*chosen, n])
        return best[-1][1]

    def _sum(self, of: list[int], found: Any) -> int:
        return sum(of[n - 1] for n in found)

    def accepts(self, found: Any) -> bool:
        if not is_choice(found, len(self.weights)) or self._sum(self.weights, found) > self.capacity:
            return False
        return self._sum(self.values, found) == self._sum(self.values, self.solve())


@family
class Appointments(Puzzle):
    """The most appointments that do not overlap."""

    sizes = range(4, 28, 3)
    answer = INTEGERS
    form = CHOSEN.format("appointments")
    wordings = (
        "Each appointment has a start and an end. Choose as many as possible of which no two overlap; one may begin "
        "when another ends.\n{times}",
        "A hall is asked for at these times (start to end). Grant as many requests as possible without overlaps; ends "
        "and starts may coincide.\n{times}",
    )
    times: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        starts = [rng.randrange(2 * size) for _ in range(size)]
        return cls([[start, start + rng.randint(1, size)] for start in starts])

    def shown(self) -> dict[str, str]:
        return {"times": "\n".join(f"{n}: {a} to {b}" for n, (a, b) in enumerate(self.times, 1))}

    def solve(self) -> list[int]:
        chosen, free = [], 0
        for end, n in sorted((end, n) for n, (_, end) in enumerate(self.times, 1)):
            if self.times[n - 1][0] >= free:
                chosen.append(n)
                free = end
        return chosen

    def accepts(self, found: Any) -> bool:
        if not is_choice(found, len(self.times)) or len(found) != len(self.solve()):
            return False
        times = sorted(self.times[n - 1] for n in found)
        return all(before[1] <= after[0] for before, after in pairwise(times))


@family
class Assignment(Puzzle):
    """The cheapest way to give each worker a job."""

    sizes = range(2, 10)
    answer = INTEGERS
    form = "the job of each worker in order, separated by commas"
    wordings = (
        "Row by row, the table says what each worker asks for each job:\n{costs}\nGive every worker a job of their "
        "own at the least total cost.",
        "In this table a line is a worker and a column is a job, with costs:\n{costs}\nAssign all jobs, one to each "
        "worker, as cheaply as possible.",
    )
    costs: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls([[rng.randint(1, 99) for _ in range(size)] for _ in range(size)])
            if size < 4 or found.solve() != sorted(found.solve()):
                return found

    def solve(self) -> list[int]:
        best: dict[int, tuple[int, list[int]]] = {0: (0, [])}
        for row in self.costs:
            after: dict[int, tuple[int, list[int]]] = {}
            for taken, (cost, jobs) in best.items():
                for job, price in enumerate(row):
                    mask = taken | 1 << job
                    if mask != taken and (mask not in after or cost + price < after[mask][0]):
                        after[mask] = (cost + price, [*jobs, job + 1])
            best = after
        return best[2 ** len(self.costs) - 1][1]

    def _cost(self, jobs: list[int]) -> int:
        return sum(row[job - 1] for row, job in zip(self.costs, jobs, strict=True))

    def accepts(self, found: Any) -> bool:
        complete = sorted(found) == list(range(1, len(self.costs) + 1))
        return complete and self._cost(found) == self._cost(self.solve())


@family
class LeastLateness(Puzzle):
    """An order of jobs in which none is very late."""

    sizes = range(3, 19, 2)
    answer = INTEGERS
    form = "the numbers of all the jobs in their order, separated by commas"
    wordings = (
        "A machine does one job after another, from time 0 on. Order these jobs so that the largest delay beyond a "
        "deadline is as small as possible:\n{jobs}",
        "Each job has a duration and a deadline. In which order should one person do all of them, so that the worst "
        "lateness is least?\n{jobs}",
    )
    durations: list[int]
    deadlines: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls([rng.randint(1, 12) for _ in range(size)], [rng.randint(1, 5 * size) for _ in range(size)])
            if not found.accepts(list(range(1, size + 1))):
                return found

    def shown(self) -> dict[str, str]:
        both = enumerate(zip(self.durations, self.deadlines, strict=True), 1)
        return {"jobs": "\n".join(f"{n}: takes {time}, due at {due}" for n, (time, due) in both)}

    def solve(self) -> list[int]:
        return sorted(range(1, len(self.durations) + 1), key=lambda n: self.deadlines[n - 1])

    def _lateness(self, order: list[int]) -> int:
        ends = accumulate(self.durations[n - 1] for n in order)
        return max(0, *(end - self.deadlines[n - 1] for end, n in zip(ends, order, strict=True)))

    def accepts(self, found: Any) -> bool:
        complete = sorted(found) == list(range(1, len(self.durations) + 1))
        return complete and self._lateness(found) == self._lateness(self.solve())


@family
class FewestCoins(Puzzle):
    """The fewest coins that make an amount."""

    sizes = range(20, 180, 20)
    answer = INTEGERS
    form = "the values of the used coins, each as often as it is used, separated by commas"
    wordings = (
        "Pay exactly {amount} with as few coins as possible. There are enough coins worth {coins}.",
        "With coins of {coins}, as many of each as you like, make {amount} using the fewest coins.",
    )
    coins: list[int]
    amount: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls([1, *sorted(rng.sample(range(3, 30), 3))], size + rng.randrange(20))
            if sorted(found.solve()) != found.coins and found.amount not in found.coins:
                return found

    def solve(self) -> list[int]:
        best: list[list[int]] = [[]]
        for amount in range(1, self.amount + 1):
            best.append(min(([*best[amount - coin], coin] for coin in self.coins if coin <= amount), key=len))
        return best[-1]

    def accepts(self, found: Any) -> bool:
        made = set(found) <= set(self.coins) and sum(found) == self.amount
        return made and len(found) == len(self.solve())


@family
class BinPacking(Puzzle):
    """Things to be put into few boxes."""

    sizes = range(4, 20, 2)
    answer = INTEGERS
    form = "the number of the box for each thing, in order, separated by commas"
    wordings = (
        "Put things of the weights {weights} into {boxes} boxes, numbered from 1, so that no box holds more than "
        "{capacity}.",
        "There are {boxes} boxes (1 to {boxes}) for at most {capacity} kg each. Distribute things that weigh "
        "{weights} kg.",
    )
    weights: list[int]
    boxes: int
    capacity: int
    plan: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        boxes = max(2, size // 3)
        plan = [n % boxes + 1 for n in range(size)]
        rng.shuffle(plan)
        weights = [rng.randint(1, 30) for _ in range(size)]
        loads = Counter[int]()
        for box, weight in zip(plan, weights, strict=True):
            loads[box] += weight
        return cls(weights, boxes, max(loads.values()), plan)

    def solve(self) -> list[int]:
        return self.plan

    def accepts(self, found: Any) -> bool:
        if len(found) != len(self.weights) or not set(found) <= set(range(1, self.boxes + 1)):
            return False
        loads = Counter[int]()
        for box, weight in zip(found, self.weights, strict=True):
            loads[box] += weight
        return max(loads.values()) <= self.capacity


@family
class WaterJugs(Puzzle):
    """An amount of water to be measured with two jugs."""

    sizes = range(4, 20, 2)
    answer = NAMES
    form = (
        "the moves separated by commas: FA or FB fills a jug, EA or EB empties it, AB or BA pours until full or empty"
    )
    wordings = (
        "Jug A holds {a} litres and jug B holds {b}; both are empty. Measure exactly {target} litres in one of them.",
        "You have an empty jug A of {a} litres, an empty jug B of {b} litres, and a tap. How do you get exactly "
        "{target} litres into one of the jugs?",
    )
    a: int
    b: int
    target: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            a, b = rng.sample(range(size, 2 * size), 2)
            found = cls(a, b, rng.randint(1, max(a, b) - 1))
            if found.target not in (found.a, found.b) and bool(found.solve()):
                return found

    def _after(self, state: tuple[int, int], move: str) -> tuple[int, int]:
        a, b = state
        poured = min(a, self.b - b) if move == "AB" else -min(b, self.a - a)
        states = {"FA": (self.a, b), "FB": (a, self.b), "EA": (0, b), "EB": (a, 0)}
        return states.get(move, (a - poured, b + poured))

    def solve(self) -> list[str]:
        ways: dict[tuple[int, int], list[str]] = {(0, 0): []}
        queue = [(0, 0)]
        for state in queue:
            if self.target in state:
                return ways[state]
            for move in ("FA", "FB", "EA", "EB", "AB", "BA"):
                after = self._after(state, move)
                if after not in ways:
                    ways[after] = [*ways[state], move]
                    queue.append(after)
        return []

    def accepts(self, found: Any) -> bool:
        state = (0, 0)
        for move in found:
            if move.upper() not in ("FA", "FB", "EA", "EB", "AB", "BA"):
                return False
            state = self._after(state, move.upper())
        return self.target in state
