"""Tool-call format of Hermes: schemas in ``<tools>``, calls in ``<tool_call>``, results in ``<tool_response>``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ...json_data.text import to_text
from ..call import Reading, ToolCall
from ..declaration import Declaration, to_json_lines
from ..parsers.json_call import read_json_calls
from ..parsers.tagged import read_tagged, tag_pattern

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_TAGS = tag_pattern((OPEN,))


def read_hermes(text: str) -> Reading:
    """Parse a reply with its ``<think>`` reasoning; never raises."""
    return read_tagged(text, _TAGS, lambda whole, at: read_json_calls(whole, at + len(OPEN), OPEN, CLOSE))


def as_hermes(raw: str, reading: Reading) -> str:
    """Return a reply in Hermes' form, so that ``read_hermes`` finds in it what another format's parser found.

    The reply stays as it is if both find the same, or if only Hermes' calls can be read, as after a warm start on
    demonstrations in Hermes' form. Another call that cannot be read is written as its error, and stays one.

    Args:
        raw: the reply as sampled.
        reading: what the parser of the other format found in it.
    """
    hermes = read_hermes(raw)
    only_hermes = _can_all_be_read(hermes) and not _can_all_be_read(reading)
    if only_hermes or replace(hermes, considered=()) == replace(reading, considered=()):
        return raw
    thought = f"<think>\n{reading.reasoning}\n</think>\n\n" if reading.reasoning else ""
    calls = [
        f"{OPEN}\n{call.name}: {call.error}\n{CLOSE}" if call.error else FORMAT.write_calls([call])
        for call in reading.calls
    ]
    return thought + "\n".join(filter(None, [reading.text, *calls]))


def _can_all_be_read(reading: Reading) -> bool:
    return bool(reading.calls) and not any(call.error for call in reading.calls)


@dataclass(frozen=True)
class Hermes:
    """Format of Hermes 2 Pro to Hermes 4.

    Attributes:
        scratch_pad: ask for a plan in ``<scratch_pad>`` before the calls.
    """

    scratch_pad: bool = False

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Return the tools, one schema per line, and how to call them."""
        parts = [
            "You may call these tools:",
            f"<tools>\n{to_json_lines(tools)}\n</tools>",
            f'To call one, write {OPEN}{{"name": its name, "arguments": an object}}{CLOSE}; several calls in one turn '
            "are fine. Results come back in <tool_response>.",
        ]
        if self.scratch_pad:
            parts.append(
                "Before the calls, plan in <scratch_pad>: under Goal: what is asked, under Actions: the calls that it "
                "takes, under Observation: what earlier results say, under Reflection: whether the tools and arguments "
                "fit, and what is missing. Close it, then call."
            )
        return "\n".join(parts)

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """Return one ``<tool_call>`` block per call."""
        return "\n".join(
            f"{OPEN}\n{to_text({'name': call.name, 'arguments': call.arguments})}\n{CLOSE}" for call in calls
        )

    def write_result(self, name: str, content: str) -> str:
        """Return the content of a turn with role ``tool``."""
        return f"<tool_response>\n{to_text({'name': name, 'content': content})}\n</tool_response>"

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """Parse a reply; never raises."""
        return read_hermes(text)


FORMAT = Hermes()
