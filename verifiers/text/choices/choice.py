"""Verifier for multiple-choice answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ...case import Case
from ...errors import ConfigError, DataError
from ...registry import verifier
from ...verdict import Verdict, infra_error, passed, unparseable, wrong
from ..normalization import normalized
from ..think import split_reasoning
from .commitment import Commitment, find_commitment
from .subject import option_as_subject

LABELS = "ABCDEFGHIJ"


@verifier("choice")
@dataclass(frozen=True)
class Choice:
    r"""The last choice that the answer makes is the option in ``task.answer``, and no other.

    These count as choices: ``C``, ``(c)``, ``\boxed{C}``, ``Answer: C``, ``The answer is (C) because …``, ``I pick
    option C`` and, if the options are known, the text of an option, also as the subject of a sentence. Hedges
    are wrong: "A or B", "both A and B", or a label next to the text of another option. Options that are negated,
    hypothetical or merely listed do not count, and neither does a repeated prompt.

    ``task.answer`` is a label, the text of an option, or its index from 0.

    Attributes:
        options: option texts in order, or label → text; by default ``task.info["options"]`` or ``["choices"]``, if any.
        labels: one character per option, in order: ``ABCDEFGHIJ``, or ``1234``.

    Example:
        {"verifier": "choice", "completion": "It is not A. The answer is (c).", "answer": "C"} -> 1.0
        {"verifier": "choice", "completion": "It is Rome.", "answer": "B", "params": {"options": ["Paris", "Rome"]}}
        -> 1.0
        {"verifier": "choice", "completion": "The answer is A or B.", "answer": "A"} -> 0.0
    """

    options: Sequence[str] | Mapping[str, str] | None = None
    labels: str = LABELS
    instances: ClassVar[tuple[str, ...]] = ("letters", "digits", "texts")
    row_params: ClassVar[frozenset[str]] = frozenset({"options", "labels"})

    def __post_init__(self) -> None:
        upper = self.labels.upper() if isinstance(self.labels, str) else ""
        if len(upper) < 2 or len(set(upper)) < len(upper) or not upper.isalnum():
            raise ConfigError(f"verifier 'choice': labels must be distinct letters or digits, found {self.labels!r}")
        if self.options is not None and _options_by_label(self.options, upper) is None:
            raise ConfigError(
                f"verifier 'choice': options must be 2 to {len(upper)} texts, or label → text, "
                f"found {self.options!r:.80}; name more labels if there are more"
            )

    def check_expected(self, answer: Any, info: dict[str, Any]) -> None:
        """Raise ``DataError`` if the options are malformed, or the expected answer is none of them."""
        self._expected(answer, info)

    def _expected(self, answer: Any, info: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """The label of the right option, and the options by label."""
        given = self.options
        if given is None:
            given = info.get("options", info.get("choices"))
        options = {} if given is None else _options_by_label(given, self.labels.upper())
        if options is None:
            raise DataError(f"the task's options are not texts, or too many: {given!r:.80}; repair the dataset")
        labels = "".join(options) or self.labels.upper()
        expected = _expected_label(answer, labels, options)
        if not expected:
            raise DataError(f"the task's answer {answer!r:.80} is not one of the labels {labels}; repair the dataset")
        return expected, options

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, ``wrong``, or ``unparseable`` if no option is chosen."""
        try:
            expected, options = self._expected(case.answer, case.task.info)
        except DataError as error:
            return infra_error(str(error))
        _, text = split_reasoning(case.visible)
        for message in case.task.messages:
            if len(message["content"]) >= 20:
                text = text.replace(message["content"].strip(), "\n")
        commitment = find_commitment(text, self.labels.upper(), options)
        if commitment is None and (subject := option_as_subject(text, options)):
            commitment = Commitment((subject,), text.strip()[:200])
        if commitment is None:
            return unparseable("no option is chosen")
        found = commitment.labels
        if len(found) > 1:
            return wrong(f"a hedge between {', '.join(found)}", found=list(found), words=commitment.words)
        if found[0] == expected:
            return passed(found=found[0], words=commitment.words)
        return wrong(f"expected {expected}, found {found[0]}", found=found[0], words=commitment.words)


def _options_by_label(options: Any, labels: str) -> dict[str, str] | None:
    """Return upper-case label → text, or None if ``options`` is malformed."""
    if isinstance(options, Mapping):
        named = {str(label).strip().upper(): str(option) for label, option in options.items()}
        known = len(named) == len(options) and all(len(label) == 1 and label in labels for label in named)
        return named if known and len(named) > 1 else None
    if not isinstance(options, list | tuple) or not 2 <= len(options) <= len(labels):
        return None
    if any(isinstance(option, dict | list) or option is None for option in options):
        return None
    return {label: str(option) for label, option in zip(labels, options, strict=False)}


def _expected_label(answer: Any, labels: str, options: Mapping[str, str]) -> str:
    """Return the label that a task's answer stands for, or an empty string if there is none."""
    if isinstance(answer, int) and not isinstance(answer, bool):
        return labels[answer] if 0 <= answer < len(labels) else ""
    if not isinstance(answer, str):
        return ""
    text = answer.strip()
    same = [label for label, option in options.items() if option.strip() == text]
    same = same or [label for label, option in options.items() if text and normalized(option) == normalized(text)]
    bare = text.strip("()[]. :").upper()
    if len(bare) == 1 and bare in labels and (not same or len(same) > 1 or not text.isdigit()):
        return bare
    return same[0] if len(same) == 1 else ""
