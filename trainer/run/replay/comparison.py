"""The first difference between a step that was trained again and what the run recorded of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....verifiers.group import Group
from ...learner.learner import StepResult
from ...learner.optimizer_state import read_state
from ...learner.sample import Sample
from ..step_record import ADVANTAGE, TRAINER

COMPARED = ("loss", "grad_norm")
"""Metrics of a step that are compared."""


def step_difference(
    groups: Sequence[Group], samples: Sequence[Sample], result: StepResult, row: Mapping[str, Any]
) -> str:
    """Say what differs first from the step that the run recorded; empty if nothing does.

    Args:
        groups: the groups as they are stored, with the trainer's numbers in their segments.
        samples: the samples that were made of them again.
        result: of the step that was taken again.
        row: the step's row of metrics; what it lacks is not compared.
    """
    for sample, logprobs in zip(samples, result.logprobs, strict=True):
        place, number, part = sample.source
        group = groups[place]
        recorded = group.trajectories[number].segments[part].extra
        where = f"group {group.index}, attempt {group.attempts[number]}, segment {part}"
        for name, what, now in (
            (ADVANTAGE, "the advantages", sample.advantages[sample.mask]),
            (TRAINER, "the trainer's logprobs before the step", logprobs),
        ):
            before = recorded.get(name)
            if before is None:
                return f"{where}: {what} are not recorded"
            mask_now = np.full(int(sample.mask.sum()), np.nan, np.float32) if now is None else now
            if found := array_difference(before[sample.mask], mask_now):
                return f"{where}: {what} differ: {found}"
    return metrics_difference(result.metrics, row, COMPARED)


def metrics_difference(now: Mapping[str, float], row: Mapping[str, Any], names: Sequence[str]) -> str:
    """Say which of the metrics ``names`` differs first from the recorded ``row``; empty if none does."""
    for name in names:
        before, value = row.get(name), now.get(name)
        if before is not None and value is not None and before != value:
            return f"{name} is {value!r}, and {before!r} was recorded"
    return ""


def checkpoint_difference(now: Path, before: Path) -> str:
    """Say which tensor of the checkpoint ``now`` differs first from ``before``, and by how much; empty if none does.

    Weights come before AdamW's moments.
    """
    ours, theirs = read_state(now), read_state(before)
    for name in sorted({*ours, *theirs}, key=lambda name: (not name.startswith("weights/"), name)):
        if name not in ours or name not in theirs:
            return f"only the {'recorded' if name in theirs else 'new'} checkpoint has {name}"
        if found := array_difference(theirs[name].numpy(), ours[name].numpy()):
            return f"{name}: {found}"
    return ""


def array_difference(before: npt.NDArray[Any], now: npt.NDArray[Any]) -> str:
    """Say how many numbers of ``now`` are not those of ``before``, and by how much; empty if all are the same."""
    if before.shape != now.shape:
        return f"the shape is {now.shape}, and {before.shape} was recorded"
    other = (before != now) & ~(np.isnan(before) & np.isnan(now))
    if not other.any():
        return ""
    gap = np.nanmax(np.abs(before[other].astype(np.float64) - now[other].astype(np.float64)), initial=0.0)
    first = tuple(np.argwhere(other)[0]) if before.ndim else ()
    return (
        f"{int(other.sum())} of {before.size} numbers, by at most {gap:.3g} (the first is {float(now[first]):.9g}, and "
        f"{float(before[first]):.9g} was recorded)"
    )
