"""Protocol of tool-call formats, and the registry of formats by name."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from ...errors import ConfigError, DataError, nearest
from ...json_data.text import to_text
from ...plugins import Plugins
from ..call import Reading, ToolCall
from ..declaration import Declaration


@runtime_checkable
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


TOOL_FORMATS: Plugins[ToolFormat] = Plugins(
    "tool-call format",
    __package__,
    {
        "hermes": "hermes:FORMAT",
        "qwen": "qwen:FORMAT",
        "qwen_coder": "qwen_coder:FORMAT",
        "llama": "llama:FORMAT",
        "llama_pythonic": "pythonic:FORMAT",
        "deepseek_v3": "deepseek:FORMAT_V3",
        "deepseek_v31": "deepseek:FORMAT",
        "deepseek_v32": "deepseek_dsml:FORMAT",
        "glm45": "glm:FORMAT",
        "glm47": "glm:FORMAT_47",
        "harmony": "harmony:FORMAT",
        "kimi_k2": "kimi:FORMAT",
        "minimax_m2": "minimax:FORMAT",
        "mistral": "mistral:FORMAT",
        "mistral_list": "mistral:FORMAT_LIST",
    },
)
"""The formats by name; most names are those of vLLM's parsers."""
FORMATS = TOOL_FORMATS.names


def tool_format(name: str) -> ToolFormat:
    """Return the format called ``name``: a built-in one, or your own object as ``module:name``.

    Raises:
        ConfigError: the name is unknown, which suggests the nearest, or the object is not a format.
    """
    if not isinstance(name, str):
        raise ConfigError(f"a tool-call format is given by its name, found {name!r:.80}; {nearest('', FORMATS)}")
    found = TOOL_FORMATS.load(name)
    if not isinstance(found, ToolFormat):
        raise ConfigError(f"tool-call format {name!r} has no system_prompt, write_calls, write_result or read")
    return found


_MARKS = {
    "<｜DSML｜": "deepseek_v32",
    "<｜tool▁sep｜>": "deepseek_v31",
    "<|tool_calls_section_begin|>": "kimi_k2",
    "<minimax:tool_call>": "minimax_m2",
    "<arg_key>": "glm45",
    "<function=": "qwen_coder",
    "[TOOL_CALLS]": "mistral",
    "<|python_tag|>": "llama",
}
"""What only the chat templates of one format spell."""


def format_of_template(template: str) -> str:
    """Return the name of the format in which a chat template asks for calls; ``hermes`` if it shows no other.

    Harmony is not among them: its templates take no reply as text.
    """
    found = next((name for mark, name in _MARKS.items() if mark in template), "hermes")
    return "deepseek_v3" if found == "deepseek_v31" and "```json" in template else found


def check_row_format(params: Mapping[str, Any], own: str) -> None:
    """Refuse a format of a dataset's row that is neither built in nor the verifier's own: rows import no code.

    Raises:
        DataError: the row names another format.
    """
    name = params.get("format", own)
    if name != own and name not in FORMATS:
        raise DataError(f"a row names the tool-call format {name!r:.80}; {nearest(str(name), FORMATS)}")


def json_mode_prompt(schema: Any) -> str:
    """Return the system prompt of Hermes' JSON mode, where the answer must be one object valid under ``schema``."""
    asked = "Answer with one JSON object and nothing else. It must be valid by this schema:"
    return f"{asked}\n<schema>\n{to_text(schema)}\n</schema>"
