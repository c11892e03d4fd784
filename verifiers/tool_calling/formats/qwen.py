"""Tool-call format of Qwen 2.5 and Qwen 3: calls as in Hermes, with a different prompt and result block."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..declaration import Declaration, to_json_lines
from .hermes import CLOSE, OPEN, Hermes


@dataclass(frozen=True)
class Qwen(Hermes):
    """Format of Qwen 2.5 and 3. Results are in a turn with role ``user``, unchanged."""

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Return the tools, one schema per line, and how to call them."""
        return (
            "# Tools\n\nFunctions that help with the question may be called, one or several. Their signatures:\n"
            f"<tools>\n{to_json_lines(tools)}\n</tools>\n\nA call is a JSON object between tags:\n"
            f'{OPEN}\n{{"name": <function-name>, "arguments": <args-json-object>}}\n{CLOSE}'
        )

    def write_result(self, name: str, content: str) -> str:
        """Return the content of a turn with role ``user``."""
        return f"<tool_response>\n{content}\n</tool_response>"


FORMAT = Qwen()
