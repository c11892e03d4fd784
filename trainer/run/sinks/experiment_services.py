"""Weights & Biases and trackio, whose Python interfaces are the same as far as a run needs them."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .sink import RunFacts, SampleRow


def open_wandb(facts: RunFacts) -> "ExperimentService":
    """Open a run of Weights & Biases; the package's own variables, such as ``WANDB_MODE=offline``, decide where."""
    import wandb  # only now: the package is an extra, and takes a second

    name = facts.path.name
    run_id = hashlib.blake2b(os.path.abspath(facts.path).encode(), digest_size=8).hexdigest()
    run = wandb.init(
        project=facts.project,
        name=name,
        id=run_id,
        resume="allow" if facts.resumed else None,
        dir=str(facts.path),
        config=dict(facts.config),
    )
    run.define_metric("step", hidden=True)
    run.define_metric("*", step_metric="step")
    # the step is one of the metrics, because wandb's own takes no number below 0 or before the last one
    return ExperimentService(
        run,
        lambda values, step: run.log({**values, "step": step}),
        lambda columns, rows: wandb.Table(columns=columns, data=rows),
    )


def open_trackio(facts: RunFacts) -> "ExperimentService":
    """Open a run of trackio; the package's own variables, such as ``TRACKIO_DIR``, decide where."""
    import trackio  # only now: the package is an extra, and takes seconds

    run = trackio.init(
        project=facts.project,
        name=facts.path.name,
        resume="allow" if facts.resumed else "never",
        config=dict(facts.config),
    )
    return ExperimentService(
        run,
        lambda values, step: run.log(values, step=step),
        lambda columns, rows: trackio.Table(columns=columns, data=rows),
    )


class ExperimentService:
    """Logs to a run of such a service. What a resumed run repeats is logged again, with its step beside it.

    Args:
        run: the service's run.
        send: logs values by name with their step.
        table: makes the service's table from columns and rows.
    """

    def __init__(self, run: Any, send: Callable[[dict[str, Any], int], None], table: Callable[..., Any]) -> None:
        self._run, self._send, self._table = run, send, table

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of a step."""
        self._send(dict(metrics), step)

    def samples(self, rows: Sequence[SampleRow]) -> None:
        """Log the rollouts as a table."""
        table = self._table(list(SampleRow._fields), [list(row) for row in rows])
        self._send({"samples": table}, rows[0].step)

    def rewind(self, step: int) -> None:
        """Do nothing: the services cannot take back what was logged."""

    def close(self) -> None:
        """Finish the service's run."""
        self._run.finish()
