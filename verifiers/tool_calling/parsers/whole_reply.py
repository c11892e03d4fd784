"""Parser for replies that are nothing but calls, after reasoning whose tags may also stand in the arguments."""

from collections.abc import Callable

from ...text.think import closing_tags, split_reasoning
from ..call import Reading, ToolCall

MAX_ENDS = 8
"""Most closing tags of reasoning that are tried; after more, the last one ends it."""


def read_whole_reply(text: str, strip: Callable[[str], str], read: Callable[[str], list[ToolCall]]) -> Reading:
    """Parse a reply: reasoning, if any, and then calls to the end.

    The reasoning ends at the first closing tag after which complete calls are all of the rest, so tags in their
    arguments do not count. If there is no such place, it ends at the last closing tag.

    Args:
        text: the reply.
        strip: removes tokens around the calls.
        read: returns the calls of a text without reasoning; none if it is not meant as calls.
    """
    for start in (0, *closing_tags(text, MAX_ENDS)):
        calls = read(strip(text[start:]))
        if calls and all(call.repaired or not call.error for call in calls):
            return Reading(tuple(calls), "", split_reasoning(text[:start])[0])
    reasoning, body = split_reasoning(text)
    body = strip(body)
    calls = read(body)
    return Reading(tuple(calls), "" if calls else body, reasoning)
