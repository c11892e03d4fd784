"""The JSON bodies of the Atropos wire as typed records, decoded as leniently as the reference does it."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, get_type_hints

import msgspec

from ...verifiers.errors import DataError

if TYPE_CHECKING:  # it takes longer to import than all the rest, and only unusual bodies need it
    from pydantic import TypeAdapter

TOKEN_LIMIT = 2**31
"""Token ids are below this; a mask's entry lies between -100 and this."""

GIVEN = -100
"""The entry of a mask for a token that was given and not sampled."""

COUNT_LIMIT = 2**53
"""The largest size of a number that counts or names something."""

Token = msgspec.Meta(ge=0, lt=TOKEN_LIMIT)
Mask = msgspec.Meta(ge=GIVEN, lt=TOKEN_LIMIT)
Count = msgspec.Meta(ge=-COUNT_LIMIT, le=COUNT_LIMIT)
_Token = Annotated[int, Token]
_Mask = Annotated[int, Mask]
_Count = Annotated[int, Count]
_Size = Annotated[int, msgspec.Meta(ge=1, le=COUNT_LIMIT)]
_Weight = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
_DETAILS = 10
"""How many errors one answer lists at most."""
_LONGEST = 100
"""Characters of a name that is kept or repeated, whether of an environment or of a field in a free form."""


class ScoredData(msgspec.Struct, gc=False):
    """One group of scored sequences, as an environment posts it and a trainer gets it.

    Fields that are lists of lists are indexed [sequence][position]; the distillation fields also by [k].
    """

    tokens: list[list[_Token]]
    masks: list[list[_Mask]]
    """-100 where the token was given, the token's id where it was sampled. A row of 0 and 1 is accepted too."""
    scores: list[float]
    advantages: list[list[float]] | None = None
    ref_logprobs: list[list[float]] | None = None
    messages: list[list[dict[str, Any]]] | None = None
    generation_params: dict[str, Any] | None = None
    inference_logprobs: list[list[float]] | None = None
    """1.0 where the token was given."""
    overrides: list[dict[str, Any]] | None = None
    group_overrides: dict[str, Any] | None = None
    images: Any = None
    env_id: _Count | None = None
    distill_token_ids: list[list[list[_Token]]] | None = None
    distill_logprobs: list[list[list[float]]] | None = None


class Registration(msgspec.Struct):
    """What a trainer says of itself in ``POST /register``."""

    wandb_group: str
    wandb_project: str
    batch_size: _Size
    """Sequences, not groups."""
    max_token_len: _Count
    checkpoint_dir: str
    save_checkpoint_interval: _Count
    starting_step: _Count
    num_steps: _Count


class EnvironmentRegistration(msgspec.Struct):
    """What an environment says of itself in ``POST /register-env``."""

    max_token_length: _Size
    desired_name: Annotated[str, msgspec.Meta(max_length=_LONGEST)]
    weight: _Weight
    group_size: _Size
    min_batch_allocation: _Weight | None = None
    """Smallest share of every batch, from 0 to 1."""


class EnvironmentIdentifier(msgspec.Struct):
    """The body of ``POST /disconnect-env`` and of ``GET /status-env``."""

    env_id: _Count


class BadBody(DataError):
    """A body is not valid.

    Attributes:
        detail: one object for each error, with ``loc`` (the field and its indexes), ``msg`` and ``type``.
    """

    def __init__(self, detail: Sequence[dict[str, Any]]) -> None:
        self.detail = list(detail)
        super().__init__("; ".join(f"{place(error['loc'])}: {error['msg']}" for error in self.detail))


def place(loc: Sequence[str | int]) -> str:
    """The place of an error in words: ``tokens[3][17]``."""
    names = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc if part != "body"]
    return "".join(names).lstrip(".") or "body"


def refused(loc: Sequence[str | int], message: str, kind: str = "value_error") -> BadBody:
    """The error for one value: ``loc`` is its field and indexes, of which long ones are cut."""
    short = [part[:_LONGEST] if isinstance(part, str) else part for part in loc]
    return BadBody([{"type": kind, "loc": ["body", *short], "msg": message}])


