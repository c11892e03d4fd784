"""A curriculum: chooses the difficulty of the next task by the policy's success rate in each band of difficulty."""

from typing import Any

from pydantic import Field

from ...verifiers.errors import ConfigError, DataError, nearest
from ...verifiers.settings import Settings
from ...verifiers.task import Task
from .weighted_turns import Credit


class CurriculumConfig(Settings):
    """Bands of difficulty, and the success rates between which a band is worth practising."""

    bands: list[float] | list[str] = Field(min_length=2)
    """If difficulty is a number, the upper edges of the bands in rising order; the last band also takes all higher
    numbers. If it is a label, all labels, with the easiest first."""
    key: str = "difficulty"
    """The key in a task's ``info`` that holds its difficulty."""
    low: float = Field(0.2, ge=0, le=1)
    """Success rate below which a band is too hard."""
    high: float = Field(0.8, ge=0, le=1)
    """Success rate above which a band is too easy."""
    rest: float = Field(0.1, gt=0, le=1)
    """Weight of a band that is too easy or too hard, which keeps its success rate known; the others have weight 1."""
    memory: float = Field(0.9, ge=0, lt=1)
    """Share of the old success rate in a band's new one after each group. The rest is the rate of that group."""


class Curriculum:
    """Chooses bands, and learns from the success rates of their groups.

    A band that was never tried is worth practising. If no band is, then the hardest of the bands that are too easy and
    the easiest of those that are too hard are practised: they are at the edge of the policy's ability.

    Args:
        config: the bands.
        label: the environment's, for messages.

    Raises:
        ConfigError: bands or pass rates out of order.
    """

    def __init__(self, config: CurriculumConfig, label: str) -> None:
        bands = config.bands
        self._edges = [band for band in bands if isinstance(band, float)]  # none where bands are labels
        if len(set(bands)) < len(bands) or self._edges != sorted(self._edges):
            raise ConfigError(f"{label}: the bands of a curriculum rise, each once; found {bands}")
        if config.low > config.high:
            raise ConfigError(f"{label}: the curriculum's low {config.low:g} is above its high {config.high:g}")
        self.config, self.label = config, label
        self.names = [f"{band:g}" if isinstance(band, float) else band for band in bands]
        self.pass_rates: list[float | None] = [None] * len(bands)
        self._credit = Credit(len(bands))

    def band_of(self, task: Task) -> int:
        """The band of a task.

        Raises:
            DataError: the task names no difficulty, or one that belongs to no band.
        """
        difficulty = task.info.get(self.config.key)
        edges = self._edges
        if edges and isinstance(difficulty, int | float):
            return next((place for place, edge in enumerate(edges) if difficulty <= edge), len(edges) - 1)
        if not edges and difficulty in self.names:
            return self.names.index(difficulty)
        kind = "a number" if edges else nearest(str(difficulty), self.names)
        raise DataError(
            f"{self.label}: task {task.id} has no difficulty that its curriculum knows (info[{self.config.key!r}] is "
            f"{difficulty!r}; {kind}); have the environment write it, or change the bands"
        )

    def choose(self) -> int:
        """The band of the next task."""
        return self._credit.turn(self.weights)

    @property
    def weights(self) -> list[float]:
        """The weight with which each band is practised."""
        low, high, rates = self.config.low, self.config.high, self.pass_rates
        worth = [rate is None or low <= rate <= high for rate in rates]
        if not any(worth):
            easy = [place for place, rate in enumerate(rates) if rate is not None and rate > high]
            hard = [place for place, rate in enumerate(rates) if rate is not None and rate < low]
            for place in (*easy[-1:], *hard[:1]):
                worth[place] = True
        return [1.0 if worthwhile else self.config.rest for worthwhile in worth]

    def learn(self, band: int, passed: float) -> None:
        """Take the share ``passed`` of a group's attempts that succeeded into the success rate of ``band``."""
        before = self.pass_rates[band]
        memory = self.config.memory
        self.pass_rates[band] = passed if before is None else memory * before + (1 - memory) * passed

    @property
    def state(self) -> dict[str, Any]:
        """All that the curriculum has learned, as JSON."""
        return {"bands": self.names, "pass_rates": self.pass_rates, "balance": self._credit.balance}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; a state of other bands is ignored."""
        if state["bands"] == self.names:
            self.pass_rates, self._credit.balance = list(state["pass_rates"]), list(state["balance"])
