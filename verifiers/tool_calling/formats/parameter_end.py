"""The ends of parameters in Qwen3-Coder's calls, whose values are bare text that may spell any tag."""

import re
from bisect import bisect_left
from functools import cached_property

_OPEN = r"<parameter=[^<>\s]{1,200}+>"
_TAGS = re.compile(rf"(?P<open>{_OPEN})|</parameter>(?P<ends>\s*+(?={_OPEN}|</function>))?")
_CALL = re.compile(r"</(?:tool_call|think)>|(<function=[^<>\s]{1,200}+>)")
MAX_NESTED = 256
"""Most parameter tags inside a value that are matched with each other."""


class ParameterEnds:
    """Finds the end of each value in one reply, in time proportional to its length.

    A value ends at the first ``</parameter>`` before another parameter or ``</function>``. If another call begins in
    between, the value may hold that call: it ends where its parameter tags are balanced. If they never are, and a tag
    that could end this call stands before the other one, the value was cut off and has no end.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _tags(self) -> list[re.Match[str]]:
        return list(_TAGS.finditer(self._text))

    @cached_property
    def _starts(self) -> list[int]:
        return [tag.start() for tag in self._tags]

    @cached_property
    def _ends(self) -> list[int]:
        """The places of the tags that can end a value."""
        return [place for place, tag in enumerate(self._tags) if tag["ends"] is not None]

    @cached_property
    def _calls(self) -> list[re.Match[str]]:
        return list(_CALL.finditer(self._text))

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
