"""Tool-call formats of DeepSeek R1, V3 and V3.1: calls in a section, with a name and a JSON object each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ...json_data.text import to_text
from ..call import Reading, ToolCall
from ..declaration import Declaration, to_json_lines
from ..parsers.named_call import Section

V31 = Section(
    begin="<｜tool▁calls▁begin｜>",
    end="<｜tool▁calls▁end｜>",
    call="<｜tool▁call▁begin｜>",
    call_end="<｜tool▁call▁end｜>",
    separator="<｜tool▁sep｜>",
    name=r"\s*+(?P<name>[^<>\s]{1,200}+)\s*+",
)
V3 = replace(
    V31,
    name=r"\s*+\w{1,40}+\s*+",
    separator="<｜tool▁sep｜>",
    fence=(r"\s*+(?P<name>[^<>\s`]{1,200}+)\s*+```json\s*+", r"```\s*+"),
)


@dataclass(frozen=True)
class DeepSeekV31:
    """Format of DeepSeek V3.1: ``name<｜tool▁sep｜>{…}`` for each call."""

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Return the tools, one schema per line, and how to call them."""
        return _prompt(tools, V31.write([("name", '{"argument": value}')]))

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """Return one section with all calls."""
        return V31.write((call.name, to_text(call.arguments)) for call in calls)

    def write_result(self, name: str, content: str) -> str:
        """Return the result between the tokens that stand for a turn of the tool."""
        return f"<｜tool▁output▁begin｜>{content}<｜tool▁output▁end｜>"

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """Parse a reply; never raises."""
        return V31.read(text)


@dataclass(frozen=True)
class DeepSeekV3(DeepSeekV31):
    """Format of DeepSeek R1 and V3: ``function<｜tool▁sep｜>name`` and a fenced JSON object for each call."""

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Return the tools, one schema per line, and how to call them."""
        return _prompt(tools, self._write([("name", '{"argument": value}')]))

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """Return one section with all calls, on lines of their own."""
        return self._write([(call.name, to_text(call.arguments)) for call in calls])

    def write_result(self, name: str, content: str) -> str:
        """Return a section with the result, which stands for a turn of the tool."""
        output = super().write_result(name, content)
        return f"<｜tool▁outputs▁begin｜>{output}<｜tool▁outputs▁end｜>"

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """Parse a reply; never raises."""
        return V3.read(text)

    def _write(self, calls: list[tuple[str, str]]) -> str:
        return V3.write([("function", f"{name}\n```json\n{text}\n```") for name, text in calls], "\n")


def _prompt(tools: Iterable[Declaration], example: str) -> str:
    return (
        f"## Tools\nYou may call these tools:\n{to_json_lines(tools)}\n\n"
        f"A call looks like this; several may stand in one section:\n{example}"
    )


FORMAT = DeepSeekV31()
FORMAT_V3 = DeepSeekV3()
