"""Alerts about a run that goes wrong; each is given once, with its cure, and can end the run."""

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from ...verifiers.errors import nearest
from .head_of_line import head_of_line
from .speed_alerts import either, engines_idle, generation_slow, publication_slow, trainer_slow

if TYPE_CHECKING:  # it checks the names of alerts
    from ..config import RunConfig

FIRST, LAST = 5, 5
"""Rules compare the first and the last steps of a run, this many of each. A condition must hold for the last ones."""

HELD_OUT = re.compile(r"heldout/(?:.+/)?(?:accuracy|reward)")
"""Held-out results of the run, and of each environment where there are several."""

Row = Mapping[str, Any]


class Alert(NamedTuple):
    """One alert.

    Attributes:
        name: of its rule.
        step: the step that gave it.
        text: what is wrong and what to change, in one line.
    """

    name: str
    step: int
    text: str


@dataclass
class History:
    """What the rules look at.

    Attributes:
        first: the metrics of the first steps.
        last: the metrics of the last steps.
        held_out: name of a held-out accuracy or reward → (step, value) of every evaluation since the warm start.
        validation: (step, loss) of every evaluation on validation rows.
        warmed: whether there was a warm start.
        config: of the run; None if it is not known.
    """

    first: list[Row] = field(default_factory=list)
    last: deque[Row] = field(default_factory=lambda: deque(maxlen=LAST))
    held_out: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    validation: list[tuple[int, float]] = field(default_factory=list)
    warmed: bool = False
    config: "RunConfig | None" = None

    def add(self, row: Row) -> None:
        """Take the metrics of one step."""
        step = row.get("step", 0)
        self.warmed |= step < 0
        for name, value in row.items() if step >= 0 else ():
            if HELD_OUT.fullmatch(name) and value is not None:
                self.held_out.setdefault(name, []).append((step, value))
        if row.get("validation/loss") is not None:
            self.validation.append((step, row["validation/loss"]))
        if "loss" in row:
            if len(self.first) < FIRST:
                self.first.append(row)
            self.last.append(row)

    @property
    def metric(self) -> str:
        """The held-out metric of the whole run: the accuracy, or the reward if success is undefined."""
        return "heldout/accuracy" if "heldout/accuracy" in self.held_out else "heldout/reward"

    def mean(self, rows: Sequence[Row] | deque[Row], name: str) -> float | None:
        """Return the mean over the steps that computed tokens; None if there are none."""
        values = [row[name] for row in rows if row["tokens/forward"] and row.get(name) is not None]
        return fmean(values) if values else None

    def setting(self, key: str) -> Any:
        """Return the run's value of a dotted key; None if the run has none, or if its config is not known."""
        value: Any = self.config
        for part in key.split("."):
            value = getattr(value, part, None)
        return value


class Alerts:
    """Applies the alert rules to the metrics of each step.

    Args:
        rows: the metrics of earlier steps, if the run is resumed.
        config: of the run, so that no alert advises what the run does already; None if it is not known.

    Attributes:
        given: all alerts so far.
    """

    def __init__(self, rows: Sequence[Row] = (), config: "RunConfig | None" = None) -> None:
        self.given: list[Alert] = []
        self._history = History(config=config)
        self._told: set[str] = set()
        for row in rows:
            self.seen(row)

    def reconfigure(self, config: "RunConfig | None") -> None:
        """Go on with the config to which the run was changed."""
        self._history.config = config

    def seen(self, row: Row) -> list[Alert]:
        """Return the new alerts. An alert whose condition ended can be given again."""
        self._history.add(row)
        if "loss" not in row or len(self._history.last) < LAST:
            return []
        rules = RULES if "reward/total" in row else {rule.__name__: rule for rule in _WITHOUT_ROLLOUTS}
        found = {name: text for name, rule in rules.items() if (text := rule(self._history))}
        news = [Alert(name, row.get("step", 0), text) for name, text in found.items() if name not in self._told]
        self._told = set(found)
        self.given += news
        return news


