"""Tool-call format of Llama 3.2 and 4: the reply is a Python list of calls with literal arguments, never executed."""

import ast
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any
from unicodedata import normalize

from ...json_data.text import MAX_DEPTH
from ..call import Reading, ToolCall, repaired_call
from ..declaration import Declaration, to_json_lines
from ..parsers.whole_reply import read_whole_reply
from .llama import PYTHON_TAG, without_end

MAX_SOURCE = 100_000
"""Longest reply, in characters, that is parsed."""

_LIST = re.compile(r"\[\s*+[^\W\d][\w.]*+\s*+\(")
_BARE = re.compile(r"[^\W\d][\w.]*+\([^\W\d]\w*+\s*+=.*\)", re.DOTALL)
_STRING = re.compile(
    r"(?P<prefix>(?<!\w)[a-zA-Z]{0,2}+)(?:"
    r"\"\"\"(?:[^\\\"]++|\\(?:\r\n|.)|\"(?!\"\"))*+(?:\"\"\")?+|\'\'\'(?:[^\\\']++|\\(?:\r\n|.)|\'(?!\'\'))*+(?:\'\'\')?+"
    r"|\"(?:[^\\\"\n]++|\\(?:\r\n|.))*+\"?+|\'(?:[^\\\'\n]++|\\(?:\r\n|.))*+\'?+)",
    re.DOTALL,
)
"""A Python string literal with its prefix; an unterminated one extends to where its end should be."""
_ODD_ESCAPE = re.compile(r"\\(?:(?P<large>[4-7][0-7]{2})|(?P<nothing>[^\n\r\\'\"abfnrtv0-7xNuU])|.)", re.DOTALL)


@dataclass(frozen=True)
class Pythonic:
    """Format of Llama 3.2 and 4. A reply that does not begin like a list of calls is text."""

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Return the functions, one schema per line, and how to call them."""
        return (
            f"You may call these functions:\n{to_json_lines(tools, bare=True)}\n\n"
            "To call, answer with nothing but [name(parameter=value, parameter=value), name(parameter=value)]. "
            "Values are Python literals."
        )

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """Return the calls as one Python list."""
        return f"[{', '.join(map(_format_call, calls))}]"

    def write_result(self, name: str, content: str) -> str:
        """Return the content of a turn with role ``ipython``."""
        return content

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """Parse a reply; never raises."""
        return read_whole_reply(text, lambda body: without_end(body).removeprefix(PYTHON_TAG).strip(), read_pythonic)


FORMAT = Pythonic()


def _format_call(call: ToolCall) -> str:
    arguments = (
        f"{name}={value!r}" if _is_keyword_name(name) else f"**{ {name: value}!r}"
        for name, value in call.arguments.items()
    )
    return f"{call.name}({', '.join(arguments)})"


def _is_keyword_name(name: str) -> bool:
    """Return whether Python reads ``name`` as the same identifier: it reads º as o."""
    return name.isidentifier() and not iskeyword(name) and normalize("NFKC", name) == name


class _NotLiteral(ValueError):
    """The source is not a call with literal arguments."""


def read_pythonic(source: str) -> list[ToolCall]:
    """Return the calls in ``source``; none if it does not begin like a list of calls."""
    bare = _LIST.match(source) is None
    if bare and not (len(source) <= MAX_SOURCE and _BARE.fullmatch(source)):
        return []
    if len(source) > MAX_SOURCE:
        return [ToolCall("", error=f"longer than {MAX_SOURCE} characters")]
    try:
        tree = _parse(f"[{source}]" if bare else source)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        return [] if bare else [ToolCall("", error=f"not a list of calls: {getattr(error, 'msg', error)!s:.100}")]
    if not isinstance(tree, ast.List):
        return [] if bare else [ToolCall("", error="not a list of calls")]
    calls = [_call(node) for node in tree.elts]
    return [repaired_call(call, ["no brackets around it"]) for call in calls] if bare else calls


def _parse(source: str) -> ast.expr:
    # invalid escapes raise a SyntaxWarning, which a warning filter may turn into an error, so they are replaced first
    return ast.parse(_STRING.sub(_with_plain_escapes, source), mode="eval").body


def _with_plain_escapes(string: re.Match[str]) -> str:
    """Return the string with useless backslashes doubled and octal escapes above one byte as Unicode escapes."""
    if "r" in string["prefix"].lower():
        return string[0]
    return _ODD_ESCAPE.sub(_plain_escape, string[0])


def _plain_escape(escape: re.Match[str]) -> str:
    if escape["large"]:
        return f"\\u{int(escape['large'], 8):04x}"
    return f"\\{escape[0]}" if escape["nothing"] else escape[0]


def _call(node: ast.expr) -> ToolCall:
    name = _name(node.func) if isinstance(node, ast.Call) else ""
    if not isinstance(node, ast.Call) or not name:
        return ToolCall("", error="not a call of a named function")
    arguments: dict[str, Any] = {}
    if node.args:
        return ToolCall(name, error="an argument without a name")
    for keyword in node.keywords:
        try:
            value = _literal(keyword.value, 0)
        except _NotLiteral as error:
            return ToolCall(name, error=f"argument {keyword.arg!r:.80}: {error}")
        given = {keyword.arg: value} if keyword.arg is not None else value
        if not isinstance(given, dict) or given.keys() & arguments.keys():
            return ToolCall(name, error="an argument is given twice, or what is unpacked is no dict")
        arguments |= given
    return ToolCall(name, arguments)


def _name(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed([*parts, node.id])) if isinstance(node, ast.Name) else ""


def _literal(node: ast.expr, depth: int) -> Any:
    """Return the JSON value of a literal; a tuple becomes a list."""
    if depth > MAX_DEPTH:
        raise _NotLiteral(f"nested deeper than {MAX_DEPTH}")
    match node:
        case ast.Constant(value=None | bool() | str() | int()):
            return node.value
        case ast.Constant(value=float() as number) if math.isfinite(number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)) if not isinstance(
            number, bool
        ) and math.isfinite(number):
            return -number
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_literal(element, depth + 1) for element in elements]
        case ast.Dict(keys=keys, values=values):
            return _dict(keys, values, depth)
    raise _NotLiteral("not a literal")


def _dict(keys: list[ast.expr | None], values: list[ast.expr], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in zip(keys, values, strict=True):
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str) or key.value in found:
            raise _NotLiteral("a dict with a key that is no string, or is there twice")
        found[key.value] = _literal(value, depth + 1)
    return found
