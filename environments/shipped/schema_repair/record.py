"""Random record: an object with its JSON schema, which can also be written as a Pydantic model."""

import json
from random import Random
from typing import Any, NamedTuple

Schema = dict[str, Any]

_NAMES = (
    *("name", "city", "colour", "size", "status", "price", "weight", "stock", "rating", "owner", "code", "day"),
    *("active", "tags", "notes", "priority", "origin", "batch", "floor", "shelf", "unit", "grade", "route", "crew"),
)
_PARTS = ("address", "details", "contact", "storage", "delivery", "supplier", "warranty", "contract")
_WORDS = (
    "amber",
    "birch",
    "cobalt",
    "delta",
    "ember",
    "flint",
    "grove",
    "harbor",
    "indigo",
    "juniper",
    "kelp",
    "lumen",
)
_TITLES = ("Parcel", "Ticket", "Machine", "Course", "Booking", "Invoice", "Sample", "Vessel")


class Record(NamedTuple):
    """A value with its schema and a title."""

    title: str
    schema: Schema
    value: dict[str, Any]


def draw_record(rng: Random, fields: int, depth: int) -> Record:
    """A record with so many fields at its top, and objects inside of it down to ``depth``."""
    schema, value = _object(rng, fields, depth)
    return Record(rng.choice(_TITLES), schema, value)


def _object(rng: Random, fields: int, depth: int) -> tuple[Schema, dict[str, Any]]:
    made = {name: _field(rng) for name in rng.sample(_NAMES, fields)}
    if depth:
        made[rng.choice(_PARTS)] = _object(rng, max(2, fields // 2), depth - 1)
    properties = {name: schema for name, (schema, _) in made.items()}
    schema = {"type": "object", "properties": properties, "required": list(made), "additionalProperties": False}
    return schema, {name: value for name, (_, value) in made.items()}


def _field(rng: Random) -> tuple[Schema, Any]:
    least = rng.randint(0, 20)
    most = least + rng.randint(10, 200)
    words = rng.sample(_WORDS, 4)
    match rng.randrange(7):
        case 0:
            return {"type": "string", "minLength": 1, "maxLength": 40}, " ".join(words[:2])
        case 1:
            return {"type": "integer", "minimum": least, "maximum": most}, rng.randint(least, most)
        case 2:
            return {"type": "number", "minimum": least, "maximum": most}, rng.randint(4 * least, 4 * most) / 4
        case 3:
            return {"type": "boolean"}, rng.random() < 0.5
        case 4:
            return {"enum": words}, rng.choice(words)
        case 5:
            code = f"{rng.choice('ABCDEFGH')}{rng.choice('KLMNPQRS')}-{rng.randint(100, 999)}"
            return {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"}, code
    schema = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 4}
    return schema, words[: rng.randint(1, 4)]


def as_pydantic(record: Record) -> str:
    """The record's schema as the source of Pydantic models."""
    models: list[str] = []
    _model(record.title, record.schema, models)
    head = "from typing import Annotated, Literal\n\nfrom pydantic import BaseModel, ConfigDict, Field\n"
    return "\n\n".join([head, *models]).strip()


def _model(title: str, schema: Schema, models: list[str]) -> None:
    lines = [f"class {title}(BaseModel):", '    model_config = ConfigDict(strict=True, extra="forbid")', ""]
    for name, rule in schema["properties"].items():
        if rule.get("type") == "object":
            _model(name.capitalize(), rule, models)
        lines.append(f"    {name}: {_annotation(name, rule)}")
    models.append("\n".join(lines))


def _annotation(name: str, rule: Schema) -> str:
    if "enum" in rule:
        return f"Literal[{', '.join(json.dumps(word) for word in rule['enum'])}]"
    kinds = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "array": "list[str]"}
    kind = kinds.get(rule["type"], name.capitalize())
    words = {"minLength": "min_length", "maxLength": "max_length", "minItems": "min_length", "maxItems": "max_length"}
    words |= {"minimum": "ge", "maximum": "le", "pattern": "pattern"}
    bounds = [f"{words[key]}={json.dumps(value)}" for key, value in rule.items() if key in words]
    return f"Annotated[{kind}, Field({', '.join(bounds)})]" if bounds else kind