def collapse(history: History) -> str:
    """The held-out result is far below its best, twice in a row."""
    held_out = history.held_out.get(history.metric, [])
    if len(held_out) < 3:
        return ""
    best_step, best = max(held_out, key=lambda pair: pair[1])
    last = held_out[-2:]
    if best <= 0 or any(best - value < max(0.1, 0.4 * best) for _, value in last):
        return ""
    cures = ["with a lower trainer.lr"]
    if "reward/total" in history.last[-1]:  # rows have no policy loss
        penalty = "higher" if history.setting("trainer.loss.kl.coef") else "penalty"
        cures += [f"with a {penalty} trainer.loss.kl.coef (0.001 to 0.05)", "with a tighter trainer.loss.clip_high"]
    return (
        f"{history.metric} fell from {best:.3g} at step {best_step} to {last[-1][1]:.3g}. The best checkpoint is kept. "
        f"Continue from it {either(*cures)}"
    )


def overfitted(history: History) -> str:
    """The loss on the validation rows is far above its lowest value, twice in a row."""
    losses = history.validation
    if len(losses) < 3:
        return ""
    best_step, best = min(losses, key=lambda pair: pair[1])
    if any(value < best + 0.05 * abs(best) + 0.01 for _, value in losses[-2:]):
        return ""
    cures = ("fewer data.epochs" if history.setting("data.epochs") != 1 else "", "a lower trainer.lr", "more rows")
    return (
        f"validation/loss rose from {best:.3g} at step {best_step} to {losses[-1][1]:.3g}: the model learns the rows "
        f"by heart. Use the checkpoint of that step, {either(*cures)}"
    )


def reward_hacked(history: History) -> str:
    """The reward rises while held-out success falls, in the whole run or in one environment."""
    for name, values in history.held_out.items():
        if not name.endswith("/accuracy") or len(values) < 3:
            continue
        label = name.removeprefix("heldout/").removesuffix("accuracy")
        rewards = [
            [row[f"{label}reward/total"] for row in rows if row.get(f"{label}reward/total") is not None]
            for rows in (history.first, history.last)
        ]
        if not all(rewards):
            continue
        before, now = map(fmean, rewards)
        if now - before > 0.1 and all(values[0][1] - value > 0.1 for _, value in values[-2:]):
            where = f" in {label[:-1]}" if label else ""
            return (
                f"the reward{where} rose from {before:.3g} to {now:.3g}, while {name} fell from {values[0][1]:.3g} to "
                f"{values[-1][1]:.3g}: the policy earns something else than success. Look at the rewards by label, and "
                "lower the weight of the one that rose, make it a gate, or declare what counts (Rubric(success=...))"
            )
    return ""


def greedy_only(history: History) -> str:
    """After the warm start, greedy replies earn much more than sampled ones, which do not learn."""
    rewards = history.held_out.get("heldout/reward", [])
    if not history.warmed or not rewards:
        return ""
    greedy, sampled = rewards[0][1], history.first[0]["reward/total"]
    if greedy - sampled < 0.3 or fmean(row["reward/total"] for row in history.last) - sampled > 0.1:
        return ""
    return (
        f"greedy replies earned {greedy:.3g} after the warm start, and sampled ones {sampled:.3g}: groups learn from "
        "what is sampled. Lengthen the warm start (warm_start.steps, warm_start.target), or lower "
        "rollout.sampling.temperature"
    )


def broken_environment(history: History) -> str:
    """The environment's code raises in many episodes."""
    raised = fmean(row.get("attempts/raised") or 0.0 for row in history.last)
    if raised < 0.05:
        return ""
    cure = '; rollout.on_failure = "fail" ends the run at the first attempt that cannot be scored'
    cure = "" if history.setting("rollout.on_failure") == "fail" else cure
    return (
        f"the environment's code raised an exception in {raised:.0%} of the attempts. errors.json in the run's folder "
        f"has each place with its count{cure}"
    )


def not_judged(history: History) -> str:
    """Many attempts get no score because of an infrastructure error."""
    unjudged = fmean(row.get("attempts/unjudged") or 0.0 for row in history.last)
    if unjudged < 0.05:
        return ""
    retries = history.setting("rollout.on_failure") in (None, "retry")
    cure = "a higher rollout.retries" if retries else 'rollout.on_failure = "retry"'
    again = "more often" if retries else "again"
    return (
        f"{unjudged:.0%} of the attempts got no score because of an infrastructure error (a judge, an endpoint, the "
        f"sandbox). errors.json in the run's folder has the reasons; {cure} plays such attempts {again}"
    )


