"""The glance: a quick proof that a posted group would pass the door, made on arrays instead of Python numbers."""

from typing import Any

import numpy as np
import numpy.typing as npt
import simdjson

from .door import Door
from .posted import KEYS, REQUIRED, completed
from .storage.queued import QueuedGroup
from .wire import COUNT_LIMIT, GIVEN, TOKEN_LIMIT

_PER_TOKEN = ("advantages", "ref_logprobs", "inference_logprobs")
_EMPTY = ("messages", "overrides", "distill_token_ids", "distill_logprobs")
_FREE = ("generation_params", "group_overrides")

# It keeps its memory for the next body, about 14 times the largest one; a longer body is no case for a glance.
_parser = simdjson.Parser(max_capacity=4 << 20)


def glance(body: bytes, door: Door, longest: int) -> QueuedGroup | None:
    """The one group in ``body`` if a glance shows that ``door`` would let it pass, else None.

    Whatever is unusual is left to ``read_posted`` and the door, which also find the words for an error.

    Args:
        body: JSON of one group.
        door: its bounds.
        longest: tokens that the trainer takes in a sequence; 0 if it has not said so.
    """
    try:
        return _usual_group(body, door, door.longest(longest))
    except (ValueError, TypeError, RuntimeError):  # from simdjson: no JSON, another type, an impossible number
        return None


def _usual_group(body: bytes, door: Door, longest: int) -> QueuedGroup | None:
    posted: Any = _parser.parse(body)
    fields: dict[str, Any] = {name: posted[name] for name in posted} if isinstance(posted, simdjson.Object) else {}
    if len(fields) != len(posted) or not REQUIRED <= fields.keys() <= KEYS or not _usual_types(fields):
        return None
    lengths = [len(row) for row in fields["tokens"]]
    if not 1 <= len(lengths) <= door.max_sequences or not 1 <= min(lengths) <= max(lengths) <= longest:
        return None
    given = [fields["tokens"], fields["masks"], *(fields[name] for name in _PER_TOKEN if fields.get(name))]
    if any([len(row) for row in rows] != lengths for rows in given) or len(fields["scores"]) != len(lengths):
        return None
    lists = sum(isinstance(part, simdjson.Array) for part in fields.values()) + len(given) * len(lengths)
    inside = sum(fields[name].mini.count(b"[") for name in _FREE if fields.get(name))
    if _brackets(body) != lists + inside or b"\\" in body:  # "\u005b" is a bracket too
        return None  # a list in the place of a number would be flattened below
    for rows in (fields["scores"], *given[2:]):
        rows.as_buffer(of_type="d")  # raises if there is anything but finite numbers
    tokens, masks = _integers(fields["tokens"]), _integers(fields["masks"])
    if tokens.min() < 0 or tokens.max() >= TOKEN_LIMIT or not ((masks == GIVEN) | (masks == tokens)).all():
        return None
    return QueuedGroup(0, fields.get("env_id"), len(lengths), completed(body, fields))


def _usual_types(fields: dict[str, Any]) -> bool:
    """Whether the fields have the types that they should have, and those that need a closer look are empty."""
    lists = [fields[name] for name in REQUIRED]
    lists += [fields[name] for name in (*_PER_TOKEN, *_EMPTY) if fields.get(name) is not None]
    free = [fields[name] for name in _FREE if fields.get(name) is not None]
    env_id = fields.get("env_id")
    return (
        all(isinstance(part, simdjson.Array) for part in lists)
        and all(isinstance(part, simdjson.Object) and "weights_version" not in part for part in free)
        and not any(fields.get(name) for name in (*_EMPTY, "images"))
        and (env_id is None or (type(env_id) is int and abs(env_id) <= COUNT_LIMIT))
    )


def _brackets(body: bytes) -> int:
    count, at = 0, body.find(b"[")  # ``bytes.count`` takes five times as long where they are rare
    while at >= 0:
        count, at = count + 1, body.find(b"[", at + 1)
    return count


def _integers(rows: simdjson.Array) -> npt.NDArray[np.int64]:
    return np.frombuffer(rows.as_buffer(of_type="i"), np.int64)
