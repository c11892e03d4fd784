"""What an audit of an environment found, and the report that holds it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning"]

KINDS = {
    "import": "it does not import, or cannot be built",
    "tasks": "drawing tasks raised, or gave none",
    "hang": "a step took longer than its deadline",
    "died": "the process that ran it ended",
    "unseeded": "the same seed gives other tasks in another process",
    "overlap": "train and test share tasks",
    "duplicate": "tasks or their ids come again",
    "conflict": "one prompt, several answers",
    "leak": "the prompt holds the answer",
    "raises": "code of the environment raised",
    "infra_error": "a verifier could not judge",
    "not_finite": "a reward is not a finite number",
    "no_reward": "nothing earns anything",
    "hostile": "text that is no answer passes",
    "gold": "the perfect reply does not pass",
    "unrepeatable": "the same replies under the same seed go otherwise",
    "offline": "a stored episode is judged otherwise",
    "empty": "an empty reply passes",
    "echo": "the prompt, said back, passes",
    "truncated": "a reply that stops half-way passes",
    "shuffled": "another task's reply passes",
    "mutated": "a reply with a changed answer passes",
    "hedged": "a reply that names two answers passes",
    "in_think": "an answer that stands in <think> alone passes",
    "guessable": "a random reply passes more often than not",
    "zero_variance": "perfect and bad replies earn the same",
    "tokens": "token ids are not what the template renders, or what was sampled is encoded again",
    "template": "the chat template writes turns otherwise than they were sampled, or cannot go on from them",
}
"""Every kind of finding, and what it means."""


MOST = 5
"""Findings of one kind that are kept; the others are counted."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: one of ``KINDS``.
        message: what was seen, and the cure.
        severity: an ``error`` fails the check, a ``warning`` does not.
        tasks: ids of tasks that show it, the first few.
        reply: the reply that shows it, cut; empty where there is none.
    """

    kind: str
    message: str
    severity: Severity = "error"
    tasks: tuple[str, ...] = ()
    reply: str = ""


@dataclass
class Report:
    """All that is known of an environment so far.

    Attributes:
        environment: its name.
        findings: what is wrong, in the order in which it was found.
        further: kind → how many findings were more than ``MOST``.
        skipped: audit → why it could not be made.
        tasks: split → how many were looked at.
        players: scripted player → how often it played, and how often it passed (None where no play is known perfect).
        seconds: stage → how long it took, each time.
        tokens: how many ids, and turns, were compared; empty without a tokenizer.
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
        """Keep findings; one that says what another said already is not kept twice."""
        for finding in findings:
            alike = [known for known in self.findings if known.kind == finding.kind]
            if any(known.message == finding.message for known in alike):
                continue
            if len(alike) < MOST:
                self.findings.append(finding)
            else:
                self.further[finding.kind] = self.further.get(finding.kind, 0) + 1

    def time(self, stage: str, seconds: float) -> None:
        """Note how long a stage took."""
        self.seconds.setdefault(stage, []).append(seconds)

    @property
    def clean(self) -> bool:
        """Whether there are no errors."""
        return not any(finding.severity == "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object, with percentiles in place of the times."""
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


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 90th and 99th percentile (by nearest rank) and maximum, in milliseconds."""
    ordered = sorted(seconds)
    ranks = {f"p{rank}": ordered[max(0, math.ceil(rank / 100 * len(ordered)) - 1)] for rank in (50, 90, 99)}
    return {name: round(1000 * value, 3) for name, value in (ranks | {"max": ordered[-1]}).items()}
