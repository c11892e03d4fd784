"""Groups as they were posted: decoded and checked for their types, and kept as the same bytes if possible."""

from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from .door import Door
from .storage.queue import QueuedGroup
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
_AS_ZERO = bytes.maketrans(b"123456789", b"0" * 9)
_OPTIONAL = [field.name for field in msgspec.structs.fields(_Usual) if not field.required]


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
    values = {name: getattr(usual, name) for name in _OPTIONAL}
    values |= {name: None for name, value in values.items() if value is UNSET}
    return Posted(ScoredData(ids, masks, usual.scores, **values), _completed(usual, body))


def _completed(usual: _Usual, body: bytes) -> bytes:
    """``body`` with the keys that it lacks."""
    missing = [name for name in _OPTIONAL if getattr(usual, name) is UNSET]
    return body.rstrip()[:-1] + "".join(f',"{name}":null' for name in missing).encode() + b"}"


def glance(body: bytes, door: Door, longest: int) -> QueuedGroup | None:
    """The one group in ``body`` if a glance at the bytes shows that ``door`` would let it pass, else None.

    The ids become no numbers, which is half of the work. Whatever is unusual is left to ``read_posted`` and the door.

    Args:
        body: JSON of one group.
        door: its bounds.
        longest: tokens that the trainer takes in a sequence; 0 if it has not said so.
    """
    try:
        usual = _usual.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    if not len(usual.tokens) == len(usual.masks) == len(usual.scores) or len(usual.tokens) > door.max_sequences:
        return None
    lengths = []
    for tokens, mask in zip(usual.tokens, usual.masks, strict=True):
        row = bytes(tokens)
        length = _count_ids(row)
        if not 0 < length <= door.longest(longest) or not _is_plain(bytes(mask), row, length):
            return None
        lengths.append(length)
    for rows in (usual.advantages, usual.ref_logprobs, usual.inference_logprobs):
        if rows and [len(row) for row in rows] != lengths:
            return None
    if not lengths or usual.messages or usual.overrides or "weights_version" in (usual.generation_params or ()):
        return None
    return QueuedGroup(0, None if usual.env_id is UNSET else usual.env_id, len(lengths), _completed(usual, body))


def _count_ids(row: bytes) -> int:
    """How many ids are in a row of JSON that is known to be valid; 0 unless they are surely in range."""
    if not row[1:2].isdigit() or row.translate(None, b"0123456789, ") != b"[]" or b"0" * 10 in row.translate(_AS_ZERO):
        return 0
    return row.count(b",") + 1


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
