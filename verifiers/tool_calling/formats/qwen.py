"""The format of Qwen 2.5 and Qwen 3: Hermes' calls, with a prompt and results of its own."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..declaration import Declaration, as_lines
from .hermes import CLOSE, OPEN, Hermes


@dataclass(frozen=True)
class Qwen(Hermes):
    """Results stand in a turn of role ``user``, as they are."""

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Tools, a schema a line, and how to call them."""
        return (
            "# Tools\n\nFunctions that help with the question may be called, one or several. Their signatures:\n"
            f"<tools>\n{as_lines(tools)}\n</tools>\n\nA call is a JSON object between tags:\n"
            f'{OPEN}\n{{"name": <function-name>, "arguments": <args-json-object>}}\n{CLOSE}'
        )

    def write_result(self, name: str, content: str) -> str:
        """The block of a turn of role ``user``."""
        return f"<tool_response>\n{content}\n</tool_response>"


FORMAT = Qwen()
