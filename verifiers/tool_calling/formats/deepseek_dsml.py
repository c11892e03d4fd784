"""Tool-call format of DeepSeek V3.2 (DSML): a tag per call and per parameter, which says whether its value is text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...json_data.text import to_text
from ..call import Reading, ToolCall
from ..declaration import Declaration, to_json_lines
from ..parsers.parameter_calls import read_parameter_calls
from ..parsers.parameter_tags import ParameterTags

_MARK = "｜DSML｜"
TAGS = ParameterTags(
    calls=f"<{_MARK}function_calls>",
    calls_end=f"</{_MARK}function_calls>",
    function=rf'<{_MARK}invoke name="(?P<function>[^<>"\s]{{1,200}}+)">',
    function_end=f"</{_MARK}invoke>",
    parameter=rf'<{_MARK}parameter\s++name="(?P<parameter>[^<>"]{{1,200}}+)"\s++string="(?P<string>true|false)">',
    parameter_end=f"</{_MARK}parameter>",
    bare=f"<{_MARK}invoke name=",
)


@dataclass(frozen=True)
class DeepSeekDsml:
    """Format of DeepSeek V3.2. The tag of a parameter says whether its value is text, so no schema is needed."""

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Return the tools, one schema per line, and how to call them."""
        example = _write([("name", [("parameter", "true|false", "value")])])
        return (
            f"## Tools\nYou may call these tools:\n<functions>\n{to_json_lines(tools)}\n</functions>\n\n"
            f"A call looks like this; several may stand in one block:\n{example}\n"
            'Write string="true" and the text as it is for strings, string="false" and JSON for all other values.'
        )

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """Return one block with all calls."""
        return _write([(call.name, [_parameter(*pair) for pair in call.arguments.items()]) for call in calls])

    def write_result(self, name: str, content: str) -> str:
        """Return a block with the result, which stands for a turn of the tool."""
        return f"<function_results>\n<result>{content}</result>\n</function_results>"

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """Parse a reply; never raises."""
        return read_parameter_calls(text, TAGS, tools)


def _parameter(name: str, value: object) -> tuple[str, str, str]:
    """Return name, ``string`` and text of a parameter."""
    return (name, "true", value) if isinstance(value, str) else (name, "false", to_text(value))


def _write(calls: list[tuple[str, list[tuple[str, str, str]]]]) -> str:
    if not calls:
        return ""
    lines = [f"<{_MARK}function_calls>"]
    for name, parameters in calls:
        lines.append(f'<{_MARK}invoke name="{name}">')
        lines += [
            f'<{_MARK}parameter name="{key}" string="{kind}">{value}</{_MARK}parameter>'
            for key, kind, value in parameters
        ]
        lines.append(f"</{_MARK}invoke>")
    return "\n".join([*lines, f"</{_MARK}function_calls>"])


FORMAT = DeepSeekDsml()
