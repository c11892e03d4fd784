"""Tool-call format of MiniMax M2: a tag per call and per parameter, with values as bare text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..call import Reading, ToolCall
from ..declaration import Declaration, to_json_lines
from ..parsers.parameter_calls import bare_text, read_parameter_calls
from ..parsers.parameter_tags import ParameterTags

TAGS = ParameterTags(
    calls="<minimax:tool_call>",
    calls_end="</minimax:tool_call>",
    function=r'<invoke name="(?P<function>[^<>"\s]{1,200}+)">',
    function_end="</invoke>",
    parameter=r'<parameter name="(?P<parameter>[^<>"]{1,200}+)">',
    parameter_end="</parameter>",
    bare="<invoke name=",
)


@dataclass(frozen=True)
class MiniMax:
    """Format of MiniMax M2. Values that the schema declares as strings are verbatim, all others are JSON."""

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Return the tools, one schema per line, and how to call them."""
        example = _write([("name", [("parameter", "value")])])
        return (
            f"# Tools\nYou may call these tools:\n<tools>\n{to_json_lines(tools)}\n</tools>\n\n"
            f"A call looks like this; several may stand in one block:\n{example}"
        )

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """Return one block with all calls."""
        return _write(
            [(call.name, [(key, bare_text(value)) for key, value in call.arguments.items()]) for call in calls]
        )

    def write_result(self, name: str, content: str) -> str:
        """Return the content of a turn with role ``tool``."""
        return f"<response>{content}</response>"

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """Parse a reply; never raises. A value is text if the schema of its tool is unknown."""
        return read_parameter_calls(text, TAGS, tools)


def _write(calls: list[tuple[str, list[tuple[str, str]]]]) -> str:
    if not calls:
        return ""
    lines = ["<minimax:tool_call>"]
    for name, arguments in calls:
        lines.append(f'<invoke name="{name}">')
        lines += [f'<parameter name="{key}">{value}</parameter>' for key, value in arguments]
        lines.append("</invoke>")
    return "\n".join([*lines, "</minimax:tool_call>"])


FORMAT = MiniMax()
