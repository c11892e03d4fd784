"""A request that an engine is computing: the tokens, logprobs and versions that it has so far."""

import numpy as np
import numpy.typing as npt

from .engine import Completion, Stop
from .stop_strings import StopWatch


class RunningRequest:
    """Collects what each step adds, and makes arrays of it once, at the end.

    Args:
        key: the caller's.
        version: of the weights that sample the next tokens.
        prompt: int32; kept if the logprobs have to be computed again at the end, else None. That is so if a schema
            constrains the reply: the engine's logprobs are then those of the constrained distribution.
        watch: looks for stop strings; None if there are none.
    """

    def __init__(
        self,
        key: int,
        version: int,
        prompt: npt.NDArray[np.int32] | None = None,
        watch: StopWatch | None = None,
    ) -> None:
        self.key, self.prompt = key, prompt
        self._watch = watch
        self._version = version
        self._tokens: list[int] = []
        self._logprobs: list[npt.NDArray[np.float32]] = []
        self._earlier: list[tuple[int, int]] = []  # versions before this one, and the number of tokens at their end

    def add(self, tokens: list[int], logprobs_NK: npt.NDArray[np.float32] | None) -> bool:
        """Append N sampled tokens, and their logprobs, which are the first of K columns.

        Returns:
            Whether a stop string ends the reply; tokens after the one that completes it are left out.
        """
        ended = False
        if self._watch:
            count = next((place for place, token in enumerate(tokens, 1) if self._watch.add(token)), 0)
            ended, tokens = count > 0, tokens[: count or None]
            logprobs_NK = None if logprobs_NK is None else logprobs_NK[: len(tokens)]
        self._tokens += tokens
        if logprobs_NK is not None:
            self._logprobs.append(logprobs_NK)
        return ended

    def set_version(self, version: int) -> None:
        """From the next token on, other weights sample."""
        self._earlier.append((self._version, len(self._tokens)))
        self._version = version

    def end(self, stop: Stop) -> Completion:
        """All that was sampled."""
        versions, ends = zip(*self._earlier, (self._version, len(self._tokens)), strict=True)
        return Completion(
            np.array(self._tokens, np.int32),
            np.concatenate([part[:, 0] for part in self._logprobs]) if self._logprobs else np.empty(0, np.float32),
            np.repeat(np.array(versions, np.int32), np.diff(ends, prepend=0)),
            stop,
        )
