"""Verifier that matches the answer against a regular expression, with a time limit."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import regex

from ..case import Case
from ..errors import ConfigError, DataError
from ..json_data.pattern_size import check_size
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .normalization import references
from .think import split_reasoning

MAX_PATTERN = 10_000
"""Longest pattern, in characters."""
MAX_TEXT = 1_000_000
"""Longest answer, in characters; a longer one gets status ``limit``."""


@verifier("regex")
@dataclass(frozen=True)
class Regex:
    r"""The answer matches the pattern; if a named group is given, that group equals ``task.answer``.

    Attributes:
        pattern: regular expression in the syntax of the ``regex`` package; if empty, ``task.answer`` is the pattern.
        search: whether the pattern may match anywhere in the answer; otherwise it must match all of it.
        group: name of the group whose text is compared with ``task.answer``, or with any of its items if it is a list;
            the last match counts.
        ignore_case: match and compare without regard to case.
        seconds: CPU seconds that matching may take; more is a ``timeout``.

    Example:
        {"verifier": "regex", "completion": "2024-05-01", "answer": "\\d{4}-\\d\\d-\\d\\d"} -> 1.0
        {"verifier": "regex", "completion": "So x = 3, thus x = 4.", "answer": 4,
         "params": {"pattern": "x = (?P<x>\\d+)", "search": true, "group": "x"}} -> 1.0
    """

    pattern: str = ""
    search: bool = False
    group: str = ""
    ignore_case: bool = False
    seconds: float = 0.5
    instances: ClassVar[tuple[str, ...]] = ("match", "search", "group")
    row_params: ClassVar[frozenset[str]] = frozenset({"search", "ignore_case"})

    def __post_init__(self) -> None:
        if isinstance(self.seconds, bool) or not 0 < self.seconds <= 10:
            raise ConfigError(f"verifier 'regex': seconds must be above 0 and at most 10, found {self.seconds!r}")
        if self.pattern:
            try:
                compiled = compile_pattern(self.pattern, self.ignore_case)
            except ValueError as error:
                raise ConfigError(f"verifier 'regex': {error}") from None
            if self.group and self.group not in compiled.groupindex:
                raise ConfigError(
                    f"verifier 'regex': the pattern has no group {self.group!r}; name one with (?P<{self.group}>…)"
                )
        elif self.group:
            raise ConfigError("verifier 'regex': group needs a pattern; without one, task.answer is the pattern")

    def check_expected(self, answer: Any, info: dict[str, Any]) -> None:
        """Raise ``DataError`` if the task has no answer to compare with, or no pattern that compiles."""
        self._compiled(answer)

    def _compiled(self, answer: Any) -> Any:
        if not references(answer) and (self.group or not self.pattern):
            raise DataError("the task has neither an answer to compare with nor a pattern; repair the dataset")
        if not self.pattern and not isinstance(answer, str | int | float):
            raise DataError(f"the task's answer is not a pattern: {answer!r:.80}; repair the dataset")
        try:
            return compile_pattern(self.pattern or str(answer), self.ignore_case)
        except ValueError as error:
            raise DataError(f"the task's pattern does not compile: {error}; repair the dataset") from None

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, ``wrong``, ``unparseable`` for an empty answer, or ``timeout``."""
        expected = references(case.answer)
        try:
            compiled = self._compiled(case.answer)
        except DataError as error:
            return infra_error(str(error))
        _, text = split_reasoning(case.visible)
        if not text:
            return unparseable("the answer is empty")
        if len(text) > MAX_TEXT:
            return Verdict(0.0, "limit", f"the answer has more than {MAX_TEXT} characters")
        try:
            match = self._match(compiled, text)
        except TimeoutError:
            return Verdict(0.0, "timeout", f"matching took more than {self.seconds:g} s")
        if match is None:
            return wrong(f"{compiled.pattern!r:.80} does not match", found=text[:200])
        found = (match[self.group] if self.group else match[0]) or ""
        if self.group and self._canonical(found) not in map(self._canonical, expected):
            return wrong(f"expected {' or '.join(expected)!r:.80}, found {found!r:.80}", found=found[:200])
        return passed(found=found[:200])

    def _match(self, compiled: Any, text: str) -> Any:
        if not self.search:
            return compiled.fullmatch(text, timeout=self.seconds)
        if not self.group:
            return compiled.search(text, timeout=self.seconds)
        last = None
        for match in compiled.finditer(text, timeout=self.seconds):
            last = match
        return last

    def _canonical(self, text: str) -> str:
        return text.strip().lower() if self.ignore_case else text.strip()


@lru_cache(maxsize=256)
def compile_pattern(pattern: str, ignore_case: bool) -> Any:
    """Return the compiled pattern.

    Raises:
        ValueError: the pattern is invalid, too long, or too large when its repeats are written out.
    """
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"a pattern may have at most {MAX_PATTERN} characters, found {len(pattern)}")
    check_size(pattern)
    try:
        return regex.compile(pattern, (regex.IGNORECASE if ignore_case else 0) | regex.VERSION0)
    except (regex.error, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(f"{pattern!r:.80} is not a regular expression ({error})") from None
