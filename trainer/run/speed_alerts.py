"""Alert rules about speed: which part of a run waits for which other one, and what to change."""

from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports these rules
    from .alerts import History

SHORT_WAIT = 2.0
"""Seconds a step for which a trainer may wait with idle engines; toy runs have steps that are hardly longer."""


def engines_idle(history: "History") -> str:
    """The trainer waits for groups while the engines have nothing to do."""
    waiting, busy = _share(history, "rate/trainer_waiting"), history.mean(history.last, "rate/engines_busy")
    if busy is None or busy > 0.3 or waiting < 0.5 or _negligible(history, "rate/trainer_waiting"):
        return ""
    workers = "run without --inline (rollout.inline)" if history.setting("rollout.inline") else "raise rollout.workers"
    threads = "" if history.setting("rollout.inline") else "raise rollout.threads"
    return (
        f"the trainer waits for groups {waiting:.0%} of the time, and engines are idle in {1 - busy:.0%} of that: "
        "environments, tools or verifiers are slow. See the timeline in `lachesis view` and time/scoring; "
        f"{either(workers, threads, 'raise trainer.prompts', 'overlap with a higher rollout.staleness')}"
    )


def generation_slow(history: "History") -> str:
    """An asynchronous run's trainer waits for groups although the engines are busy."""
    waiting, busy = _share(history, "rate/trainer_waiting"), history.mean(history.last, "rate/engines_busy")
    if not _asynchronous(history) or busy is None or busy < 0.7 or waiting < 0.5:
        return ""
    if _negligible(history, "rate/trainer_waiting"):
        return ""
    parts = "let the update begin with the groups that are ready (trainer.parts)"
    in_parts = (history.setting("trainer.parts") or 1) > 1 or history.setting("trainer.offload")
    cures = (
        "add engines (rollout.engines)",
        "let each take more requests (rollout.slots)",
        "make replies shorter (rollout.sampling.max_tokens)",
        "" if in_parts else parts,
    )
    return (
        f"the trainer waits for groups {waiting:.0%} of the time, and the engines are busy in {busy:.0%} of that: "
        f"generation limits the run. To change that, {either(*cures)}; a higher rollout.staleness cannot help"
    )


def trainer_slow(history: "History") -> str:
    """An asynchronous run's engines have nothing to do while the trainer updates the weights."""
    idle, updating = _share(history, "rate/engines_idle"), _share(history, "rate/updating")
    if not _asynchronous(history) or idle < 0.5 or updating < 0.6 or _negligible(history, "rate/engines_idle"):
        return ""
    more = "trainer.ranks, trainer.micro_tokens" + ("" if history.setting("trainer.compile") else ", trainer.compile")
    fewer = "" if history.setting("rollout.engines") == 1 else ", or use fewer engines (rollout.engines)"
    return (
        f"engines are idle {idle:.0%} of the time, and the update takes {updating:.0%} of each step: the trainer "
        f"limits the run. Give it more ({more}){fewer}"
    )


def publication_slow(history: "History") -> str:
    """Publishing the weights takes much of each step."""
    publishing = _share(history, "rate/publishing")
    if publishing < 0.3 or _negligible(history, "rate/publishing"):
        return ""
    fast = history.setting("rollout.weight_transport") in ("auto", "nccl", "cuda_ipc", "direct")
    cures = (
        "" if fast else "choose a faster rollout.weight_transport (auto takes nccl or cuda_ipc if it can)",
        "" if history.setting("trainer.lora.rank") else "train adapters (trainer.lora)",
        "make steps longer (trainer.prompts)",
    )
    return f"publishing the weights takes {publishing:.0%} of each step. To change that, {either(*cures)}"


def either(*cures: str) -> str:
    """Return the cures that are not empty as a choice: "a, b, or c"."""
    *others, last = filter(None, cures)
    return ", ".join([*others, f"or {last}"]) if len(others) > 1 else " or ".join([*others, last])


def _share(history: "History", name: str) -> float:
    return fmean(row.get(name) or 0.0 for row in history.last)


def _asynchronous(history: "History") -> bool:
    return any((row.get("staleness") or 0.0) > 0 for row in history.last)


def _negligible(history: "History", name: str) -> bool:
    """Whether the share ``name`` of a step is too short to speak of."""
    return fmean((row.get(name) or 0.0) * (row.get("time/step") or 0.0) for row in history.last) < SHORT_WAIT
