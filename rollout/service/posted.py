"""Groups as they were posted: decoded and checked for their types, and kept as the same bytes if possible."""

from collections.abc import Container
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from .wire import GIVEN, SCORED_DATA, SCORED_DATA_LIST, Count, Mask, ScoredData, Token, encode

_Row = list[list[float]] | UnsetType | None


class Posted(NamedTuple):
    """A group with its JSON."""

    group: ScoredData
    body: bytes
    """With all 14 keys."""


class _Usual(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What an environment usually posts; ids as bytes, so that a mask is compared with its tokens as bytes."""

    tokens: list[Raw]
    masks: list[Raw]
    scores: list[float]
    advantages: _Row = UNSET
    ref_logprobs: _Row = UNSET
    messages: list[list[dict[str, Any]]] | UnsetType | None = UNSET
    generation_params: dict[str, Any] | UnsetType | None = UNSET
    inference_logprobs: _Row = UNSET
    overrides: list[dict[str, Any]] | UnsetType | None = UNSET
    group_overrides: dict[str, Any] | UnsetType | None = UNSET
    images: Any = UNSET
    env_id: Annotated[int, Count] | UnsetType | None = UNSET
    distill_token_ids: UnsetType | None = UNSET
    distill_logprobs: UnsetType | None = UNSET


_usual = msgspec.json.Decoder(_Usual)
_rows = msgspec.json.Decoder(list[Raw])
_tokens = msgspec.json.Decoder(list[Annotated[int, Token]])
_mask = msgspec.json.Decoder(list[Annotated[int, Mask]])

KEYS = frozenset(field.name for field in msgspec.structs.fields(_Usual))
"""All keys of a group."""

REQUIRED = frozenset(field.name for field in msgspec.structs.fields(_Usual) if field.required)
"""The keys that it may not lack."""

_NOTHING = [(name, f',"{name}":null'.encode()) for name in sorted(KEYS - REQUIRED)]


def read_posted(body: bytes, *, many: bool) -> list[Posted]:
    """The groups in ``body``, one unless ``many``.

    A usual body is kept as it is, with the missing keys added. Any other is decoded by ``wire`` and written again.

    Raises:
        BadBody: it is not valid.
    """
    try:
        found = [_read_usual(bytes(raw)) for raw in _rows.decode(body)] if many else [_read_usual(body)]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        groups = (SCORED_DATA_LIST if many else SCORED_DATA).decode(body)
        return [Posted(group, encode(group)) for group in groups]
    return found


def _read_usual(body: bytes) -> Posted:
    usual = _usual.decode(body)
    tokens = [bytes(row) for row in usual.tokens]
    ids = [_integers(_tokens, row) for row in tokens]
    if len(usual.masks) != len(ids):
        raise msgspec.DecodeError("not as many masks as sequences")
    masks = [_read_mask(bytes(mask), row, own) for mask, row, own in zip(usual.masks, tokens, ids, strict=True)]
    values = {name: value for name in KEYS - REQUIRED if (value := getattr(usual, name)) is not UNSET}
    return Posted(ScoredData(ids, masks, usual.scores, **values), completed(body, REQUIRED | values.keys()))


def completed(body: bytes, present: Container[str]) -> bytes:
    """``body``, an object with the keys in ``present``, with null for every key that it lacks."""
    missing = b"".join(nothing for name, nothing in _NOTHING if name not in present)
    return b"".join((memoryview(body)[: body.rindex(b"}")], missing, b"}")) if missing else body


def _integers(decoder: msgspec.json.Decoder[list[int]], row: bytes) -> list[int]:
    if b"." in row or b"e" in row or b"E" in row:
        raise msgspec.DecodeError("a number that is to be written as an integer")
    return decoder.decode(row)


def _read_mask(mask: bytes, row: bytes, tokens: list[int]) -> list[int]:
    """The mask, without decoding it where it is plain."""
    if _is_plain(mask, row, len(tokens)):
        given = mask.count(b"-100")
        return [GIVEN] * given + tokens[given:]
    return _integers(_mask, mask)


def _is_plain(mask: bytes, row: bytes, length: int) -> bool:
    """Whether a mask is -100 for a prompt and then the same text as its row of ``length`` tokens."""
    unit = b"-100, " if mask.startswith(b"[-100, ") else b"-100,"
    given = mask.count(unit)
    rest = mask[1 + given * len(unit) :]
    return (
        mask == b"[" + unit * given + rest
        and 0 < len(rest) < len(row)
        and rest.count(b",") == length - given - 1
        and row.endswith(rest)
        and row[-len(rest) - 1] in b"[, "
    )
