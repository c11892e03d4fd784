"""What every format of tool calls offers, and the formats by name."""

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
    """How one family of models is told of its tools, and how it calls them."""

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """What the system turn says of the tools and of the way to call them."""
        ...

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """Calls as the model would write them; ``read`` gives them back."""
        ...

    def write_result(self, name: str, content: str) -> str:
        """The content of the turn that holds a call's result."""
        ...

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """The calls in a reply. Never raises. ``tools`` say which arguments are text where the format does not."""
        ...


def tool_format(name: str) -> ToolFormat:
    """The format of that name.

    Raises:
        ConfigError: it is not known; the message names the nearest.
    """
    if not isinstance(name, str) or name not in _MODULES:
        raise ConfigError(f"no tool-call format is named {name!r}; {nearest(str(name), FORMATS)}")
    made: ToolFormat = import_module(f".{_MODULES[name]}", __package__).FORMAT
    return made


def json_mode_prompt(schema: Any) -> str:
    """The system turn of Hermes' JSON mode: the whole answer is to be one object that ``schema`` allows."""
    asked = "Answer with one JSON object and nothing else. It must be valid by this schema:"
    return f"{asked}\n<schema>\n{to_text(schema)}\n</schema>"
