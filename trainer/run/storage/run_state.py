"""The state of a run: all that a resumed run needs besides weights and optimizer."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ....verifiers.errors import ConfigError, DataError
from ....verifiers.rows.jsonl import read_json

FILE = "run_state.json"
"""Name of the state's file in a checkpoint."""


@dataclass(frozen=True)
class HeldOutHistory:
    """The values of ``eval.metric`` on the held-out tasks.

    Attributes:
        start: the value before the first policy step; None until it is measured.
        last: the value at the last evaluation.
        best: the highest value so far.
        best_step: the step of the highest value; -1 if there is none.
    """

    start: float | None = None
    last: float | None = None
    best: float | None = None
    best_step: int = -1

    def added(self, value: float, step: int) -> "HeldOutHistory":
        """Return the history with one more evaluation."""
        better = self.best is None or value > self.best
        return HeldOutHistory(
            value if self.start is None else self.start,
            value,
            value if better else self.best,
            step if better else self.best_step,
        )


@dataclass(frozen=True)
class RunState:
    """The position and the results of a run.

    Attributes:
        step: optimizer steps done.
        version: version of the weights; a version is never used twice.
        admitted: admission index of the next group.
        mixture: position in the tasks (``Mixture.state``); None before the first step.
        warm_start_steps: supervised steps that were taken.
        tokens_generated: number of sampled tokens in the steps so far.
        held_out: results on the held-out tasks.
        services: label of an environment → number of the last group that was consumed of its service.
        seconds: wall-clock time of the run so far.
        phases: seconds by phase.
        unlogged: the metrics of the last step if its evaluation had not ended; a resumed run evaluates, and logs them.
    """

    step: int = 0
    version: int = -1
    admitted: int = 0
    mixture: dict[str, Any] | None = None
    warm_start_steps: int = 0
    tokens_generated: int = 0
    held_out: HeldOutHistory = HeldOutHistory()
    services: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    phases: Mapping[str, float] = field(default_factory=dict)
    unlogged: Mapping[str, float] | None = None

    def evaluated(self, value: float | None) -> "RunState":
        """Return the state after an evaluation of the current weights; None for a run without held-out tasks."""
        return self if value is None else replace(self, held_out=self.held_out.added(value, self.step))

    def write(self, checkpoint: Path) -> None:
        """Write the state into the folder of a checkpoint."""
        (checkpoint / FILE).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, checkpoint: Path) -> "RunState":
        """Read the state from the folder of a checkpoint.

        Raises:
            ConfigError: There is no state that this version can read.
        """
        cure = "use the version that wrote it, or start a new run"
        try:
            row = read_json(checkpoint / FILE, "restore it from a backup")
            state = cls(**{**row, "held_out": HeldOutHistory(**row["held_out"])})
            TypeAdapter(cls).validate_json(json.dumps(asdict(state)), strict=True)
            return state
        except ValidationError as error:
            fault = error.errors()[0]
            name = ".".join(map(str, fault["loc"]))
            reason = f"{FILE}: {name!r}: {fault['msg']}, found {fault['input']!r:.80}"
        except (DataError, TypeError, KeyError) as error:
            reason = str(error)
        raise ConfigError(f"{checkpoint} is not a checkpoint of this version of lachesis ({reason}); {cure}")
