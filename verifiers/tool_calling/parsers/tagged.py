"""Parser for replies with calls between tags, among reasoning, echoed tool results and other text."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from ..call import Reading, ToolCall

ReadTag = Callable[[str, int], tuple[list[ToolCall], int]]
"""(text, position of an opening tag) → the calls between it and its closing tag, and the position after them."""


def tag_pattern(openings: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern for the tags that open a call, and for reasoning and tool-result tags in any spelling."""
    calls = "|".join(map(re.escape, openings))
    return re.compile(
        rf"(?P<call>{calls})|(?i:<\s*+(?P<close>/\s*+)?(?P<name>think|scratch_pad|tool_response)(?:\s[^<>]*+)?(?<!/)>)"
    )


MAX_CALLS = 1000
"""Largest number of calls read; the rest of the reply is text, and one more call with an error is added."""

_NOTHING = re.compile(r"(?:\s|<[|｜][\w▁]{1,40}+[|｜]>|</s>|\[e~\[)*+")  # end-of-turn tokens are not text
_RESPONSE_END = re.compile(r"<\s*+/\s*+tool_response\s*+>", re.IGNORECASE)


@dataclass
class _Scan:
    """State of the parser. ``open`` maps each open reasoning tag to the numbers of calls and texts before it."""

    calls: list[ToolCall] = field(default_factory=list)
    considered: list[ToolCall] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    open: dict[str, tuple[int, int]] = field(default_factory=dict)

    def close(self, name: str) -> None:
        """End reasoning, whose calls were not made; without an opening tag, the prompt opened it."""
        calls, texts = self.open.pop(name, (0, 0))
        self.considered += self.calls[calls:]
        self.reasoning += self.texts[texts:]
        del self.calls[calls:], self.texts[texts:]
        self.open = {other: at for other, at in self.open.items() if at[0] <= calls and at[1] <= texts}

    def end(self, ends_with_call: bool) -> None:
        """End the reply: calls in open reasoning count only if the reply ends with one, to wait for its result."""
        if not self.open:
            return
        calls, texts = min(self.open.values())
        self.reasoning += self.texts[texts:]
        del self.texts[texts:]
        if not ends_with_call:
            self.considered += self.calls[calls:]
            del self.calls[calls:]


def read_tagged(text: str, pattern: re.Pattern[str], read_tag: ReadTag) -> Reading:
    """Parse a reply in one pass.

    A call is consumed as a whole, so tags inside its strings do not count. Calls in closed ``<think>`` or
    ``<scratch_pad>`` are ``considered``. In reasoning that is still open they count as calls if nothing follows them:
    the policy waits for their results, as Hermes 4 does. A ``<tool_response>`` that the policy writes itself is text.
    """
    scan, position, after_call = _Scan(), 0, -1
    beyond: tuple[ToolCall, ...] = ()
    while match := pattern.search(text, position):
        scan.texts.append(text[position : match.start()])
        if match["call"] and len(scan.calls) + len(scan.considered) >= MAX_CALLS:
            position = match.start()
            beyond = (ToolCall("", error=f"more than {MAX_CALLS} calls"),)
            break
        if match["call"]:
            calls, position = read_tag(text, match.start())
            scan.calls += calls[:MAX_CALLS]
            after_call = position
            continue
        name = match["name"].lower()
        position = match.end()
        if name == "tool_response":
            if not match["close"]:
                end = _RESPONSE_END.search(text, position)
                position = end.end() if end else len(text)
            scan.texts.append(text[match.start() : position])
        elif match["close"]:
            scan.close(name)
        else:
            scan.open.setdefault(name, (len(scan.calls), len(scan.texts)))
    scan.texts.append(text[position:])
    scan.end(ends_with_call=after_call >= 0 and _NOTHING.fullmatch(text, after_call) is not None)
    return Reading((*scan.calls, *beyond), "".join(scan.texts).strip(), _join(scan.reasoning), tuple(scan.considered))


def _join(parts: list[str]) -> str:
    return "\n".join(filter(None, (part.strip() for part in parts)))
