"""Counts of each scripted player's plays and passes, and the findings that follow from them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ...verifiers.task import Task
from .bad_reply import Script
from .finding import Finding, Report, Severity, shown_script

STRICT = frozenset({"empty", "hostile", "in_think"})
"""Kinds of replies of which none may pass. Of the others a quarter may: text alone cannot prove that they are wrong."""
_MEANING = {
    "empty": "an empty reply earns as much as the perfect one",
    "echo": "a reply that repeats the prompt earns as much as the perfect one",
    "truncated": "half of the perfect reply earns as much as all of it",
    "shuffled": "the perfect reply to another task earns as much as this task's own",
    "mutated": "a reply with another answer earns as much as the perfect one",
    "hedged": "a reply with two answers earns as much as the perfect one; it must commit itself to one",
    "hostile": "text that is no answer (huge, malformed, full of control tokens) earns as much as the perfect reply",
    "in_think": "an answer that is only inside <think> earns as much as the perfect reply; score the text after it",
}


@dataclass
class Tally:
    """The plays of one audit.

    Attributes:
        played: player → how often it played.
        passing: player → the tasks on which it earned as much as the perfect player, with what it said.
    """

    played: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    passing: dict[str, list[tuple[Task, Script]]] = field(default_factory=lambda: defaultdict(list))

    def conclude(self, report: Report, flat: Sequence[Task | None]) -> None:
        """Add the players' results, and the findings that follow from them, to the report.

        Args:
            report: the report of this audit.
            flat: for each task that the perfect player passed, the task if all players earned the same, or None.
        """
        report.players = {kind: (plays, len(self.passing.get(kind, ()))) for kind, plays in self.played.items()}
        if "gold" in report.players:
            report.players["gold"] = (self.played["gold"], len(flat))
        report.add([*_zero_variance(flat), *self._bad_replies(), *self._guessed()])
        if self.played["random"] and not self.played["mutated"]:
            report.skipped["mutated, hedged"] = "no answer is a short text or number that its perfect reply contains"

    def _bad_replies(self) -> Iterator[Finding]:
        for kind, meaning in _MEANING.items():
            found, tries = self.passing.get(kind, []), self.played[kind]
            if found:
                named = tuple(dict.fromkeys(task.id for task, _ in found))[:3]
                severity: Severity = "error" if kind in STRICT or len(found) > tries / 4 else "warning"
                message = f"{meaning} ({len(found)} of {tries} tried)"
                yield Finding(kind, message, severity, named, shown_script(found[0][1]))

    def _guessed(self) -> Iterator[Finding]:
        guessed, tries = self.passing.get("random", []), self.played["random"]
        if tries >= 4 and len(guessed) > tries / 2:
            message = f"random characters pass in {len(guessed)} of {tries} tasks"
            yield Finding("guessable", message, "warning", reply=shown_script(guessed[0][1]))


def _zero_variance(flat: Sequence[Task | None]) -> Iterator[Finding]:
    named = [task.id for task in flat if task]
    if named:
        message = (
            f"perfect and bad replies earn the same on {len(named)} of {len(flat)} tasks: nothing is learned there"
        )
        yield Finding("zero_variance", message, "error" if len(named) == len(flat) else "warning", tuple(named[:3]))
