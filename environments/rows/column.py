"""A column of a row: a value by its name or dotted path, checked to be what a task needs."""

import json
from collections.abc import Iterable
from typing import Any

from ...verifiers.errors import DataError, nearest
from ...verifiers.message import Message
from ...verifiers.rows.jsonl import check_json

Row = dict[str, Any]

_MOST_TEXT = 1 << 24
"""Longest text, in characters, that a dotted path looks into as JSON."""


def find(row: Row, path: str) -> Any:
    """The value of ``row`` under ``path``, or None.

    ``path`` is a column, or dotted: ``reward_model.ground_truth`` is a key of an object, ``choices.0`` an item of a
    list. An object or a list may also be a JSON text.
    """
    if path in row:
        return row[path]
    value: Any = row
    for part in path.split("."):
        if isinstance(value, str):
            value = _decoded(value)
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and len(part) < 10 and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def first_of(row: Row, names: Iterable[str]) -> str:
    """The first of ``names`` under which the row has a value; the first of all if it has none of them."""
    names = list(names)
    return next((name for name in names if find(row, name) is not None), names[0])


def column(row: Row, name: str) -> Any:
    """The value of ``row`` under ``name``, which may be a dotted path.

    Raises:
        DataError: there is none, and the message names a similar column; or it is not JSON, such as an image's bytes.
    """
    value = find(row, name)
    if value is None:
        if name in row:
            raise DataError(f"no {name!r}: the column is empty; repair the row, or leave such rows out with `where`")
        raise DataError(f"no {name!r}; {nearest(name, row)}")
    if not isinstance(value, str | int):
        check_json(value, f"column {name!r}")
    return value


def text_column(row: Row, name: str) -> str:
    """The text under ``name``, without white space around it.

    Raises:
        DataError: there is no text, or it is blank.
    """
    value = column(row, name)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{name!r} must be a text that is not blank, found {value!r:.80}")
    return value.strip()


def prompt_column(row: Row, name: str, instruction: str = "") -> str | list[Message]:
    """The prompt under ``name``, a text or messages, with ``instruction`` after its end.

    The assistant's replies at the end of the messages are left out, since they are the answer.

    Raises:
        DataError: there is neither a text nor a list of messages with a user's.
    """
    value = column(row, name)
    if not isinstance(value, list):
        return f"{text_column(row, name)}\n\n{instruction}".strip()
    messages: list[Message] = []
    for message in value:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise DataError(f"{name!r} must be a text or a list of messages, found the item {message!r:.80}")
        messages.append({key: part for key, part in message.items() if part is not None})  # type: ignore[arg-type]
    while messages and messages[-1].get("role") == "assistant":
        messages.pop()
    if not messages or messages[-1].get("role") != "user":
        raise DataError(f"the messages in {name!r} must end with the user's, found {value!r:.80}")
    if instruction:
        last = messages[-1]
        messages[-1] = {**last, "content": f"{last['content'].rstrip()}\n\n{instruction}"}
    return messages


def matches(row: Row, where: dict[str, Any]) -> bool:
    """Whether the row has, under each path in ``where``, the value or one of the values given there."""
    return all(find(row, path) in (wanted if isinstance(wanted, list) else [wanted]) for path, wanted in where.items())


def _decoded(text: str) -> Any:
    if len(text) > _MOST_TEXT or not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
