"""Tool-call formats of Mistral: ``[TOOL_CALLS]`` before each call, or before a list of calls."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...json_data.text import NotJson, skip_space, to_text
from ..call import Reading, ToolCall, as_call, repaired_call
from ..declaration import Declaration, to_json_lines
from ..parsers.named_call import read_named_call
from ..parsers.repair import read_json_or_repaired
from ..parsers.tagged import read_tagged

CALLS, ARGUMENTS = "[TOOL_CALLS]", "[ARGS]"
_TAGS = re.compile(
    r"(?P<call>\[TOOL_CALLS\])"
    r"|(?:<(?=/?(?i:think)>)|\[(?=/?THINK\]))(?P<close>/)?(?P<name>(?i:think))[>\]]"
)
_NAME = re.compile(r"(?P<name>[^<>\s\[\]{}]{1,200}+)\s*+(?:\[CALL_ID\][^\[\]\s]{1,40}+\s*+)?(?:\[ARGS\]|(?=\{))")
_NEXT = re.compile(r"\[TOOL_CALLS\]|</s>|\[/THINK\]|</think>")
_END = re.compile("")  # the arguments end a call; what follows is text


@dataclass(frozen=True)
class Mistral:
    """Format of Mistral since Ministral and Mistral Small 3.1 (tokenizer v11): ``[TOOL_CALLS]name[ARGS]{…}`` per call.

    ``read`` takes both formats, with or without ``[ARGS]``, which some decoders leave out, and reasoning in ``[THINK]``
    or ``<think>``.
    """

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Return the tools, one schema per line, and how to call them."""
        return _prompt(tools, f'{CALLS}name{ARGUMENTS}{{"argument": value}}, once for each call')

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """Return the calls, each after ``[TOOL_CALLS]``."""
        return "".join(f"{CALLS}{call.name}{ARGUMENTS}{to_text(call.arguments)}" for call in calls)

    def write_result(self, name: str, content: str) -> str:
        """Return the result between the tokens that stand for a turn of the tool (tokenizer v13)."""
        return f"[TOOL_RESULTS]{content}[/TOOL_RESULTS]"

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """Parse a reply; never raises."""
        return read_tagged(text, _TAGS, _read_calls)


@dataclass(frozen=True)
class MistralList(Mistral):
    """Format of Mistral 7B v0.3, Nemo and Large 2407 (tokenizers v2 to v7): a JSON list of calls."""

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Return the tools, one schema per line, and how to call them."""
        return _prompt(tools, f'{CALLS} [{{"name": function name, "arguments": object}}, …]')

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """Return the list of calls; the template gives each an ``id``, too, which ``read`` takes."""
        listed = [{"name": call.name, "arguments": call.arguments} for call in calls]
        return f"{CALLS} {to_text(listed)}" if listed else ""

    def write_result(self, name: str, content: str) -> str:
        """Return the result between the tokens that stand for a turn of the tool (tokenizer v2)."""
        return f"[TOOL_RESULTS] {to_text([{'name': name, 'content': content}])}[/TOOL_RESULTS]"


def _prompt(tools: Iterable[Declaration], form: str) -> str:
    return f"[AVAILABLE_TOOLS]{to_json_lines(tools)}[/AVAILABLE_TOOLS]\nTo call tools, end your reply with {form}."


def _read_calls(text: str, start: int) -> tuple[list[ToolCall], int]:
    """Return the calls of the ``[TOOL_CALLS]`` at ``start``, and the position after them."""
    position = skip_space(text, start + len(CALLS))
    if text.startswith(("[", "{"), position):
        return _read_list(text, position)
    name = _NAME.match(text, position)
    if name is None:
        after = _NEXT.search(text, position)
        return [ToolCall("", error="no name after [TOOL_CALLS]")], after.start() if after else len(text)
    call, position = read_named_call(name["name"], text, name.end(), _END, _NEXT)
    return [call], position


def _read_list(text: str, start: int) -> tuple[list[ToolCall], int]:
    try:
        value, end, fault, repairs = read_json_or_repaired(text, start)
    except NotJson as error:
        after = _NEXT.search(text, start)
        return [ToolCall("", error=str(error))], after.start() if after else len(text)
    if not isinstance(value, list):
        value, repairs = [value], [*repairs, "no list around it"]
    if not value:
        return [ToolCall("", error="an empty list of calls")], end
    return [repaired_call(as_call(_without_id(one)), repairs, fault) for one in value], end


def _without_id(value: Any) -> Any:
    if isinstance(value, dict) and isinstance(value.get("id"), str):
        return {key: inner for key, inner in value.items() if key != "id"}
    return value


FORMAT = Mistral()
FORMAT_LIST = MistralList()
