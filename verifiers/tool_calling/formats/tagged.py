"""Replies in which calls stand between tags, among reasoning, echoed tool results and other text."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from ..call import Reading, ToolCall

ReadOne = Callable[[str, int], tuple[ToolCall, int]]
"""The call whose opening tag begins at a position, and the position after it."""


def tag_pattern(openings: tuple[str, ...]) -> re.Pattern[str]:
    """What a reply is cut at: tags that open a call, and those of reasoning and of tool results in any spelling."""
    calls = "|".join(map(re.escape, openings))
    return re.compile(
        rf"(?P<call>{calls})|(?i:<\s*+(?P<close>/\s*+)?(?P<name>think|scratch_pad|tool_response)(?:\s[^<>]*+)?(?<!/)>)"
    )


MAX_CALLS = 1000
"""Calls that are read at most; what follows the last is text, and one more call with an error."""

_NOTHING = re.compile(r"(?:\s|<\|\w{1,40}+\|>)*+")  # a token that ends the turn says nothing
_RESPONSE_END = re.compile(r"<\s*+/\s*+tool_response\s*+>", re.IGNORECASE)


@dataclass
class _Scan:
    """A reply while it is read. Reasoning that is open holds the number of calls and of texts before it."""

    calls: list[ToolCall] = field(default_factory=list)
    considered: list[ToolCall] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    open: dict[str, tuple[int, int]] = field(default_factory=dict)

    def close(self, name: str) -> None:
        """End of reasoning: the calls in it were not made. One without an opening tag was opened by the prompt."""
        calls, texts = self.open.pop(name, (0, 0))
        self.considered += self.calls[calls:]
        self.reasoning += self.texts[texts:]
        del self.calls[calls:], self.texts[texts:]
        self.open = {other: at for other, at in self.open.items() if at[0] <= calls and at[1] <= texts}

    def end(self, ends_with_call: bool) -> None:
        """End of the reply: calls in reasoning that goes on were made only if the reply stopped for their results."""
        if not self.open:
            return
        calls, texts = min(self.open.values())
        self.reasoning += self.texts[texts:]
        del self.texts[texts:]
        if not ends_with_call:
            self.considered += self.calls[calls:]
            del self.calls[calls:]


def read_tagged(text: str, pattern: re.Pattern[str], read_one: ReadOne) -> Reading:
    """Read a reply from its beginning to its end, once.

    A call is taken whole, so that no tag inside its strings counts. Calls in closed ``<think>`` or ``<scratch_pad>``
    are ``considered``; in reasoning that is still open they are calls if nothing follows them (the policy waits for
    their results, as Hermes 4 does). What the policy writes into ``<tool_response>`` is text.
    """
    scan, position, after_call = _Scan(), 0, -1
    beyond: tuple[ToolCall, ...] = ()
    while match := pattern.search(text, position):
        scan.texts.append(text[position : match.start()])
        if match["call"] and len(scan.calls) + len(scan.considered) == MAX_CALLS:
            position = match.start()
            beyond = (ToolCall("", error=f"more than {MAX_CALLS} calls"),)
            break
        if match["call"]:
            call, position = read_one(text, match.start())
            scan.calls.append(call)
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
    calls = (*scan.calls, *beyond)
    return Reading(calls, "".join(scan.texts).strip(), _joined(scan.reasoning), tuple(scan.considered))


def _joined(parts: list[str]) -> str:
    return "\n".join(filter(None, (part.strip() for part in parts)))
