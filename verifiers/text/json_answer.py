"""Verifier that compares the last JSON object in an answer with the expected value."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..case import Case
from ..json_data.text import MAX_TEXT, NotJson, json_key, read_json_at
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .think import split_reasoning

_MAX_TRIES = 1000
_MAX_READ = 4 * MAX_TEXT
"""Characters read in failed attempts to parse an object."""


@verifier("json_answer")
@dataclass(frozen=True)
class JsonAnswer:
    """The last JSON object in the answer, or one field of it, equals ``task.answer``; other text is ignored.

    Values are compared as JSON: key order and the notation of numbers do not matter, but 1, true and "1" differ.

    Attributes:
        field: name of the field to compare; empty for the whole object.

    Example:
        {"verifier": "json_answer", "completion": "It prints {\\"output\\": [1, 2]}", "answer": [1, 2],
         "params": {"field": "output"}} -> 1.0
    """

    field: str = ""
    row_params: ClassVar[frozenset[str]] = frozenset({"field"})

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, ``wrong``, or ``unparseable`` if the object or the field is missing."""
        if case.answer is None and not self.field:
            return infra_error("the task has no answer to compare with; repair the dataset")
        found = last_json_object(split_reasoning(case.completion)[1])
        if found is None:
            return unparseable("the answer contains no JSON object")
        if self.field and self.field not in found:
            return unparseable(f"the answer's last JSON object has no {self.field!r}")
        value = found[self.field] if self.field else found
        if json_key(value) == json_key(case.answer):
            return passed()
        return wrong(f"expected {case.answer!r:.80}, found {value!r:.80}")


def last_json_object(text: str) -> dict[str, Any] | None:
    """Return the last outermost JSON object in ``text``, or None.

    Braces that do not open an object are skipped. After more than ``_MAX_TRIES`` of them, or ``_MAX_READ`` characters
    read in vain, the search gives up and returns None.
    """
    text, position, found = text[-MAX_TEXT:], 0, None
    tries = read = 0
    while (start := text.find("{", position)) >= 0:
        try:
            found, position = read_json_at(text, start)
        except NotJson as error:
            position = start + 1
            tries, read = tries + 1, read + error.read
            if tries > _MAX_TRIES or read > _MAX_READ:
                return None
    return found
