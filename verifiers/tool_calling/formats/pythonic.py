"""The format of Llama 3.2 and 4: the whole reply is a Python list of calls with literal arguments; it is never run."""

import ast
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any
from unicodedata import normalize

from ...json_data.text import MAX_DEPTH
from ...text.think import split_reasoning
from ..call import Reading, ToolCall, repaired_call
from ..declaration import Declaration, as_lines
from .llama import PYTHON_TAG, without_end

MAX_SOURCE = 100_000
"""Characters of a reply that are parsed at most."""

_LIST = re.compile(r"\[\s*+[^\W\d][\w.]*+\s*+\(")
_BARE = re.compile(r"[^\W\d][\w.]*+\([^\W\d]\w*+\s*+=.*\)", re.DOTALL)
_STRING = re.compile(
    r"(?P<prefix>(?<!\w)[a-zA-Z]{0,2}+)(?:"
    r"\"\"\"(?:[^\\\"]++|\\.|\"(?!\"\"))*+(?:\"\"\")?+|\'\'\'(?:[^\\\']++|\\.|\'(?!\'\'))*+(?:\'\'\')?+"
    r"|\"(?:[^\\\"\n]++|\\.)*+\"?+|\'(?:[^\\\'\n]++|\\.)*+\'?+)",
    re.DOTALL,
)
"""A string, with its prefix, as Python reads it; one without an end is read to where that should be."""
_ODD_ESCAPE = re.compile(r"\\(?:(?P<large>[4-7][0-7]{2})|(?P<nothing>[^\n\r\\'\"abfnrtv0-7xNuU])|.)", re.DOTALL)


@dataclass(frozen=True)
class Pythonic:
    """Calls stand alone, in brackets: a reply that begins otherwise is text."""

    def system_prompt(self, tools: Iterable[Declaration]) -> str:
        """Functions, a schema a line, and how to call them."""
        return (
            f"You may call these functions:\n{as_lines(tools, bare=True)}\n\n"
            "To call, answer with nothing but [name(parameter=value, parameter=value), name(parameter=value)]. "
            "Values are Python literals."
        )

    def write_calls(self, calls: Iterable[ToolCall]) -> str:
        """One list."""
        return f"[{', '.join(map(_written, calls))}]"

    def write_result(self, name: str, content: str) -> str:
        """The content of a turn of role ``ipython``."""
        return content

    def read(self, text: str, tools: Mapping[str, Declaration] | None = None) -> Reading:
        """The calls in a reply."""
        reasoning, body = split_reasoning(text)
        body = without_end(body).removeprefix(PYTHON_TAG).strip()
        calls = read_pythonic(body)
        return Reading(tuple(calls), "" if calls else body, reasoning)


FORMAT = Pythonic()


def _written(call: ToolCall) -> str:
    arguments = (
        f"{name}={value!r}" if _is_plain(name) else f"**{ {name: value}!r}" for name, value in call.arguments.items()
    )
    return f"{call.name}({', '.join(arguments)})"


def _is_plain(name: str) -> bool:
    """Whether Python reads it as a name, and as this one: it takes º for o."""
    return name.isidentifier() and not iskeyword(name) and normalize("NFKC", name) == name


class _NotLiteral(ValueError):
    """Something else than a call with literal arguments."""


def read_pythonic(source: str) -> list[ToolCall]:
    """The calls in ``source``; none where it does not begin like a list of calls."""
    bare = _LIST.match(source) is None
    if bare and not (len(source) <= MAX_SOURCE and _BARE.fullmatch(source)):
        return []
    if len(source) > MAX_SOURCE:
        return [ToolCall("", error=f"longer than {MAX_SOURCE} characters")]
    try:
        tree = _parsed(f"[{source}]" if bare else source)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        return [] if bare else [ToolCall("", error=f"not a list of calls: {getattr(error, 'msg', error)!s:.100}")]
    if not isinstance(tree, ast.List):
        return [] if bare else [ToolCall("", error="not a list of calls")]
    calls = [_call(node) for node in tree.elts]
    return [repaired_call(call, ["no brackets around it"]) for call in calls] if bare else calls


def _parsed(source: str) -> ast.expr:
    # Python warns of odd escapes, which a filter of warnings may turn into errors: so none are left for it to meet
    return ast.parse(_STRING.sub(_with_plain_escapes, source), mode="eval").body


def _with_plain_escapes(string: re.Match[str]) -> str:
    """The same string, a backslash that escapes nothing written as two and octal digits beyond a byte as Unicode's."""
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
    """The JSON value of a literal; a tuple is a list."""
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
