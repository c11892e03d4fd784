"""Tool-call format of Qwen3-Coder: a tag per function and per parameter, with values as bare text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..call import Reading, ToolCall
from ..declaration import Declaration, to_json_lines
from ..parsers.parameter_calls import bare_text, read_parameter_calls
from ..parsers.parameter_tags import ParameterTags

TAGS = ParameterTags(
    calls="<tool_call>",
    calls_end="</tool_call>",
    function=r"<function=(?P<function>[^<>\s]{1,200}+)>\s*+",
    function_end="</function>",
    parameter=r"<parameter=(?P<parameter>[^<>\s]{1,200}+)>",
    parameter_end="</parameter>",
    lines=True,
    bare="<function=",
)


@dataclass(frozen=True)
class QwenCoder:
    """Format of Qwen3-Coder and Qwen3.5. Values that the schema declares as strings are verbatim, all others are JSON.

    The template of Qwen3.5 writes scalars as Python does, so ``True``, ``False`` and ``None`` are read, too.
    """

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Return the tools, one schema per line, and how to call them."""
        return (
            f"You may call these functions:\n<tools>\n{to_json_lines(tools)}\n</tools>\n\n"
            "A call looks like this, a tag for each parameter, its value on lines of its own:\n"
            "<tool_call>\n<function=name>\n<parameter=first>\nvalue\n</parameter>\n</function>\n</tool_call>"
        )

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """Return one ``<tool_call>`` block per call."""
        return "\n".join(map(_format_call, calls))

    def write_result(self, name: str, content: str) -> str:
        """Return the content of a turn with role ``user``."""
        return f"<tool_response>\n{content}\n</tool_response>"

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """Parse a reply; never raises. A value is text if the schema of its tool is unknown."""
        return read_parameter_calls(text, TAGS, tools)


FORMAT = QwenCoder()


def _format_call(call: ToolCall) -> str:
    lines = [f"<function={call.name}>"]
    for name, value in call.arguments.items():
        lines.append(f"<parameter={name}>\n{bare_text(value)}\n</parameter>")
    return "\n".join(["<tool_call>", *lines, "</function>", "</tool_call>"])
