"""Damage to a record: values of the wrong type, missing and unknown keys, broken limits, and broken syntax."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

from ....verifiers.json_data.schema import faults
from ....verifiers.json_data.text import NotJson, read_json
from .record import Record, Schema

Place = tuple[str, ...]


class Damaged(NamedTuple):
    """A damaged record.

    Attributes:
        text: the broken JSON.
        free: the places whose value was lost, so that any valid one repairs them.
        damages: how many damages were done.
    """

    text: str
    free: list[Place]
    damages: int


def damaged(record: Record, rng: Random, values: int, syntax: int) -> Damaged:
    """``record`` with so many broken values, each in another field, and so many breaks of JSON's syntax."""
    value = copy.deepcopy(record.value)
    places = list(_fields(record.schema))
    free: list[Place] = []
    done = 0
    for place, rule in rng.sample(places, len(places)):
        if done == values:
            break
        before = len(faults(value, record.schema))
        broken = copy.deepcopy(value)
        lost = _break_value(broken, place, rule, rng)
        if len(faults(broken, record.schema)) > before:
            value, done = broken, done + 1
            free += [place] if lost else []
    text = json.dumps(value, indent=2)
    breaks = rng.sample(_BREAKS, len(_BREAKS))
    while syntax and breaks:
        broken_text = breaks.pop()(text, rng)
        if broken_text != text and not _is_json(broken_text):
            text, syntax, done = broken_text, syntax - 1, done + 1
    return Damaged(text, free, done)


def _fields(schema: Schema, place: Place = ()) -> Iterator[tuple[Place, Schema]]:
    for name, rule in schema["properties"].items():
        if rule.get("type") == "object":
            yield from _fields(rule, (*place, name))
        else:
            yield (*place, name), rule


def _break_value(value: dict[str, Any], place: Place, rule: Schema, rng: Random) -> bool:
    """Break the field at ``place``; return whether its value is lost."""
    for name in place[:-1]:
        value = value[name]
    name, old = place[-1], value[place[-1]]
    match rng.randrange(6):
        case 0:
            del value[name]
            return True
        case 1:  # a key with two letters the other way round keeps its value
            swap = rng.randrange(len(name) - 1)
            wrong = name[:swap] + name[swap + 1] + name[swap] + name[swap + 2 :]
            if wrong in value:
                return False
            items = [(wrong if key == name else key, each) for key, each in value.items()]
            value.clear()
            value.update(items)
            return False
        case 2:
            value[f"{name}_{rng.choice(('old', 'copy', 'raw', 'text'))}"] = old
            return False
        case 3:
            value[name] = None
            return True
        case 4:
            value[name] = json.dumps(old) if not isinstance(old, str) else [old]
            return False
    value[name] = _beyond(old, rule, rng)
    return True


def _beyond(old: Any, rule: Schema, rng: Random) -> Any:
    """A value of the right type that breaks a limit."""
    if "maximum" in rule:
        return rule["maximum"] + rng.randint(1, 99)
    if "maxItems" in rule:
        return [*old, *(f"item {number}" for number in range(rule["maxItems"]))]
    if "pattern" in rule:
        return old.replace("-", rng.choice((" ", "", "_")))
    if "enum" in rule:
        return f"{old}s"
    return "" if "minLength" in rule else "yes"


def _trailing_comma(text: str, rng: Random) -> str:
    return re.sub(r"(\S)\n(\s*)\}$", r"\1,\n\2}", text.rstrip())


def _single_quotes(text: str, rng: Random) -> str:
    return text.replace('"', "'")


def _bare_key(text: str, rng: Random) -> str:
    keys = list(re.finditer(r'"(\w+)":', text))
    chosen = rng.choice(keys) if keys else None
    return text if chosen is None else f"{text[: chosen.start()]}{chosen[1]}:{text[chosen.end() :]}"


def _missing_comma(text: str, rng: Random) -> str:
    commas = [match.start() for match in re.finditer(r",\n", text)]
    place = rng.choice(commas) if commas else None
    return text if place is None else text[:place] + text[place + 1 :]


def _missing_quote(text: str, rng: Random) -> str:
    quotes = [match.start() for match in re.finditer(r'(?<=\w)"(?=,?\n|:)', text)]
    place = rng.choice(quotes) if quotes else None
    return text if place is None else text[:place] + text[place + 1 :]


def _cut_off(text: str, rng: Random) -> str:
    return text.rstrip("}\n ")


def _comment(text: str, rng: Random) -> str:
    return re.sub(r"\n", "  // checked\n", text, count=1)


def _python_words(text: str, rng: Random) -> str:
    words = {"true": "True", "false": "False", "null": "None"}
    return re.sub(r"(?<=: )(?:true|false|null)\b", lambda match: words[match[0]], text)


_BREAKS: tuple[Callable[[str, Random], str], ...] = (
    *(_trailing_comma, _single_quotes, _bare_key, _missing_comma, _missing_quote, _cut_off, _comment, _python_words),
)


def _is_json(text: str) -> bool:
    try:
        read_json(text)
    except NotJson:
        return False
    return True
