"""Constraints for replies that follow a JSON schema: the tokens that may come next."""

import json
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ....verifiers.errors import ConfigError, EngineError
from ...models.tokenizer import load_tokenizer

_STYLE: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""White space as ``json.dumps`` writes it; JSON would allow any amount."""


class Constraint:
    """The constraint of one reply, made by ``Constraints``.

    The reply ends with a stop token, which is allowed only when the JSON is complete.
    """

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        from llguidance.numpy import allocate_token_bitmask

        self._matcher = matcher
        self._vocabulary = vocabulary
        self._bits = allocate_token_bitmask(1, vocabulary)

    def allowed(self) -> torch.Tensor:
        """A bool ``[vocabulary]``, the tokens that may come next."""
        from llguidance.numpy import fill_next_token_bitmask

        fill_next_token_bitmask(self._matcher, self._bits, 0)
        bits = np.unpackbits(self._bits[0].view(np.uint8), bitorder="little")[: self._vocabulary]
        return torch.from_numpy(bits.astype(np.bool_))

    def accept(self, token: int) -> None:
        """Note that the reply continued with ``token``, which was allowed."""
        if not self._matcher.is_stopped():
            self._matcher.consume_token(token)


class Constraints:
    """Makes constraints for one model.

    Args:
        path: the model's folder or Hub id, for its tokenizer.
        vocabulary: rows of its output layer.

    Raises:
        ConfigError: the extra is not installed.
    """

    def __init__(self, path: str, vocabulary: int) -> None:
        try:
            from llguidance import LLMatcher
            from llguidance.hf import from_tokenizer
        except ImportError:
            raise ConfigError("replies by a schema need the extra: pip install 'lachesis-rl[json]'") from None
        tokenizer: Any = load_tokenizer(path)
        self._vocabulary = vocabulary
        self._matcher = LLMatcher
        self._guide = lru_cache(maxsize=8)(lambda stops: from_tokenizer(tokenizer, vocabulary, list(stops)))

    def of(self, schema: str, stop_ids: tuple[int, ...]) -> Constraint:
        """The constraint of a new reply, which one of ``stop_ids`` ends.

        Raises:
            EngineError: the schema is not supported.
        """
        grammar = self._matcher.grammar_from_json_schema(json.loads(schema), overrides=_STYLE)
        matcher = self._matcher(self._guide(stop_ids), grammar)
        if matcher.is_error():
            raise EngineError(f"this schema is not supported: {matcher.get_error()[:200]}")
        return Constraint(matcher, self._vocabulary)
