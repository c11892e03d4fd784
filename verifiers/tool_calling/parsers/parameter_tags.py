"""The tags of formats that write each parameter of a call between tags of its own, and the end of each value."""

import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

MAX_NESTED = 256
"""Most parameter tags inside a value that are matched with each other."""


@dataclass(frozen=True)
class ParameterTags:
    """The tags of one format; patterns are regular expressions.

    Attributes:
        calls: opens a block of calls.
        calls_end: closes the block.
        function: pattern at the beginning of a call; its group ``function`` is the name.
        begins: pattern of the beginning of a call anywhere in a text; by default ``function``.
        function_end: pattern after the last parameter.
        parameter: pattern before a value; its group ``parameter`` is the name. If it has a group ``string``, which is
            ``true`` or ``false``, that group tells text from JSON, otherwise the schema does.
        parameter_end: closes a value.
        lines: whether the value stands on lines of its own.
        bare: beginning of a call outside a block, which is repaired; empty if there is none.
    """

    calls: str
    calls_end: str
    function: str
    function_end: str
    parameter: str
    parameter_end: str
    begins: str = ""
    lines: bool = False
    bare: str = ""

    @cached_property
    def openings(self) -> tuple[str, ...]:
        """The texts that begin a call or a block of calls."""
        return tuple(filter(None, (self.calls, self.bare)))

    @cached_property
    def call_pattern(self) -> str:
        """Pattern of the beginning of a call, without groups."""
        return _without_names(self.begins or self.function)

    @cached_property
    def ends(self) -> re.Pattern[str]:
        """Matches parameter tags; the group ``ends`` is there if a closing tag can end a value."""
        opening, end = _without_names(self.parameter), re.escape(self.parameter_end)
        return re.compile(rf"(?P<open>{opening})|{end}(?P<ends>\s*+(?={opening}|{self.function_end}))?")

    @cached_property
    def other_call(self) -> re.Pattern[str]:
        """Matches the end of a block or of reasoning, and in group 1 the beginning of a call."""
        return re.compile(rf"{re.escape(self.calls_end)}|</think>|({self.call_pattern})")

    @cached_property
    def next(self) -> re.Pattern[str]:
        """Matches where parsing may go on after a broken call; group 1 is the end of a block."""
        return re.compile(rf"{re.escape(self.calls)}|({re.escape(self.calls_end)})|{self.call_pattern}|</think>")

    @cached_property
    def head(self) -> re.Pattern[str]:
        """The compiled ``function``."""
        return re.compile(self.function)

    @cached_property
    def foot(self) -> re.Pattern[str]:
        """The compiled ``function_end``."""
        return re.compile(self.function_end)

    @cached_property
    def value_head(self) -> re.Pattern[str]:
        """The compiled ``parameter``, after white space."""
        return re.compile(rf"\s*+{self.parameter}")


def _without_names(pattern: str) -> str:
    return re.sub(r"\(\?P<\w+>", "(?:", pattern)


class ParameterEnds:
    """Finds the end of each value in one reply, in time proportional to its length.

    A value ends at the first closing tag before another parameter or the end of the function. If another call begins in
    between, the value may hold that call: it ends where its parameter tags are balanced. If they never are, and a tag
    that could end this call stands before the other one, the value was cut off and has no end.
    """

    def __init__(self, text: str, tags: ParameterTags) -> None:
        self._text = text
        self._grammar = tags

    @cached_property
    def _tags(self) -> list[re.Match[str]]:
        return list(self._grammar.ends.finditer(self._text))

    @cached_property
    def _starts(self) -> list[int]:
        return [tag.start() for tag in self._tags]

    @cached_property
    def _ends(self) -> list[int]:
        """The places of the tags that can end a value."""
        return [place for place, tag in enumerate(self._tags) if tag["ends"] is not None]

    @cached_property
    def _calls(self) -> list[re.Match[str]]:
        return list(self._grammar.other_call.finditer(self._text))

    def after(self, start: int) -> tuple[int, int] | None:
        """Return where the value that begins at ``start`` ends, and the position after its closing tag, or None."""
        first = bisect_left(self._starts, start)
        following = bisect_left(self._ends, first)
        if following == len(self._ends):
            return None
        place: int | None = self._ends[following]
        begins, cut_off = self._another_call(start, self._starts[self._ends[following]])
        if begins:
            balanced = self._balanced(first)
            place = place if balanced is None and not cut_off else balanced
        return None if place is None else self._tags[place].span()

    def _another_call(self, start: int, end: int) -> tuple[bool, bool]:
        """Return whether another call begins between the two positions, and whether this one could end before it."""
        ended = False
        for place in range(bisect_left(self._calls, start, key=re.Match.start), len(self._calls)):
            tag = self._calls[place]
            if tag.start() >= end:
                return False, False
            if tag[1]:
                return True, ended
            ended = True
        return False, False

    def _balanced(self, first: int) -> int | None:
        """Return the place of the closing tag that belongs to the parameter before ``first``."""
        depth = 1
        for place in range(first, min(len(self._tags), first + MAX_NESTED)):
            tag = self._tags[place]
            if tag["open"]:
                depth += 1
            elif depth > 1:
                depth -= 1
            elif tag["ends"] is not None:
                return place
        return None
