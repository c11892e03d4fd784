"""The summary of a run, including the steps before it was resumed: one JSON object."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from ...config import RunConfig
from ..alerts import Alert
from ..error_log import Problem
from ..sandbox_check import SandboxCheck
from . import checkpoint
from .folder import RunFolder
from .run_state import RunState

Summary = dict[str, Any]


def write_summary(
    folder: RunFolder,
    config: RunConfig,
    state: RunState,
    sandbox: SandboxCheck | None,
    alerts: Sequence[Alert] = (),
    stopped_by: Alert | None = None,
    problems: Sequence[Problem] = (),
) -> Summary:
    """Write ``summary.json`` and draw the learning curve; return the summary."""
    rows = folder.metrics()
    metric = config.eval.metric
    if metric == "auto":
        metric = "accuracy" if any("heldout/accuracy" in row for row in rows) else "reward"
    mismatches = [row["mismatch_kl"] for row in rows if row.get("mismatch_kl") is not None]
    summary: Summary = {
        "engine": config.rollout.engine,
        "seed": config.seed,
        "steps": state.step,
        "warm_start_steps": state.warm_start_steps,
        "wall_s": round(state.seconds, 2),
        "metric": metric,
        "heldout_start": state.held_out.start,
        "heldout_final": state.held_out.last,
        "heldout_best": state.held_out.best,
        "heldout_best_step": state.held_out.best_step,
        "tokens_generated": state.tokens_generated,
        "mismatch_kl": fmean(mismatches) if mismatches else None,
        "phases": {name: round(seconds, 3) for name, seconds in state.phases.items()},
        "sandbox": sandbox.to_json() if sandbox else None,
        "checkpoint": str(checkpoint.latest(folder.checkpoints)),
        "alerts": [alert._asdict() for alert in alerts],
        "stopped_by": stopped_by.name if stopped_by else None,
        "errors": [str(problem) for problem in problems[:20]],
    }
    folder.write_summary(summary)
    folder.plot(config.eval.stop_at)
    return summary