def nothing_to_learn(history: History) -> str:
    """All attempts at each task earned the same."""
    if not all(row["groups/zero_variance"] == 1 for row in history.last):
        return ""
    reward = fmean(row["reward/total"] for row in history.last)
    curriculum = any(entry.curriculum for entry in history.setting("environments") or ())
    cures = (
        "" if curriculum else "practise bands of difficulty (a curriculum)",
        "" if history.setting("warm_start.steps") else "use a warm start",
        "raise group_size",
        "" if history.setting("trainer.dynamic_sampling") else "replace such groups (trainer.dynamic_sampling)",
    )
    return (
        f"nothing was learned in {LAST} steps: all attempts at each task earned the same (mean {reward:.3g}), so the "
        f"tasks are too easy or too hard. To change that, {either(*cures)}"
    )


def entropy_collapse(history: History) -> str:
    """The policy became nearly deterministic without earning more."""
    before, now = history.mean(history.first, "entropy"), history.mean(history.last, "entropy")
    learned = fmean(row["reward/total"] for row in history.last) - fmean(row["reward/total"] for row in history.first)
    if not before or now is None or now >= 0.1 * before or learned > 0.1:
        return ""
    high = " (0.28)" if (history.setting("trainer.loss.clip_high") or 0.0) < 0.28 else ""
    return (
        f"entropy fell from {before:.3g} to {now:.3g} nats per token, but the reward did not rise: attempts hardly "
        f"differ any more. Raise trainer.loss.clip_high{high} or trainer.loss.entropy, or lower trainer.lr"
    )


def mismatch_rises(history: History) -> str:
    """The sampler's policy and the trainer's drift apart."""
    before, now = history.mean(history.first, "mismatch_kl"), history.mean(history.last, "mismatch_kl")
    if now is None or now < 0.01 or now < 5 * (before or 0.0):
        return ""
    weighted = history.setting("trainer.loss.importance_sampling.method") not in (None, "none")
    cures = (
        "" if history.setting("rollout.staleness") == 0 else "lower rollout.staleness",
        "" if weighted else "set trainer.loss.importance_sampling (tis, icepop)",
        "use one dtype for both (model.dtype)",
    )
    return (
        f"the policies of sampler and trainer differ by {now:.3g} nats per token (at first {before or 0:.3g}). To "
        f"change that, {either(*cures)}"
    )


def replies_cut_off(history: History) -> str:
    """Most attempts end at a token limit."""
    cut = fmean(row.get("stop/length", 0.0) for row in history.last)
    if cut < 0.5:
        return ""
    leave_out = '. To leave such attempts out of the loss, set trainer.loss.overlong = "filter"'
    leave_out = "" if history.setting("trainer.loss.overlong") == "filter" else leave_out
    return (
        f"{cut:.0%} of the attempts were cut off by a token limit. Raise rollout.sampling.max_tokens (and "
        f"model.context), or make replies shorter with the verifier length{leave_out}"
    )


def mostly_clipped(history: History) -> str:
    """The clip removes the gradient of most tokens."""
    clipped = history.mean(history.last, "clip_fraction")
    if clipped is None or clipped < 0.5:
        return ""
    return (
        f"{clipped:.0%} of the tokens had no gradient, because their ratio is outside the clip range. Lower "
        f"{either('trainer.lr', '' if history.setting('rollout.staleness') == 0 else 'rollout.staleness')}"
    )


_WITHOUT_ROLLOUTS = (collapse, overfitted)
"""The rules that need no rollouts, and so apply to rows as well."""

RULES: dict[str, Callable[[History], str]] = {
    "collapse": collapse,
    "overfitted": overfitted,
    "reward_hacked": reward_hacked,
    "greedy_only": greedy_only,
    "broken_environment": broken_environment,
    "not_judged": not_judged,
    "nothing_to_learn": nothing_to_learn,
    "entropy_collapse": entropy_collapse,
    "mismatch_rises": mismatch_rises,
    "replies_cut_off": replies_cut_off,
    "mostly_clipped": mostly_clipped,
    "engines_idle": engines_idle,
    "head_of_line": head_of_line,
    "generation_slow": generation_slow,
    "trainer_slow": trainer_slow,
    "publication_slow": publication_slow,
}
"""Alert rules by name. Each looks at a run's history and returns an alert or an empty text."""


def known_alerts(names: list[str]) -> list[str]:
    """Return ``names`` if all are names of rules; raise ``ValueError`` with the nearest name if not."""
    for name in names:
        if name not in RULES:
            raise ValueError(f"there is no alert {name!r}; {nearest(name, RULES)}")
    return names
