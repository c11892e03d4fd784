"""Signs that a run goes wrong, each told once, with what to do about it."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

FIRST, LAST = 5, 5
"""Steps that show how a run began, and how it goes now; what is a sign has held for as long."""

Row = Mapping[str, Any]


class Alerts:
    """Watches the metrics of the steps.

    Args:
        rows: of the steps before, where a run is resumed.
    """

    def __init__(self, rows: Sequence[Row] = ()) -> None:
        self._first: list[Row] = []
        self._last: deque[Row] = deque(maxlen=LAST)
        self._told: set[str] = set()
        for row in rows:
            self.seen(row)

    def seen(self, row: Row) -> list[str]:
        """What has now come up, one line each; a sign that went away may be told again."""
        if "loss" not in row:
            return []
        if len(self._first) < FIRST:
            self._first.append(row)
        self._last.append(row)
        if len(self._last) < LAST:
            return []
        found = {name: text for name, sign in SIGNS.items() if (text := sign(self._first, self._last))}
        news = [text for name, text in found.items() if name not in self._told]
        self._told = set(found)
        return news


def nothing_to_learn(first: Sequence[Row], last: Sequence[Row]) -> str:
    """All attempts at each task earned the same."""
    if not all(row["groups/zero_variance"] == 1 for row in last):
        return ""
    reward = fmean(row["reward/total"] for row in last)
    return (
        f"nothing was learned in {LAST} steps: all attempts at each task earned the same (mean {reward:.3g}). Tasks "
        "are too easy or too hard by now: practise bands of difficulty (a curriculum), warm start, ask for more "
        "attempts (group_size), or admit others in their place (trainer.dynamic_sampling)"
    )


def entropy_collapse(first: Sequence[Row], last: Sequence[Row]) -> str:
    """The policy says the same whatever it is worth."""
    before, now = _mean(first, "entropy"), _mean(last, "entropy")
    learned = fmean(row["reward/total"] for row in last) - fmean(row["reward/total"] for row in first)
    if not before or now is None or now >= 0.1 * before or learned > 0.1:
        return ""
    return (
        f"entropy fell from {before:.3g} to {now:.3g} nats a token, and the reward did not rise: attempts hardly "
        "differ any more. Raise trainer.loss.clip_high (0.28) or trainer.loss.entropy, or lower trainer.lr"
    )


def mismatch_rises(first: Sequence[Row], last: Sequence[Row]) -> str:
    """The sampler's policy and the trainer's grow apart."""
    before, now = _mean(first, "mismatch_kl"), _mean(last, "mismatch_kl")
    if now is None or now < 0.01 or now < 5 * (before or 0.0):
        return ""
    return (
        f"the policies of sampler and trainer differ by {now:.3g} nats a token (at first {before or 0:.3g}). Lower "
        "rollout.staleness, set trainer.loss.importance_sampling (tis, icepop), or use one dtype for both (model.dtype)"
    )


def replies_cut_off(first: Sequence[Row], last: Sequence[Row]) -> str:
    """Most attempts end because they have no more tokens."""
    cut = fmean(row.get("stop/length", 0.0) for row in last)
    if cut < 0.5:
        return ""
    return (
        f"{cut:.0%} of the attempts were cut off by a limit of tokens. Raise rollout.sampling.max_tokens (and "
        'model.context), or train shorter replies: the verifier length, trainer.loss.overlong = "filter"'
    )


def mostly_clipped(first: Sequence[Row], last: Sequence[Row]) -> str:
    """The clip takes the gradient of most tokens."""
    clipped = _mean(last, "clip_fraction")
    if clipped is None or clipped < 0.5:
        return ""
    return (
        f"{clipped:.0%} of the tokens had no gradient, because their ratio is outside of the clip. Lower trainer.lr or "
        "rollout.staleness"
    )


SIGNS: dict[str, Callable[[Sequence[Row], Sequence[Row]], str]] = {
    "nothing_to_learn": nothing_to_learn,
    "entropy_collapse": entropy_collapse,
    "mismatch_rises": mismatch_rises,
    "replies_cut_off": replies_cut_off,
    "mostly_clipped": mostly_clipped,
}
"""By name: what makes a line of the first and the last steps' metrics, empty where all is well."""


def _mean(rows: Sequence[Row], name: str) -> float | None:
    """Over the steps that computed something."""
    values = [row[name] for row in rows if row["tokens/forward"] and row[name] is not None]
    return fmean(values) if values else None
