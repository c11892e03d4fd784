"""Which difficulty is asked next: bands of it, by how often the policy passes in each."""

from typing import Any

from pydantic import Field

from ...verifiers.errors import ConfigError, DataError, nearest
from ...verifiers.settings import Settings
from ...verifiers.task import Task
from .weighted_turns import Credit


class CurriculumConfig(Settings):
    """Bands of difficulty, and the pass rate at which one is worth practising."""

    bands: list[float] | list[str] = Field(min_length=2)
    """Upper edges, rising, where the difficulty is a number (what lies above the last is of the last band); or all of
    its labels, the easiest first."""
    key: str = "difficulty"
    """Where in a task's ``info`` its difficulty stands."""
    low: float = Field(0.2, ge=0, le=1)
    """Pass rate below which a band is too hard."""
    high: float = Field(0.8, ge=0, le=1)
    """Pass rate above which a band is too easy."""
    rest: float = Field(0.1, gt=0, le=1)
    """Weight of a band that is too easy or too hard, where one in between has 1: so its pass rate stays known."""
    memory: float = Field(0.9, ge=0, lt=1)
    """How much of a band's pass rate stays at each of its groups; the rest is the new group's."""


class Curriculum:
    """Chooses bands, and learns from how their groups went.

    A band that was never tried counts as worth practising. Where none is, the hardest of those that are too easy and
    the easiest of those that are too hard are: the edge of what the policy can do.

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
        """Which band a task is of.

        Raises:
            DataError: it says nothing of its difficulty, or something that is of no band.
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
        """How much each band is practised."""
        low, high, rates = self.config.low, self.config.high, self.pass_rates
        worth = [rate is None or low <= rate <= high for rate in rates]
        if not any(worth):
            easy = [place for place, rate in enumerate(rates) if rate is not None and rate > high]
            hard = [place for place, rate in enumerate(rates) if rate is not None and rate < low]
            for place in (*easy[-1:], *hard[:1]):
                worth[place] = True
        return [1.0 if worthwhile else self.config.rest for worthwhile in worth]

    def learn(self, band: int, passed: float) -> None:
        """A group of ``band`` went so that this share of its attempts passed."""
        before = self.pass_rates[band]
        memory = self.config.memory
        self.pass_rates[band] = passed if before is None else memory * before + (1 - memory) * passed

    @property
    def state(self) -> dict[str, Any]:
        """All that it has learned, as JSON."""
        return {"bands": self.names, "pass_rates": self.pass_rates, "balance": self._credit.balance}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; of other bands nothing is known, and nothing is taken over."""
        if state["bands"] == self.names:
            self.pass_rates, self._credit.balance = list(state["pass_rates"]), list(state["balance"])
