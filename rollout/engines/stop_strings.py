"""Stop strings: where in a reply's tokens its text first contains one."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ...verifiers.errors import EngineError
from ..chats.codec import Codec
from ..models.tokenizer import load_tokenizer
from .engine import Completion, Sampling

Decode = Callable[[list[int]], str]

_MARGIN = 16
"""Tokens looked at beyond the bytes of the longest stop string: some are parts of a character, or have no text."""


class Ending(NamedTuple):
    """The end of a reply at a stop string.

    Attributes:
        tokens: the fewest tokens whose text contains the string.
        before: the text before the string.
        stop: the string.
    """

    tokens: int
    before: str
    stop: str


def find_stop(decode: Decode, tokens: list[int], stops: Sequence[str]) -> Ending | None:
    """The end of ``tokens`` at the first of ``stops`` in their text; None if no stop string is in it."""
    text = decode(tokens)
    found = [(at, stop) for stop in stops if (at := text.find(stop)) >= 0]
    if not found:
        return None
    _, first = min(found, key=lambda each: each[0] + len(each[1]))  # the one that was complete first
    least, most = 1, len(tokens)
    while least < most:
        middle = (least + most) // 2
        if first in decode(tokens[:middle]):
            most = middle
        else:
            least = middle + 1
    text = decode(tokens[:most])
    at, stop = min((text.find(stop), stop) for stop in stops if stop in text)
    return Ending(most, text[:at], stop)


def cut_at_stop(completion: Completion, decode: Decode, stops: Sequence[str]) -> Completion:
    """The completion up to the token that completes a stop string, for engines that do not know stop strings."""
    ending = find_stop(decode, completion.tokens.tolist(), stops) if stops else None
    return completion.cut(ending.tokens) if ending and ending.tokens < completion.tokens.size else completion


def surplus(shown: str, completion: Completion, decode: Decode, sampling: Sampling) -> int:
    """How many characters at the end of the text ``shown`` are left out: the stop string, and what its token adds.

    ``shown`` is the completion's text without a stop token.
    """
    ending = find_stop(decode, completion.tokens.tolist(), sampling.stop) if sampling.stop else None
    if ending is None:
        return 0
    kept = ending.before + (ending.stop if sampling.include_stop else "")
    return max(0, len(shown) - len(kept))


class StopWatch:
    """Looks for stop strings in a reply while it is sampled.

    Args:
        decode: the text of tokens, control tokens included.
        stops: the strings.
    """

    def __init__(self, decode: Decode, stops: Sequence[str]) -> None:
        self._decode, self._stops = decode, stops
        self._tokens: list[int] = []
        self._window = _MARGIN + max(len(stop.encode()) for stop in stops)

    def add(self, token: int) -> bool:
        """Whether the reply ends with this token, because its text now contains a stop string.

        Each token has at least one byte, so the end of the reply is enough to notice one, and decoding a token does not
        take longer in a long reply.
        """
        self._tokens.append(token)
        end = self._decode(self._tokens[-self._window :])
        return any(stop in end for stop in self._stops) and bool(find_stop(self._decode, self._tokens, self._stops))


def watch_of(path: str, stops: Sequence[str]) -> StopWatch | None:
    """The watch over a new reply of the model in folder ``path``; None without stop strings.

    Raises:
        EngineError: the engine was built without a folder, so it has no tokenizer.
    """
    if not stops:
        return None
    if not path:
        raise EngineError("stop strings need the model's tokenizer; build the engine from a folder")
    return StopWatch(_codec(path).decode, stops)


@lru_cache(maxsize=4)
def _codec(path: str) -> Codec:
    tokenizer: Any = load_tokenizer(path)
    return Codec(tokenizer.backend_tokenizer.to_str())
