"""Alerts about a run that goes wrong; each is given once, with its cure."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

FIRST, LAST = 5, 5
"""Rules compare the first and the last steps of a run, this many of each. A condition must hold for the last ones."""

Row = Mapping[str, Any]


class Alerts:
    """Applies the alert rules to the metrics of each step.

    Args:
        rows: the metrics of earlier steps, if the run is resumed.
    """

    def __init__(self, rows: Sequence[Row] = ()) -> None:
        self._first: list[Row] = []
        self._last: deque[Row] = deque(maxlen=LAST)
        self._told: set[str] = set()
        for row in rows:
            self.seen(row)

    def seen(self, row: Row) -> list[str]:
        """Return the new alerts, one line each. An alert whose condition ended can be given again."""
        if "loss" not in row:
            return []
        if len(self._first) < FIRST:
            self._first.append(row)
        self._last.append(row)
        if len(self._last) < LAST:
            return []
        found = {name: text for name, rule in RULES.items() if (text := rule(self._first, self._last))}
        news = [text for name, text in found.items() if name not in self._told]
        self._told = set(found)
        return news


def nothing_to_learn(first: Sequence[Row], last: Sequence[Row]) -> str:
    """All attempts at each task earned the same."""
    if not all(row["groups/zero_variance"] == 1 for row in last):
        return ""
    reward = fmean(row["reward/total"] for row in last)
    return (
        f"nothing was learned in {LAST} steps: all attempts at each task earned the same (mean {reward:.3g}), so the "
        "tasks are too easy or too hard. Practise bands of difficulty (a curriculum), use a warm start, raise "
        "group_size, or replace such groups (trainer.dynamic_sampling)"
    )


def entropy_collapse(first: Sequence[Row], last: Sequence[Row]) -> str:
    """The policy became nearly deterministic without earning more."""
    before, now = _mean(first, "entropy"), _mean(last, "entropy")
    learned = fmean(row["reward/total"] for row in last) - fmean(row["reward/total"] for row in first)
    if not before or now is None or now >= 0.1 * before or learned > 0.1:
        return ""
    return (
        f"entropy fell from {before:.3g} to {now:.3g} nats per token, but the reward did not rise: attempts hardly "
        "differ any more. Raise trainer.loss.clip_high (0.28) or trainer.loss.entropy, or lower trainer.lr"
    )


def mismatch_rises(first: Sequence[Row], last: Sequence[Row]) -> str:
    """The sampler's policy and the trainer's drift apart."""
    before, now = _mean(first, "mismatch_kl"), _mean(last, "mismatch_kl")
    if now is None or now < 0.01 or now < 5 * (before or 0.0):
        return ""
    return (
        f"the policies of sampler and trainer differ by {now:.3g} nats per token (at first {before or 0:.3g}). Lower "
        "rollout.staleness, set trainer.loss.importance_sampling (tis, icepop), or use one dtype for both (model.dtype)"
    )


def replies_cut_off(first: Sequence[Row], last: Sequence[Row]) -> str:
    """Most attempts end at a token limit."""
    cut = fmean(row.get("stop/length", 0.0) for row in last)
    if cut < 0.5:
        return ""
    return (
        f"{cut:.0%} of the attempts were cut off by a token limit. Raise rollout.sampling.max_tokens (and "
        "model.context), or make replies shorter with the verifier length. To leave such attempts out of the loss, set "
        'trainer.loss.overlong = "filter"'
    )


def mostly_clipped(first: Sequence[Row], last: Sequence[Row]) -> str:
    """The clip removes the gradient of most tokens."""
    clipped = _mean(last, "clip_fraction")
    if clipped is None or clipped < 0.5:
        return ""
    return (
        f"{clipped:.0%} of the tokens had no gradient, because their ratio is outside the clip range. Lower trainer.lr "
        "or rollout.staleness"
    )


RULES: dict[str, Callable[[Sequence[Row], Sequence[Row]], str]] = {
    "nothing_to_learn": nothing_to_learn,
    "entropy_collapse": entropy_collapse,
    "mismatch_rises": mismatch_rises,
    "replies_cut_off": replies_cut_off,
    "mostly_clipped": mostly_clipped,
}
"""Alert rules by name. Each takes the metrics of the first and the last steps and returns an alert or an empty text."""


def _mean(rows: Sequence[Row], name: str) -> float | None:
    """Return the mean over the steps that computed tokens; None if there are none."""
    values = [row[name] for row in rows if row["tokens/forward"] and row[name] is not None]
    return fmean(values) if values else None
