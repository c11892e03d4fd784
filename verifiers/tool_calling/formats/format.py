"""Protocol of tool-call formats, and the registry of formats by name."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Protocol

from ...errors import ConfigError, nearest
from ...json_data.text import to_text
from ..call import Reading, ToolCall
from ..declaration import Declaration

_MODULES = {
    "hermes": "hermes",
    "llama": "llama",
    "llama_pythonic": "pythonic",
    "qwen": "qwen",
    "qwen_coder": "qwen_coder",
}
FORMATS = tuple(_MODULES)
"""The names that ``tool_format`` takes."""


class ToolFormat(Protocol):
    """The way one family of models is given its tools and writes calls."""

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Return the system prompt that declares the tools and explains how to call them."""
        ...

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """Return calls as the model would write them, so that ``read`` parses them back."""
        ...

    def write_result(self, name: str, content: str) -> str:
        """Return the content of the turn with the result of a call."""
        ...

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """Parse a reply; never raises. ``tools`` say which arguments are strings if the format does not."""
        ...


def tool_format(name: str) -> ToolFormat:
    """Return the format called ``name``.

    Raises:
        ConfigError: the name is unknown; the message suggests the nearest.
    """
    if not isinstance(name, str) or name not in _MODULES:
        raise ConfigError(f"there is no tool-call format {name!r}; {nearest(str(name), FORMATS)}")
    made: ToolFormat = import_module(f".{_MODULES[name]}", __package__).FORMAT
    return made


def json_mode_prompt(schema: Any) -> str:
    """Return the system prompt of Hermes' JSON mode, where the answer must be one object valid under ``schema``."""
    asked = "Answer with one JSON object and nothing else. It must be valid by this schema:"
    return f"{asked}\n<schema>\n{to_text(schema)}\n</schema>"
