"""Tool-call format of gpt-oss (Harmony): a reply of several messages, each with a channel and perhaps a recipient."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...json_data.text import to_text
from ..call import Reading, ToolCall
from ..declaration import Declaration
from ..parsers.named_call import read_named_call
from ..parsers.tagged import MAX_CALLS

_TO = r"(?:to=(?P<{}>[^\s<>]{{1,200}}+))?\s*+"
_HEAD = re.compile(
    rf"(?:<\|start\|>(?P<author>[\w.-]{{0,200}}+))?\s*+{_TO.format('before')}"
    rf"<\|channel\|>(?P<channel>\w{{1,40}}+)\s*+{_TO.format('after')}(?:<\|constrain\|>)?\w{{0,40}}+\s*+<\|message\|>"
)
_START = re.compile(r"<\|(?:start|channel)\|>")
_END = re.compile(r"<\|(?:end|call|return)\|>")
_CALL_END = re.compile(r"<\|(?:end|call|return)\|>|\Z")
_NEXT = re.compile(r"<\|(?:end|call|return|start|channel)\|>")
_DEEPEST = 8


@dataclass(frozen=True)
class Harmony:
    """Format of gpt-oss. A reply begins where ``<|start|>assistant`` ends.

    Messages of the channel ``analysis`` are reasoning, those with a recipient are calls, and all others are text. A
    call ends with ``<|call|>``, which ends the turn; several calls in one reply are read nevertheless.
    """

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Return the tools as TypeScript types, as they stand in the developer's message."""
        return "\n\n".join(
            ["# Tools", "## functions", "namespace functions {", *map(_declare, tools), "} // namespace functions"]
        )

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """Return one message per call, with the recipient before the channel; ``read`` takes it after it, too."""
        return "<|start|>assistant".join(
            f" to=functions.{call.name}<|channel|>commentary <|constrain|>json<|message|>"
            f"{to_text(call.arguments)}<|call|>"
            for call in calls
        )

    def write_result(self, name: str, content: str) -> str:
        """Return the message with the result, which the tool writes to the assistant."""
        return f"<|start|>functions.{name} to=assistant<|channel|>commentary<|message|>{content}<|end|>"

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """Parse a reply; never raises."""
        scan, position = _Scan(), 0
        while position < len(text):
            head = _HEAD.match(text, position)
            if head is None:
                start = _START.search(text, position + 1)
                end = start.start() if start else len(text)
                scan.texts.append(_END.sub("", text[position:end]))
                position = end
            elif len(scan.calls) >= MAX_CALLS:
                scan.calls.append(ToolCall("", error=f"more than {MAX_CALLS} calls"))
                break
            else:
                position = scan.message(text, head)
        return Reading(tuple(scan.calls), _join(scan.texts), _join(scan.reasoning))


@dataclass
class _Scan:
    """What the messages so far have given."""

    calls: list[ToolCall] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)

    def message(self, text: str, head: re.Match[str]) -> int:
        """Take the message after ``head``; return the position after it."""
        recipient = head["after"] or head["before"]
        if recipient and head["author"] in (None, "", "assistant"):
            name = recipient.removeprefix("functions.")
            call, position = read_named_call(name, text, head.end(), _CALL_END, _NEXT)
            self.calls.append(call)
            end = _END.match(text, position)  # after a call that could not be read
            return end.end() if end else position
        end = _END.search(text, head.end())
        body = text[head.end() : end.start() if end else len(text)]
        if head["author"] not in (None, "", "assistant"):
            body = text[head.start() : end.end() if end else len(text)]  # a result that the policy wrote itself
        (self.reasoning if head["channel"] == "analysis" else self.texts).append(body)
        return end.end() if end else len(text)


def _join(parts: list[str]) -> str:
    return "\n".join(filter(None, (part.strip() for part in parts)))


def _declare(tool: Declaration) -> str:
    lines = _comment(tool.description, "")
    properties = tool.parameters.get("properties")
    if not isinstance(properties, dict) or not properties:
        return "\n".join([*lines, f"type {tool.name} = () => any;"])
    return "\n".join([*lines, f"type {tool.name} = (_: {_type(tool.parameters, 0)}) => any;"])


def _comment(text: Any, indent: str) -> list[str]:
    return [f"{indent}// {line}" for line in text.split("\n")] if isinstance(text, str) and text else []


def _type(schema: Any, depth: int) -> str:
    """Return the TypeScript type of a JSON schema; ``any`` for what this does not know."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return "any"
    if isinstance(schema.get("enum"), list):
        return " | ".join(map(to_text, schema["enum"]))
    for choice in ("anyOf", "oneOf"):
        if isinstance(schema.get(choice), list):
            return " | ".join(_type(inner, depth + 1) for inner in schema[choice])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": one}, depth + 1) for one in kind)
    if kind == "array":
        return f"{_type(schema.get('items'), depth + 1)}[]"
    if kind == "object":
        return _object(schema, depth)
    return {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}.get(
        str(kind), "any"
    )


def _object(schema: dict[str, Any], depth: int) -> str:
    """Return an object's type, indented as ``openai_harmony`` does it."""
    properties, required, indent = schema.get("properties"), schema.get("required"), "    " * depth
    lines = ["{"]
    for name, inner in properties.items() if isinstance(properties, dict) else ():
        described = inner if isinstance(inner, dict) else {}
        mark = "" if isinstance(required, list) and name in required else "?"
        default = f" // default: {to_text(described['default'])}" if "default" in described else ""
        lines += _comment(described.get("description"), indent)
        lines.append(f"{indent}{name}{mark}: {_type(inner, depth + 1)},{default}")
    return "\n".join([*lines, f"{indent}}}"])


FORMAT = Harmony()
