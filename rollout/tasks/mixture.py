"""The endless sequence of tasks that a run trains on: environments in given shares, each with its own curriculum."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...environments.environment import Environment, Split
from ...verifiers.errors import ConfigError, DataError
from ...verifiers.group import Group
from ...verifiers.task import Task
from ..orders import Outcome, Passed
from .curriculum import CurriculumConfig
from .supply import Supply
from .weighted_turns import Credit

MEMORY = 0.98
"""Factor by which the count of useful groups shrinks at each group, so that it covers about the last 50."""

LEAST_RATE = 0.1
"""Least share of useful groups that is assumed of an environment; without it, an environment that never has a useful
group would be drawn for ever."""


@dataclass(frozen=True)
class Portion:
    """One environment's part in a mixture.

    Attributes:
        weight: the environment's share of admitted groups is proportional to it.
        size: attempts at each task.
        min_share: least share of the useful groups, which are those whose attempts differ in reward; while it is not
            reached, up to every second group is an extra one of this environment.
        curriculum: chooses the difficulty; None takes the tasks in their order.
    """

    weight: float = 1.0
    size: int = 8
    min_share: float = 0.0
    curriculum: CurriculumConfig | None = None


class Draw(NamedTuple):
    """The next task, the number of attempts at it, and where it came from."""

    environment: int
    task: Task
    size: int
    number: int = 0
    band: int = -1


class Mixture:
    """Draws tasks, and is told their outcomes in the same order.

    The same seed and the same outcomes give the same draws. Without ``min_share`` and curricula the outcomes do not
    matter: the n-th draw then follows from the seed alone.

    Args:
        environments: in the run's order.
        portions: one for each.
        split: which tasks.
        seed: of the run.
    """

    def __init__(
        self, environments: Sequence[Environment], portions: Sequence[Portion], split: Split, seed: int
    ) -> None:
        self.environments = environments
        self.labels = [environment.label for environment in environments]
        self._portions = portions
        self._supplies = [
            Supply(environment, split, seed, portion.curriculum)
            for environment, portion in zip(environments, portions, strict=True)
        ]
        self._credit = Credit(len(portions))
        self._admitted = [0.0] * len(portions)  # both counts shrink by MEMORY at each group
        self._useful = [0.0] * len(portions)
        self._caught_up = False  # whether the last draw was an extra one, for min_share
        self._pending: deque[Draw] = deque()
        self._expected: list[float] | None = None  # useful groups with the pending draws; None is to be counted
        self._again: deque[Draw] = deque()  # what was pending when the state was saved

    def __iter__(self) -> "Mixture":
        return self

    def __next__(self) -> Draw:
        """The next draw; there always is one."""
        draw = self._again.popleft() if self._again else self._draw()
        self._pending.append(draw)
        if self._expected is not None:
            self._expected[draw.environment] += self._rate(draw.environment)
        return draw

    def learn(self, outcome: Outcome | Passed) -> None:
        """Take the outcome of the oldest draw that has none yet."""
        draw = self._pending.popleft()
        self._expected = None
        if isinstance(outcome, Passed):  # nothing was asked
            return
        useful = isinstance(outcome, Group) and not outcome.zero_variance
        self._admitted = [MEMORY * count for count in self._admitted]
        self._useful = [MEMORY * count for count in self._useful]
        self._admitted[draw.environment] += 1.0
        self._useful[draw.environment] += float(useful)
        curriculum = self._supplies[draw.environment].curriculum
        if curriculum and isinstance(outcome, Group):
            if (rate := outcome.success_rate) is None:
                raise ConfigError(
                    f"{self.labels[draw.environment]}: its curriculum needs to know what a success is, and the "
                    "heaviest reward is a plain number; say so with Rubric(..., success=LABEL or least total)"
                )
            curriculum.learn(draw.band, rate)

    @property
    def state(self) -> dict[str, Any]:
        """The mixture's position, as JSON."""
        return {
            "supplies": [supply.state for supply in self._supplies],
            "balance": self._credit.balance,
            "admitted": self._admitted,
            "useful": self._useful,
            "caught_up": self._caught_up,
            "pending": [[draw.environment, draw.number, draw.band] for draw in (*self._pending, *self._again)],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``, before anything is drawn; draws that were pending then are repeated first.

        Raises:
            DataError: It is not the state of a mixture of these environments.
        """
        try:
            self._restore(state)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise DataError(
                f"the checkpoint's position in the tasks does not fit this run's {len(self.labels)} environments "
                f"({type(error).__name__}: {error}); use those that the run began with, or start a new run"
            ) from error

    def _restore(self, state: dict[str, Any]) -> None:
        counts = {name: len(state[name]) for name in ("supplies", "balance", "admitted", "useful")}
        if set(counts.values()) != {len(self.labels)}:
            raise ValueError(f"it has {counts}")
        tasks: list[dict[int, Any]] = []
        for place, supply in enumerate(self._supplies):
            pending = {number: band for environment, number, band in state["pending"] if environment == place}
            tasks.append(supply.restore(state["supplies"][place], pending))
        self._credit.balance = list(state["balance"])
        self._admitted, self._useful = list(state["admitted"]), list(state["useful"])
        self._caught_up = state["caught_up"]
        self._expected = None
        self._again = deque(
            self._drawn(environment, *tasks[environment][number]) for environment, number, _ in state["pending"]
        )

    def metrics(self) -> dict[str, float]:
        """Each environment's share of the last groups, if there are several; each band's success rate and weight."""
        found: dict[str, float] = {}
        admitted, useful = sum(self._admitted), sum(self._useful)
        if len(self.labels) > 1 and admitted:
            for place, label in enumerate(self.labels):
                found[f"mixture/{label}/admitted"] = self._admitted[place] / admitted
                found[f"mixture/{label}/useful"] = self._useful[place] / useful if useful else 0.0
        for label, supply in zip(self.labels, self._supplies, strict=True):
            if curriculum := supply.curriculum:
                total = sum(curriculum.weights)
                for band, rate, weight in zip(curriculum.names, curriculum.pass_rates, curriculum.weights, strict=True):
                    found[f"curriculum/{label}/{band}/share"] = weight / total
                    if rate is not None:
                        found[f"curriculum/{label}/{band}/pass_rate"] = rate
        return found

    def _draw(self) -> Draw:
        behind = self._behind() if not self._caught_up else None
        self._caught_up = behind is not None
        chosen = self._credit.turn([portion.weight for portion in self._portions]) if behind is None else behind
        return self._drawn(chosen, *self._supplies[chosen].take())

    def _drawn(self, environment: int, task: Task, number: int, band: int) -> Draw:
        return Draw(environment, task, self._portions[environment].size, number, band)

    def _behind(self) -> int | None:
        """The environment that is furthest below its least share of useful groups; None if none lacks a whole group.

        The useful groups that are expected of pending draws count, too. They are counted once for all draws between two
        outcomes, so that the cost of a draw does not grow with the number of pending ones.
        """
        if not any(portion.min_share for portion in self._portions):
            return None
        if self._expected is None:
            rates = [self._rate(environment) for environment in range(len(self._portions))]
            self._expected = list(self._useful)
            for draw in self._pending:  # one by one, as draws add to it: the order of additions decides the last bits
                self._expected[draw.environment] += rates[draw.environment]
        expected = self._expected
        lacks = [
            portion.min_share * sum(expected) - have for portion, have in zip(self._portions, expected, strict=True)
        ]
        most = max(range(len(lacks)), key=lacks.__getitem__)
        return most if lacks[most] >= 1.0 else None

    def _rate(self, environment: int) -> float:
        """Share of an environment's last groups that were useful; 1 if it had none yet."""
        admitted = self._admitted[environment]
        return max(LEAST_RATE, self._useful[environment] / admitted) if admitted else 1.0
