"""Writes ``docs/settings.md``: every setting of a run, from the typed config. Run ``make settings``."""

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from lachesis.trainer.config import RunConfig
from lachesis.trainer.datasets.config import DataConfig
from lachesis.trainer.losses.config import PreferenceConfig
from lachesis.verifiers.plugins import Plugins

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
HEAD = """\
# Settings

<!-- Written by `make settings` from the typed config; do not edit. -->

A run is described by one TOML file, `lachesis train CONFIG`. Only `environments` is required. Every setting can also be
given on the command line, as in `--trainer.lr 1e-5`; the entries of a list are counted from 0, as in
`--environments.0.group_size 4`. An unknown key is an error that names the nearest known one. A setting with the default
"left out" has no value unless you give one.

`lachesis sft CONFIG` and `lachesis dpo CONFIG` ([tuning on rows](tuning.md)) require `data` instead of `environments`.
They have no `warm_start`, and no settings of rollouts in `trainer`. There `trainer.steps` is 0 by default, which means
`data.epochs`, and `trainer.lr` is 1e-5 (`sft`) or 1e-6 (`dpo`).
"""


def page() -> str:
    """The whole page, as Markdown."""
    return HEAD + "".join(_section(place, model) for place, model in tables())


def tables() -> Iterator[tuple[str, type[BaseModel]]]:
    """All tables of the page by their dotted place: those of a run, and those of rows alone."""
    yield from _tables("", RunConfig)
    yield from _tables("data", DataConfig)
    yield from _tables("dpo", PreferenceConfig)


def _tables(place: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The tables of the config by their dotted place, each before those within it."""
    yield place, model
    for name, field in model.model_fields.items():
        if inner := _table_of(field.annotation):
            yield from _tables(_within(place, name, field), inner)


def _within(place: str, name: str, field: FieldInfo) -> str:
    """The place of the table in a field of the table at ``place``."""
    return f"{place}.{name}".lstrip(".") + ".NAME" * (get_origin(field.annotation) is dict)


def _section(place: str, model: type[BaseModel]) -> str:
    lines = [f"\n## {_heading(place)}\n", _line(model.__doc__ or ""), ""]
    lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else _default(field)
        if _table_of(field.annotation):
            kind = f"[`{_within(place, name, field)}`](#{_within(place, name, field).replace('.', '').lower()})"
        else:
            kind = _type(field, properties[name])
        cells = (f"`{name}`", kind, default, _line(field.description or ""))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _heading(place: str) -> str:
    """The table's header as TOML writes it."""
    if not place:
        return "The whole run"
    return f"`[[{place}]]`" if place == "environments" else f"`[{place}]`"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if _table_of(field.annotation):
        return ""
    if value is None:
        return "left out"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value, default=str, ensure_ascii=False)}`"


def _type(field: FieldInfo, schema: dict[str, Any]) -> str:
    """The type in words, with its bounds."""
    for part in field.metadata:
        if isinstance(part, AfterValidator) and isinstance(owner := getattr(part.func, "__self__", None), Plugins):
            return _listed([*(f"`{name}`" for name in (*owner.keywords, *owner.names)), "your own as `module:name`"])
    return _words(schema)


def _words(schema: dict[str, Any], plural: bool = False) -> str:
    """A JSON schema in words."""
    if "anyOf" in schema:
        return _listed([_words(part) for part in schema["anyOf"] if part.get("type") != "null"])
    if "enum" in schema:
        return _listed([f"`{value}`" for value in schema["enum"]])
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])} {_words(schema['prefixItems'][0], plural=True)}"
    if schema.get("type") == "array":
        return f"list of {_words(schema['items'], plural=True)}"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"table of {_words(values, plural=True)} by name" if isinstance(values, dict) and values else "table"
    names = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}
    name = "path" if schema.get("format") == "path" else names[schema["type"]]
    return ", ".join([name + "s" * plural, *_bounds(schema)])


def _bounds(schema: dict[str, Any]) -> Iterator[str]:
    for key, words in (
        ("minimum", "at least"),
        ("exclusiveMinimum", "above"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "below"),
    ):
        if key in schema:
            bound = schema[key]
            yield f"{words} {bound if abs(bound) < 2**31 else f'2^{bound.bit_length() - 1}'}"


def _listed(parts: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _table_of(annotation: Any) -> type[BaseModel] | None:
    """The model within the annotation: of the table itself, of a list's entries, or of a dictionary's values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, dict, Union, types.UnionType):
        return next(filter(None, map(_table_of, get_args(annotation))), None)
    return None


def _line(text: str) -> str:
    """A docstring on one line, with code in single backticks."""
    return " ".join(text.split()).replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
