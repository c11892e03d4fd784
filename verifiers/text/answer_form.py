"""Verifier that requires the answer in one exact output form."""

from dataclasses import dataclass
from typing import ClassVar

from ..case import Case
from ..errors import ConfigError, nearest
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .forms import FORMS, MARKS
from .normalization import references
from .think import split_reasoning

MAX_TEXT = 100_000
"""Longest answer, in characters; a longer one gets status ``limit``."""


@verifier("answer_form")
@dataclass(frozen=True)
class AnswerForm:
    r"""The answer is ``task.answer`` in exactly the requested form, with nothing before or after it.

    White space around the answer and at line ends is ignored, and so is the case of the value.

    Attributes:
        form: name of the form; if empty, ``task.info["form"]`` is used.
        value: whether the value must be right. If false, any value without brackets or quotes passes in the right form.
        reasoning: whether ``<think>`` reasoning may precede the answer.

    Example:
        {"verifier": "answer_form", "completion": "<think>2 + 2</think>\n\\boxed{4}", "answer": "4",
         "params": {"form": "boxed"}} -> 1.0
        {"verifier": "answer_form", "completion": "It is \\boxed{4}.", "answer": "4", "params": {"form": "boxed"}}
        -> 0.0
    """

    form: str = ""
    value: bool = True
    reasoning: bool = True
    instances: ClassVar[tuple[str, ...]] = tuple(FORMS)
    row_params: ClassVar[frozenset[str]] = frozenset({"form", "value", "reasoning"})

    def __post_init__(self) -> None:
        if self.form and self.form not in FORMS:
            raise ConfigError(f"verifier 'answer_form' has no form {self.form!r:.80}; {nearest(str(self.form), FORMS)}")
        for name in ("value", "reasoning"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"verifier 'answer_form': {name} is true or false, found {getattr(self, name)!r:.80}")

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, ``wrong`` for another value, ``unparseable`` for another form, or ``limit``."""
        name = self.form or case.task.info.get("form")
        if not isinstance(name, str) or name not in FORMS:
            return infra_error(f"there is no form {name!r:.80}; set 'form', or repair the dataset")
        expected = references(case.answer)
        if self.value and not expected:
            return infra_error("the task has no answer to compare with; repair the dataset")
        text = split_reasoning(case.visible)[1] if self.reasoning else case.visible
        if len(text) > MAX_TEXT:
            return Verdict(0.0, "limit", f"the answer has more than {MAX_TEXT} characters")
        found = FORMS[name].read(text)
        if found is None or (not self.value and MARKS & set(found)):
            return unparseable(f"the answer is not {FORMS[name].words} alone: {text[:80]!r}")
        if self.value and found.casefold() not in [each.casefold() for each in expected]:
            return wrong(f"expected {' or '.join(expected)!r:.80}, found {found!r:.80}", found=found[:200])
        return passed(found=found[:200])
