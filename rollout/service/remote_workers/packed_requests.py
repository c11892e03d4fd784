"""Requests to the engine and their completions as bytes: MessagePack with raw arrays, so that every bit arrives."""

from typing import Annotated

import msgspec
import numpy as np

from ....verifiers.errors import DataError, EngineError
from ...engines.engine import Completion, Ids, Request, Sampling, Stop
from ..wire import loc_of, refused

_MOST_STOP_IDS = 1024
_INT = np.dtype("<i4")
_FLOAT = np.dtype("<f4")


class _PackedRequest(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    prompt: bytes
    sampling: Sampling
    version: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
    route: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _PackedCompletion(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    tokens: bytes
    logprobs: bytes
    versions: bytes
    stop: Stop


_requests = msgspec.msgpack.Decoder(_PackedRequest)
_completions = msgspec.msgpack.Decoder(_PackedCompletion)


def pack_request(request: Request) -> bytes:
    """The request as bytes."""
    prompt = request.prompt.astype(_INT, copy=False).tobytes()
    return msgspec.msgpack.encode(_PackedRequest(prompt, request.sampling, request.version, request.route))


def unpack_request(body: bytes, *, context: int, vocabulary: int, version: int) -> Request:
    """The request in ``body``, if the engine can serve it.

    Args:
        body: from ``pack_request``.
        context: most tokens of prompt and completion together.
        vocabulary: token ids are below it.
        version: the newest of the weights.

    Raises:
        BadBody: with the field.
    """
    try:
        packed = _requests.decode(body)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise refused(loc_of(where.rstrip("`")), message, "type") from None
    except DataError as error:  # a value of the sampling is impossible
        raise refused(["sampling"], str(error), "out_of_range") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise refused([], f"not MessagePack: {error}", "format") from None
    if len(packed.prompt) % _INT.itemsize or not 0 < len(packed.prompt) // _INT.itemsize <= context:
        message = f"a prompt has 1 to {context} ids of {_INT.itemsize} bytes, found {len(packed.prompt)} bytes"
        raise refused(["prompt"], message, "size")
    prompt: Ids = np.frombuffer(packed.prompt, _INT).astype(np.int32)
    if (bad := (prompt < 0) | (prompt >= vocabulary)).any():
        at = int(bad.argmax())
        raise refused(["prompt", at], f"a token id is 0 to {vocabulary - 1}, found {prompt[at]}", "out_of_range")
    _check_sampling(packed.sampling)
    if packed.version > version:
        raise refused(["version"], f"{packed.version} is no version of the weights, the newest is {version}", "version")
    return Request(prompt, packed.sampling, packed.version, packed.route)


def _check_sampling(sampling: Sampling) -> None:
    numbers = {"top_k": sampling.top_k, "max_tokens": sampling.max_tokens, "seed": sampling.seed}
    for name, most in (("top_k", 2**31), ("max_tokens", 2**31), ("seed", 2**63)):
        if not 0 <= numbers[name] < most:
            raise refused(["sampling", name], f"0 to {most - 1}, found {numbers[name]}", "out_of_range")
    if len(sampling.stop_ids) > _MOST_STOP_IDS or not all(0 <= token < 2**31 for token in sampling.stop_ids):
        raise refused(["sampling", "stop_ids"], f"at most {_MOST_STOP_IDS} ids from 0 to {2**31 - 1}", "out_of_range")


def pack_completion(completion: Completion) -> bytes:
    """The completion as bytes."""
    return msgspec.msgpack.encode(
        _PackedCompletion(
            completion.tokens.astype(_INT, copy=False).tobytes(),
            completion.logprobs.astype(_FLOAT, copy=False).tobytes(),
            completion.versions.astype(_INT, copy=False).tobytes(),
            completion.stop,
        )
    )


def unpack_completion(body: bytes) -> Completion:
    """The completion in ``body``.

    Raises:
        EngineError: it is not whole.
    """
    try:
        packed = _completions.decode(body)
        tokens = np.frombuffer(packed.tokens, _INT).astype(np.int32)
        logprobs = np.frombuffer(packed.logprobs, _FLOAT).astype(np.float32)
        versions = np.frombuffer(packed.versions, _INT).astype(np.int32)
    except (msgspec.DecodeError, ValueError) as error:
        raise EngineError(f"the service's answer is no completion ({error}); do both run the same release?") from None
    if not tokens.size == logprobs.size == versions.size:
        found = f"{tokens.size} tokens, {logprobs.size} logprobs and {versions.size} versions"
        raise EngineError(f"a completion has as many tokens as logprobs and versions, found {found}")
    return Completion(tokens, logprobs, versions, packed.stop)
