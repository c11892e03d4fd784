"""Checks of requests that every engine makes before it serves them."""

import numpy as np
import numpy.typing as npt

from ...verifiers.errors import EngineError, EngineStale


def check_version(held: int, needed: int = 0) -> None:
    """Raise ``EngineStale`` unless the engine holds weights, and at least version ``needed``."""
    if held < 0:
        raise EngineStale("the engine has no weights yet; update it before it is used")
    if held < needed:
        raise EngineStale(f"stale weights: the request needs version {needed}, the engine holds {held}")


def check_tokens(tokens: npt.NDArray[np.int32], vocabulary: int) -> None:
    """Raise ``EngineError`` unless ``tokens`` is one row of at least one id, all of them below ``vocabulary``."""
    if tokens.ndim != 1 or not len(tokens):
        raise EngineError(f"a prompt is one row of at least one token, found shape {tokens.shape}")
    outside = tokens[(tokens < 0) | (tokens >= vocabulary)]
    if len(outside):
        raise EngineError(f"token id {outside[0]} is outside the vocabulary of {vocabulary}")


def check_length(tokens: npt.NDArray[np.int32], context: int) -> None:
    """Raise ``EngineError`` if more ``tokens`` than the context are to be computed."""
    if len(tokens) > context:
        raise EngineError(f"the logprobs of {len(tokens)} tokens are asked for, more than the context of {context}")
