"""What a sink is, the sinks by name, and the protection of a run against a sink that fails."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ....verifiers.group import Group
from ....verifiers.plugins import Plugins

log = logging.getLogger("lachesis")


@dataclass(frozen=True)
class RunFacts:
    """What a sink is told about its run.

    Attributes:
        path: the run's folder.
        project: the name under which a service shows the runs of one project.
        config: the resolved config, without its secrets.
        resumed: whether the run continues an earlier one in the same folder.
    """

    path: Path
    project: str = "lachesis"
    config: Mapping[str, Any] = field(default_factory=dict)
    resumed: bool = False


class SampleRow(NamedTuple):
    """A rollout as a table shows it.

    Attributes:
        step: the step that it was trained in.
        environment: the environment's label.
        prompt: the last message before the reply.
        reply: the last reply.
        reward: the total of the first agent.
        stop: why the episode ended.
    """

    step: int
    environment: str
    prompt: str
    reply: str
    reward: float
    stop: str


class Sink(Protocol):
    """Takes the numbers of a run. A method may raise: the sink is then left out, and the run goes on."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take the metrics of a step; steps below 0 are the warm start. Values are finite."""

    def samples(self, rows: Sequence[SampleRow]) -> None:
        """Take some rollouts of a step."""

    def rewind(self, step: int) -> None:
        """Forget what came after ``step``, if that is possible: a resumed run repeats it."""

    def close(self) -> None:
        """Write what is left, and close."""


OpenSink = Callable[[RunFacts], Sink]

SINKS: Plugins[OpenSink] = Plugins(
    "sink",
    __package__,
    {
        "tensorboard": "tensorboard:TensorBoard",
        "wandb": "experiment_services:open_wandb",
        "trackio": "experiment_services:open_trackio",
        "prometheus": "prometheus:Prometheus",
    },
)
"""Sinks by name; each is called with the facts of the run. ``module:name`` names your own."""


class Sinks:
    """All sinks of a run. One that raises is reported once, and then left out.

    Args:
        names: of the sinks.
        facts: of the run.

    Raises:
        ConfigError: a name is unknown, or its package is not installed.
    """

    def __init__(self, names: Sequence[str], facts: RunFacts) -> None:
        self._open: dict[str, Sink] = {}
        for name in names:
            opener = SINKS.load(name)
            self._guard(name, lambda name=name, opener=opener: self._open.__setitem__(name, opener(facts)))  # type: ignore[misc]

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Give every sink the metrics of a step."""
        self._each(lambda sink: sink.log(step, metrics))

    def samples(self, rows: Sequence[SampleRow]) -> None:
        """Give every sink some rollouts."""
        if rows:
            self._each(lambda sink: sink.samples(rows))

    def rewind(self, step: int) -> None:
        """Have every sink forget what came after ``step``."""
        self._each(lambda sink: sink.rewind(step))

    def close(self) -> None:
        """Close every sink."""
        self._each(lambda sink: sink.close())
        self._open.clear()

    def _each(self, call: Callable[[Sink], None]) -> None:
        for name, sink in list(self._open.items()):
            self._guard(name, lambda sink=sink: call(sink))  # type: ignore[misc]

    def _guard(self, name: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - where numbers are shown is not worth the run
            self._open.pop(name, None)
            log.warning("the sink %s gets nothing more, because it failed: %s: %s", name, type(error).__name__, error)


def sample_rows(step: int, groups: Sequence[Group], most: int) -> list[SampleRow]:
    """The first attempts of up to ``most`` groups, and of each group the best one if it is another."""
    rows = []
    for group in groups[:most]:
        scored = [attempt for attempt in group.trajectories if attempt.rewards]
        totals = [next(iter(attempt.rewards.values())).total for attempt in scored]
        for place in sorted({0, totals.index(max(totals))}) if totals else ():
            made = scored[place]
            agent = next(iter(made.rewards))
            messages = made.messages.get(agent, ())
            replies = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
            prompt = messages[replies[-1] - 1]["content"] if replies and replies[-1] else ""
            rows.append(
                SampleRow(step, made.environment, prompt, made.completion(agent), totals[place], made.stop.value)
            )
    return rows[:most]
