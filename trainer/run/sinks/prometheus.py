"""The newest metrics in Prometheus' text format, in a file that the node exporter's textfile collector can read."""

from collections.abc import Mapping, Sequence

from ....rollout.prometheus import figure, head
from ....verifiers.files import replace_text
from .sink import RunFacts, SampleRow

FILE = "metrics.prom"
"""The file's name in the run's folder."""


class Prometheus:
    """Replaces the file with every step.

    Args:
        facts: of the run.
    """

    def __init__(self, facts: RunFacts) -> None:
        self._path = facts.path / FILE
        self._run = facts.path.name
        self._values: dict[str, float] = {}

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the newest value of every metric."""
        self._values |= metrics
        lines = [*head("step", "gauge", "The newest step."), figure("step", {"run": self._run}, step)]
        lines += head("metric", "gauge", "The newest value of each metric.")
        lines += [
            figure("metric", {"run": self._run, "name": name}, value) for name, value in sorted(self._values.items())
        ]
        replace_text(self._path, "\n".join(lines) + "\n")

    def samples(self, rows: Sequence[SampleRow]) -> None:
        """Do nothing: Prometheus takes numbers only."""

    def rewind(self, step: int) -> None:
        """Forget all values; the next step writes them again."""
        self._values = {}

    def close(self) -> None:
        """Remove the file, so that a run that has ended is not scraped for ever."""
        self._path.unlink(missing_ok=True)
