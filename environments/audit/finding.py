"""Findings of an environment's audit, and the report that collects them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning"]

KINDS = {
    "import": "the environment does not import, or cannot be built",
    "tasks": "drawing tasks raised, or gave no tasks",
    "hang": "a step took longer than its deadline",
    "died": "the process that ran the environment ended",
    "unseeded": "the same seed gives other tasks in another process",
    "overlap": "train and test share tasks",
    "duplicate": "a task or an id occurs more than once",
    "conflict": "the same prompt has several answers",
    "leak": "the prompt contains the answer",
    "raises": "the environment's code raised",
    "infra_error": "a verifier failed to give a score",
    "not_finite": "a reward is not a finite number",
    "no_reward": "there are no rewards",
    "hostile": "text that is no answer passes",
    "gold": "the perfect reply does not pass, or the expected answer cannot verify itself",
    "tool": "a tool fails while the demonstration is played",
    "unrepeatable": "the same replies with the same seed give another episode",
    "offline": "a stored episode gets another score",
    "empty": "an empty reply passes",
    "echo": "a reply that repeats the prompt passes",
    "truncated": "half of a reply passes",
    "shuffled": "another task's reply passes",
    "mutated": "a reply with a changed answer passes",
    "hedged": "a reply with two answers passes",
    "in_think": "an answer that is only inside <think> passes",
    "guessable": "random replies pass more often than not",
    "zero_variance": "perfect and bad replies earn the same",
    "reward": "an agent program can write its own reward",
    "tokens": "token ids differ from what the template renders, or sampled text is encoded again",
    "template": "the chat template changes turns after they were sampled, or cannot continue from them",
}
"""Kind of finding → its meaning."""


MOST = 5
"""Most findings of one kind that are kept; further ones are only counted."""


@dataclass(frozen=True)
class Finding:
    """One problem of an environment.

    Attributes:
        kind: one of ``KINDS``.
        message: the problem and its cure.
        severity: an ``error`` fails the check, a ``warning`` does not.
        tasks: ids of the first few tasks that show the problem.
        reply: the beginning of a reply that shows the problem; empty if there is none.
    """

    kind: str
    message: str
    severity: Severity = "error"
    tasks: tuple[str, ...] = ()
    reply: str = ""


@dataclass
class Report:
    """The results of an audit so far.

    Attributes:
        environment: its name.
        findings: the problems, in the order in which they were found.
        further: kind → number of findings beyond ``MOST``.
        skipped: audit → why it was skipped.
        tasks: split → number of tasks that were examined.
        players: scripted player → how often it played, and how often it passed (None if no script is perfect).
        seconds: stage → seconds that it took, each time.
        tokens: numbers of ids and turns that were compared; empty without a tokenizer.
    """

    environment: str = ""
    findings: list[Finding] = field(default_factory=list)
    further: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    players: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)

    def add(self, findings: Iterable[Finding]) -> None:
        """Add findings, but not the same kind and message twice."""
        for finding in findings:
            alike = [known for known in self.findings if known.kind == finding.kind]
            if any(known.message == finding.message for known in alike):
                continue
            if len(alike) < MOST:
                self.findings.append(finding)
            else:
                self.further[finding.kind] = self.further.get(finding.kind, 0) + 1

    def time(self, stage: str, seconds: float) -> None:
        """Record how long a stage took."""
        self.seconds.setdefault(stage, []).append(seconds)

    @property
    def clean(self) -> bool:
        """Whether there are no errors."""
        return not any(finding.severity == "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object, with percentiles instead of the single times."""
        return {
            "environment": self.environment,
            "clean": self.clean,
            "findings": [asdict(finding) for finding in self.findings],
            "further": self.further,
            "skipped": self.skipped,
            "tasks": self.tasks,
            "players": {name: {"plays": plays, "passed": passed} for name, (plays, passed) in self.players.items()},
            "tokens": self.tokens,
            "milliseconds": {stage: percentiles(times) for stage, times in self.seconds.items() if times},
        }


def shown_script(script: Sequence[str]) -> str:
    """The beginning of a script, as reports show it."""
    text = " ⏎ ".join(script)
    return text if len(text) <= 200 else f"{text[:200]}…"


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 90th and 99th percentile (by nearest rank) and maximum, in milliseconds."""
    ordered = sorted(seconds)
    ranks = {f"p{rank}": ordered[max(0, math.ceil(rank / 100 * len(ordered)) - 1)] for rank in (50, 90, 99)}
    return {name: round(1000 * value, 3) for name, value in (ranks | {"max": ordered[-1]}).items()}
