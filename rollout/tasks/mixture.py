"""The endless sequence of tasks that a run trains on: several environments by share, each as its curriculum wants."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...environments.environment import Environment, Split
from ...verifiers.errors import ConfigError
from ...verifiers.group import Group
from ...verifiers.task import Task
from ..orders import Outcome
from .curriculum import CurriculumConfig
from .supply import Supply
from .weighted_turns import Credit

MEMORY = 0.98
"""How much of the count of useful groups stays at each group; so the count looks back over about 50."""

LEAST_RATE = 0.1
"""Share of useful groups that is expected of an environment at the least: else one that never has any would be drawn
without end."""


@dataclass(frozen=True)
class Portion:
    """One environment's part in a mixture.

    Attributes:
        weight: in proportion to which groups are admitted, whatever becomes of them.
        size: attempts at each task.
        min_share: least share of the useful groups (whose attempts differ); where it is not reached, every second group
            may be one more of this environment's.
        curriculum: which difficulty is asked when; None asks tasks as they come.
    """

    weight: float = 1.0
    size: int = 8
    min_share: float = 0.0
    curriculum: CurriculumConfig | None = None


class Draw(NamedTuple):
    """The next task, how often it is attempted, and where it came from."""

    environment: int
    task: Task
    size: int
    number: int = 0
    band: int = -1


class Mixture:
    """Draws tasks, and is told in the same order what became of them.

    The same seed and the same outcomes give the same draws. Without ``min_share`` and curricula outcomes do not matter:
    the n-th draw then follows from the seed alone.

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
        self._admitted = [0.0] * len(portions)  # both counts are of what is remembered
        self._useful = [0.0] * len(portions)
        self._caught_up = False  # whether the last draw made up for a share that was not reached
        self._pending: deque[Draw] = deque()
        self._again: deque[Draw] = deque()  # what was pending when the state was saved

    def __iter__(self) -> "Mixture":
        return self

    def __next__(self) -> Draw:
        """The next draw; there always is one."""
        draw = self._again.popleft() if self._again else self._draw()
        self._pending.append(draw)
        return draw

    def learn(self, outcome: Outcome) -> None:
        """What became of the oldest draw of which that was not told yet."""
        draw = self._pending.popleft()
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
        """Where it stands, as JSON."""
        return {
            "supplies": [supply.state for supply in self._supplies],
            "balance": self._credit.balance,
            "admitted": self._admitted,
            "useful": self._useful,
            "caught_up": self._caught_up,
            "pending": [[draw.environment, draw.number, draw.band] for draw in (*self._pending, *self._again)],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``, in a mixture that has drawn nothing yet; what was pending then is drawn again first."""
        tasks: list[dict[int, Any]] = []
        for place, supply in enumerate(self._supplies):
            pending = {number: band for environment, number, band in state["pending"] if environment == place}
            tasks.append(supply.restore(state["supplies"][place], pending))
        self._credit.balance = list(state["balance"])
        self._admitted, self._useful = list(state["admitted"]), list(state["useful"])
        self._caught_up = state["caught_up"]
        self._again = deque(
            self._drawn(environment, *tasks[environment][number]) for environment, number, _ in state["pending"]
        )

    def metrics(self) -> dict[str, float]:
        """Shares of the last groups by environment, where there are several; pass rate and weight of every band."""
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
        """The environment that lacks most of its least share of useful groups, those expected of pending draws counted.

        A lack of less than one group is none.
        """
        if not any(portion.min_share for portion in self._portions):
            return None
        expected = list(self._useful)
        for draw in self._pending:
            expected[draw.environment] += self._rate(draw.environment)
        lacks = [
            portion.min_share * sum(expected) - have for portion, have in zip(self._portions, expected, strict=True)
        ]
        most = max(range(len(lacks)), key=lacks.__getitem__)
        return most if lacks[most] >= 1.0 else None

    def _rate(self, environment: int) -> float:
        """Share of an environment's groups that was useful lately; 1 where nothing is known yet."""
        admitted = self._admitted[environment]
        return max(LEAST_RATE, self._useful[environment] / admitted) if admitted else 1.0
