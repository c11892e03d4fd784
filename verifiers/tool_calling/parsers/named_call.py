"""Parser of calls whose name stands before their arguments, which are a JSON object."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ...json_data.text import NotJson, skip_space
from ..call import Reading, ToolCall, as_call, repaired_call
from .repair import read_json_or_repaired
from .tagged import read_tagged, tag_pattern


def read_named_call(
    name: str, text: str, start: int, end_pattern: re.Pattern[str], next_pattern: re.Pattern[str]
) -> tuple[ToolCall, int]:
    """Return the call of ``name`` with the arguments at ``start``, and the position after its end.

    Strings of the arguments may spell any tag. No arguments at all are an empty object. After a call that cannot be
    parsed, the position is that of the next match of ``next_pattern``.

    Args:
        name: the name that stands before the arguments.
        text: the reply.
        start: position of the arguments.
        end_pattern: matches after the arguments, white space aside; without it, a call at the end of the text, or
            before ``next_pattern``, is repaired.
        next_pattern: matches where parsing may go on.
    """
    empty = end_pattern.match(text, skip_space(text, start))
    if empty and empty[0]:
        return ToolCall(name), empty.end()
    try:
        value, end, fault, repairs = read_json_or_repaired(text, start)
    except NotJson as error:
        return ToolCall(name, error=str(error)), _next(text, start, next_pattern)
    after = skip_space(text, end)
    closed = end_pattern.match(text, after)
    if not closed and after < len(text) and not next_pattern.match(text, after):
        return ToolCall(name, error="text follows the arguments"), _next(text, end, next_pattern)
    call = as_call({"name": name, "arguments": value})
    if not closed:
        repairs, fault = [*repairs, "no closing tag"], fault or "no closing tag after the call"
    return repaired_call(call, repairs, fault), closed.end() if closed else after


def _next(text: str, start: int, pattern: re.Pattern[str]) -> int:
    found = pattern.search(text, start)
    return found.start() if found else len(text)


@dataclass(frozen=True)
class Section:
    """The tokens of formats that write calls in a section of their own.

    Attributes:
        begin: opens the section.
        end: closes it.
        call: opens a call.
        call_end: closes a call.
        separator: stands between name and arguments.
        name: pattern of the text between ``call`` and ``separator``; its group ``name`` is the name.
        fence: patterns of what stands around the arguments; the first may have the group ``name`` instead.
    """

    begin: str
    end: str
    call: str
    call_end: str
    separator: str
    name: str
    fence: tuple[str, str] = ("", "")

    @cached_property
    def head(self) -> re.Pattern[str]:
        """Matches a call up to its arguments."""
        return re.compile(f"{re.escape(self.call)}{self.name}{re.escape(self.separator)}{self.fence[0]}")

    @cached_property
    def foot(self) -> re.Pattern[str]:
        """Matches after the arguments."""
        return re.compile(f"{self.fence[1]}{re.escape(self.call_end)}")

    @cached_property
    def next(self) -> re.Pattern[str]:
        """Matches where parsing may go on after a broken call."""
        return re.compile(f"{re.escape(self.call)}|{re.escape(self.end)}|{re.escape(self.begin)}|</think>")

    def read(self, text: str) -> Reading:
        """Parse a reply; never raises."""
        return read_tagged(text, tag_pattern((self.begin, self.call)), self._read_section)

    def write(self, calls: Iterable[tuple[str, str]], between: str = "") -> str:
        """Return a section with calls, each given as the text before ``separator`` and the text of its arguments.

        Without calls, this is an empty text.
        """
        written = [f"{self.call}{head}{self.separator}{arguments}{self.call_end}" for head, arguments in calls]
        return f"{self.begin}{between.join(written)}{self.end}" if written else ""

    def _read_section(self, text: str, start: int) -> tuple[list[ToolCall], int]:
        opened = text.startswith(self.begin, start)
        position = skip_space(text, start + len(self.begin)) if opened else start
        calls: list[ToolCall] = []
        while head := self.head.match(text, position):
            call, position = read_named_call(head["name"], text, head.end(), self.foot, self.next)
            calls.append(call if opened else repaired_call(call, ["no section around it"]))
            position = skip_space(text, position)
        if opened and calls:
            if text.startswith(self.end, position):
                return calls, position + len(self.end)
            calls[-1] = repaired_call(calls[-1], ["no end of the section"])
        if calls:
            return calls, position
        broken = [ToolCall("", error="no call in the section")]
        position += len(self.call) * text.startswith(self.call, position)
        after = self.next.search(text, position)
        if after is None:
            return broken, len(text)
        return broken, after.end() if after[0] == self.end else after.start()