_T = TypeVar("_T", bound=msgspec.Struct)


class Body(Generic[_T]):
    """A kind of body: decoded strictly and fast, and again leniently if that fails.

    The second way is pydantic's lax mode, as in the reference: ``"1"`` becomes 1, ``true`` becomes 1, unknown fields
    are dropped. Only it lets NaN and infinity through, and only its numbers may be out of range.
    """

    def __init__(self, record: type[_T], *, many: bool = False) -> None:
        self._strict = msgspec.json.Decoder(list[record] if many else record)  # type: ignore[valid-type]
        self._record = record
        self._many = many

    def decode(self, body: bytes | bytearray) -> list[_T]:
        """The records in ``body``; one unless it is a list.

        Raises:
            BadBody: it is not JSON, a field is missing or of the wrong type, or a number is not finite.
        """
        try:
            found = self._strict.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return self._decode_lax(bytes(body))
        return found if self._many else [found]  # type: ignore[return-value, list-item]

    @cached_property
    def _lax(self) -> "TypeAdapter[Any]":
        from pydantic import TypeAdapter, create_model

        hints = get_type_hints(self._record)
        fields = {
            field.name: (hints[field.name], ... if field.required else field.default)
            for field in msgspec.structs.fields(self._record)
        }
        model = create_model(self._record.__name__, **fields)  # type: ignore[call-overload]
        return TypeAdapter(list[model] if self._many else model)

    def _decode_lax(self, body: bytes) -> list[_T]:
        from pydantic import ValidationError

        try:
            found = self._lax.validate_json(body)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=False)[:_DETAILS]
            raise BadBody([{**detail, "loc": ["body", *detail["loc"]]} for detail in details]) from None
        records = []
        for index, model in enumerate(found if self._many else [found]):
            values = {name: getattr(model, name) for name in type(model).model_fields}
            prefix: list[str | int] = [index] if self._many else []
            for loc in _nonfinite(values, prefix):
                raise refused(loc, "the number is not finite; send a finite number", "finite_number")
            records.append(self._checked(values, prefix))
        return records

    def _checked(self, values: dict[str, Any], prefix: Sequence[str | int]) -> _T:
        try:
            return msgspec.convert(values, self._record)
        except msgspec.ValidationError as error:  # the type is right, so a number is out of range
            message, _, where = str(error).partition(" - at `$")
            raise refused([*prefix, *loc_of(where.rstrip("`"))], message, "out_of_range") from None
        except (OverflowError, RecursionError) as error:
            raise refused(prefix, str(error), "out_of_range") from None


def _nonfinite(value: Any, loc: list[str | int]) -> list[list[str | int]]:
    """Where the first number that is not finite stands in ``value``; empty if there is none."""
    if isinstance(value, float):
        return [] if math.isfinite(value) else [loc]
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            if found := _nonfinite(part, [*loc, key]):
                return found
    return []


def loc_of(path: str) -> list[str | int]:
    """A path as msgspec writes it (``.tokens[0][17]``) as a list."""
    parts = path.replace("[", ".").replace("]", "").split(".")
    return [int(part) if part.isdigit() else part for part in parts if part]


SCORED_DATA = Body(ScoredData)
SCORED_DATA_LIST = Body(ScoredData, many=True)
REGISTRATION = Body(Registration)
ENVIRONMENT_REGISTRATION = Body(EnvironmentRegistration)
ENVIRONMENT_IDENTIFIER = Body(EnvironmentIdentifier)

_encoder = msgspec.json.Encoder()


def encode(group: ScoredData) -> bytes:
    """``group`` as JSON with all its 14 keys.

    Raises:
        BadBody: a value cannot be written as JSON, for example half of a surrogate pair.
    """
    try:
        return _encoder.encode(group)
    except (ValueError, OverflowError, RecursionError, TypeError) as error:
        raise refused([], f"cannot be written as JSON: {error}") from None
