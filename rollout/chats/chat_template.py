"""Renders a chat template to text exactly as transformers does, without importing it, as it imports torch.

The environment of a template, and the changes to its messages, are those of ``apply_chat_template`` in transformers 5:
https://huggingface.co/docs/transformers/chat_templating. A test compares both.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

REASONING = ("reasoning_content", "thinking", "reasoning")
"""The names under which messages have their reasoning; templates read the first, those of gpt-oss the second."""


def render(template: str, messages: Sequence[Mapping[str, Any]], tools: list[Any] | None, **variables: Any) -> str:
    """The text of a conversation.

    Args:
        template: the template's source.
        messages: JSON objects; fields that are None are left out.
        tools: JSON schemas, or None.
        variables: further variables of the template, which are JSON.

    Raises:
        TemplateError: the template is no Jinja template, or refuses the conversation.
        TypeError: the template does something to its variables that their types do not allow.
    """
    shown = [_shown(one) for one in messages]
    return _compiled(template).render(messages=shown, tools=tools, documents=None, **variables)


def _shown(told: Mapping[str, Any]) -> dict[str, Any]:
    """The message without empty fields, and with its reasoning under the names that templates read."""
    message = {name: value for name, value in told.items() if value is not None}
    if message.keys().isdisjoint(REASONING):
        return message
    reasoning = next(message[name] for name in REASONING if name in message)
    return {"thinking": reasoning, **message, "reasoning_content": reasoning}


@lru_cache(maxsize=16)
def _compiled(template: str) -> Template:
    environment = _Environment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals |= {
        "raise_exception": _refuse,
        "strftime_now": lambda form: datetime.now().strftime(form),
        "dict": _Dict(),
        "namespace": _Namespace,
    }
    return environment.from_string(template)


_OF_DICTS = frozenset(dir(dict))
_SAFE: Mapping[type, frozenset[str]] = {
    str: frozenset(name for name in dir(str) if not name.startswith("_")) - {"format", "format_map"},
    LoopContext: frozenset(name for name in dir(LoopContext) if not name.startswith("_")),
}
"""Attributes that the sandbox would find safe, without the two methods that it wraps."""


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with a short way to the fields of messages, the methods of texts and the counters of loops."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        kind = type(obj)
        if kind is dict and attribute not in _OF_DICTS:
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        if attribute in _SAFE.get(kind, ()):
            return getattr(obj, attribute)
        return super().getattr(obj, attribute)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter would escape the characters of HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


class _Generation(Extension):
    """``{% generation %}`` marks an assistant's text in a template; the text is rendered as it is."""

    tags = {"generation"}  # noqa: RUF012 - an attribute of Jinja's class

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller: Any) -> str:
        return str(caller())


class _Dict:
    """``dict`` without the attributes through which a template could leave the sandbox."""

    def __call__(self, *arguments: Any, **items: Any) -> dict[Any, Any]:
        return dict(*arguments, **items)

    def fromkeys(self, *arguments: Any) -> dict[Any, Any]:
        return dict.fromkeys(*arguments)


class _Namespace(Namespace):
    """``namespace`` without names that begin with an underscore, through which a template could leave the sandbox."""

    def __init__(*arguments: Any, **items: Any) -> None:  # a template may have a variable ``self``
        self, *rest = arguments
        for name in (found := dict(*rest, **items)):
            _check_name(name)
        Namespace.__init__(self, found)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a chat template cannot set the attribute {name!r} of a namespace; rename it")
