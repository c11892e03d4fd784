"""The verifier of answers that end with a JSON object which holds what is expected."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..case import Case
from ..json_data.text import MAX_TEXT, NotJson, json_key, read_json_at
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .think import split_reasoning

_MOST_TRIES = 1000
_MOST_READ = 4 * MAX_TEXT
"""Characters that are read of what turns out to be no object."""


@verifier("json_answer")
@dataclass(frozen=True)
class JsonAnswer:
    """The last JSON object in the answer, or one field of it, equals ``task.answer``; other text may stand beside it.

    Equal as JSON: the order of keys and the way a number is written do not matter, while 1, true and "1" differ.

    Attributes:
        field: what is compared; empty for the whole object.

    Example:
        {"verifier": "json_answer", "completion": "It prints {\\"output\\": [1, 2]}", "answer": [1, 2],
         "params": {"field": "output"}} -> 1.0
    """

    field: str = ""
    row_params: ClassVar[frozenset[str]] = frozenset({"field"})

    async def verify(self, case: Case) -> Verdict:
        """``ok`` 1.0, ``wrong``, or ``unparseable`` without an object or without the field."""
        if case.answer is None and not self.field:
            return infra_error("the task has no answer to compare with; repair the dataset")
        found = last_object(split_reasoning(case.completion)[1])
        if found is None:
            return unparseable("the answer holds no JSON object")
        if self.field and self.field not in found:
            return unparseable(f"the answer's last JSON object has no {self.field!r}")
        value = found[self.field] if self.field else found
        if json_key(value) == json_key(case.answer):
            return passed()
        return wrong(f"expected {case.answer!r:.80}, found {value!r:.80}")


def last_object(text: str) -> dict[str, Any] | None:
    """The last JSON object in ``text`` that is no part of another, None where there is none.

    Braces that open none are passed over, but no more than ``_MOST_TRIES``, nor so many that to see it takes long: with
    more the text holds no answer.
    """
    text, position, found = text[-MAX_TEXT:], 0, None
    tries = read = 0
    while (start := text.find("{", position)) >= 0:
        try:
            found, position = read_json_at(text, start)
        except NotJson as error:
            position = start + 1
            tries, read = tries + 1, read + error.read
            if tries > _MOST_TRIES or read > _MOST_READ:
                return None
    return found
