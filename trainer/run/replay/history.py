"""What the event log of a run says of its training: the config of each start, and each step's groups and rate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....rollout.event_log import EVENTS, read_events
from ....verifiers.errors import DataError
from ....verifiers.settings import validated
from ...config import RunConfig
from ..storage.redaction import redacted

_CURE = "the log was cut off, or an earlier version of lachesis wrote it"


@dataclass(frozen=True)
class Start:
    """A start of the run, or a later one with ``--resume``.

    Attributes:
        step: the steps that were done before it.
        config: the config from then on; its secrets are redacted.
    """

    step: int
    config: RunConfig


@dataclass(frozen=True)
class TrainedStep:
    """One step of the run.

    Attributes:
        lr: the learning rate.
        groups: the admission indices of its groups, in the order in which they were trained.
    """

    lr: float
    groups: tuple[int, ...]


class History:
    """The starts and steps that led to the run's weights; steps that a resumed run took again are left out.

    Args:
        run: the run's folder.

    Attributes:
        starts: in order; each is in force for the steps after its own.
        steps: by number.

    Raises:
        DataError: the log does not say how the run began.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / EVENTS
        self.starts: list[Start] = []
        self.steps: dict[int, TrainedStep] = {}
        for event in read_events(self.path):
            self._add(event)
        if not self.starts:
            raise DataError(f"{self.path} does not say with which settings the run began: {_CURE}")

    def config(self, step: int) -> RunConfig:
        """Return the config that was in force in ``step``, where step 0 is the warm start."""
        return next((start.config for start in reversed(self.starts) if start.step < step), self.starts[0].config)

    def trained(self, step: int) -> TrainedStep:
        """Return what was trained in ``step``.

        Raises:
            DataError: the log does not have the step.
        """
        if step not in self.steps:
            raise DataError(f"{self.path} does not say what step {step} was trained on: {_CURE}")
        return self.steps[step]

    def _add(self, event: dict[str, Any]) -> None:
        step = event.get("step")
        if type(step) is not int:
            return
        if event["event"] == "started":
            if "config" not in event:  # the log of an earlier version
                return
            config = validated(RunConfig, event["config"], f"{self.path}, start after step {step}")
            self.starts = [*(start for start in self.starts if start.step < step), Start(step, config)]
            self.steps = {number: one for number, one in self.steps.items() if number <= step}
        elif event["event"] == "trained":
            try:
                self.steps[step] = TrainedStep(float(event["lr"]), tuple(int(index) for index in event["groups"]))
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{self.path}: the event of step {step} is damaged ({error!r}): {_CURE}") from None


def start_facts(config: RunConfig) -> dict[str, Any]:
    """Return what the event ``started`` says of the config, without its secrets."""
    return {"config": redacted(config.model_dump(mode="json"))}
