"""Tool-call format of GLM 4.5 to 4.7: a name, and a tag for each argument's key and value, with values as bare text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..call import Reading, ToolCall
from ..declaration import Declaration, to_json_lines
from ..parsers.parameter_calls import bare_text, read_parameter_calls
from ..parsers.parameter_tags import ParameterTags

TAGS = ParameterTags(
    calls="<tool_call>",
    calls_end="</tool_call>",
    function=r"(?P<function>[^<>\s]{1,200}+)\s*+(?=<arg_key>|</tool_call>)",
    begins=r"<tool_call>\s*+[^<>\s]{1,200}+\s*+(?=<arg_key>|</tool_call>)",
    function_end="(?=</tool_call>)",
    parameter=r"<arg_key>(?P<parameter>[^<>]{1,200}+)</arg_key>\s*+<arg_value>",
    parameter_end="</arg_value>",
)


@dataclass(frozen=True)
class Glm:
    """Format of GLM 4.5, 4.6 and 4.7. Values that the schema declares as strings are verbatim, all others are JSON.

    Attributes:
        line_breaks: write each tag on a line of its own, as GLM 4.5 and 4.6 do; ``read`` takes both.
    """

    line_breaks: bool = True

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Return the tools, one schema per line, and how to call them."""
        example = self._write("name", [("key", "value")])
        return (
            f"# Tools\n\nYou may call these functions:\n<tools>\n{to_json_lines(tools)}\n</tools>\n\n"
            f"A call looks like this, with a key and a value for each argument:\n{example}"
        )

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """Return one ``<tool_call>`` block per call."""
        return ("\n" if self.line_breaks else "").join(
            self._write(call.name, [(key, bare_text(value)) for key, value in call.arguments.items()]) for call in calls
        )

    def write_result(self, name: str, content: str) -> str:
        """Return the content of a turn that begins with ``<|observation|>``."""
        between = "\n" if self.line_breaks else ""
        return f"<tool_response>{between}{content}{between}</tool_response>"

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """Parse a reply; never raises. A value is text if the schema of its tool is unknown."""
        return read_parameter_calls(text, TAGS, tools)

    def _write(self, name: str, arguments: list[tuple[str, str]]) -> str:
        between = "\n" if self.line_breaks else ""
        pairs = (f"<arg_key>{key}</arg_key>{between}<arg_value>{value}</arg_value>" for key, value in arguments)
        return between.join([f"<tool_call>{name}", *pairs, "</tool_call>"])


FORMAT = Glm()
FORMAT_47 = Glm(line_breaks=False)
