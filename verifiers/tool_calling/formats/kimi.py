"""Tool-call format of Kimi K2: calls in a section, each with an id that holds its name, and a JSON object."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...json_data.text import to_text
from ..call import Reading, ToolCall
from ..declaration import Declaration, to_json_lines
from ..parsers.named_call import Section

SECTION = Section(
    begin="<|tool_calls_section_begin|>",
    end="<|tool_calls_section_end|>",
    call="<|tool_call_begin|>",
    call_end="<|tool_call_end|>",
    separator="<|tool_call_argument_begin|>",
    name=r"\s*+(?:functions\.)?(?P<name>[^<>\s:]{1,200}+):\d{1,9}+\s*+",
)


@dataclass(frozen=True)
class Kimi:
    """Format of Kimi K2. The ids of calls are ``functions.name:0``, ``functions.name:1``, … through the conversation.

    The calls that are written here are counted from 0 in each reply.
    """

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Return the tools, one schema per line, and how to call them."""
        return (
            f"You may call these functions:\n{to_json_lines(tools)}\n\n"
            "A call looks like this, with the number of the call behind its name; several may stand in one section:\n"
            + SECTION.write([("functions.name:0", '{"argument": value}')])
        )

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """Return one section with all calls."""
        numbered = enumerate(calls)
        return SECTION.write((f"functions.{call.name}:{number}", to_text(call.arguments)) for number, call in numbered)

    def write_result(self, name: str, content: str) -> str:
        """Return the content of a turn with role ``tool``; the model's template writes the id of the call."""
        return f"## Return of functions.{name}\n{content}"

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """Parse a reply; never raises."""
        return SECTION.read(text)


FORMAT = Kimi()
