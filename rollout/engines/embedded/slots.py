"""The running requests as rows of tensors, so that a step takes the same few operations for any number of requests."""

import numpy as np
import torch

from ..engine import Completion, Request, Stop
from ..stop_strings import StopWatch
from .sampling import uniforms


class Slots:
    """The state of every slot. Each tensor has one row for each slot; idle rows are computed, too, and mean nothing.

    Attributes:
        active: bool, whether a request runs in the slot.
        tokens: int64, the next input token.
        positions: int64, the position of that token.
        temperature, top_k, top_p, min_p: the request's sampling.
    """

    def __init__(self, count: int, context: int, device: torch.device) -> None:
        def rows(dtype: torch.dtype, *columns: int) -> torch.Tensor:
            return torch.zeros(count, *columns, dtype=dtype, device=device)

        self.context = context
        self.active = rows(torch.bool)
        self.tokens, self.positions = rows(torch.int64), rows(torch.int64)
        self.temperature, self.top_k, self.top_p = rows(torch.float32), rows(torch.int64), rows(torch.float32)
        self.min_p = rows(torch.float32)
        self._every = torch.arange(count, device=device)
        self._counts, self._limits = rows(torch.int64), rows(torch.int64)
        self._stop_ids = rows(torch.int64, 4)
        self._uniforms = rows(torch.float64, context)
        self._sampled, self._versions = rows(torch.int32, context), rows(torch.int32, context)
        self._logprobs = rows(torch.float32, context)
        self._watches: dict[int, StopWatch] = {}

    def begin(self, slot: int, request: Request, watch: StopWatch | None = None) -> None:
        """Start ``request`` in ``slot``, whose cache holds all of the prompt but its last token.

        ``watch`` looks for the stop strings in its reply.
        """
        sampling, length = request.sampling, len(request.prompt)
        limit = min(sampling.max_tokens, self.context - length)
        self.active[slot] = True
        self.tokens[slot] = int(request.prompt[-1])
        self.positions[slot] = length - 1
        self._counts[slot] = 0
        self._limits[slot] = limit
        self.temperature[slot] = sampling.temperature
        self.top_k[slot] = sampling.top_k
        self.top_p[slot] = sampling.top_p
        self.min_p[slot] = sampling.min_p
        self._uniforms[slot, :limit] = uniforms(sampling.seed, limit)
        self._set_stop_ids(slot, sampling.stop_ids)
        self._watches.pop(slot, None)
        if watch:
            self._watches[slot] = watch

    @property
    def sampling(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Temperature, top-k, top-p and min-p, as ``draw`` takes them."""
        return self.temperature, self.top_k, self.top_p, self.min_p

    def uniform(self) -> torch.Tensor:
        """Each slot's next random number, float64."""
        return self._uniforms[self._every, self._counts]

    def attended(self) -> int:
        """The number of tokens that the longest active slot attends to."""
        return int((self.positions * self.active).max()) + 1

    def record(self, tokens: torch.Tensor, logprobs: torch.Tensor, version: int) -> tuple[list[int], list[int]]:
        """Append the sampled tokens; return the slots that a stop id or string ended, and those that are full."""
        place = self._every, self._counts
        self._sampled[place] = tokens.int()
        self._logprobs[place] = logprobs
        self._versions[place] = version
        self._counts += self.active
        self.positions += self.active
        self.tokens = torch.where(self.active, tokens, self.tokens)
        stopped = self.active & (tokens[:, None] == self._stop_ids).any(-1)
        for slot, watch in self._watches.items():
            stopped[slot] |= watch.add(int(tokens[slot]))
        full = self.active & (self._counts >= self._limits) & ~stopped
        if not (stopped | full).any():
            return [], []
        return stopped.nonzero()[:, 0].tolist(), full.nonzero()[:, 0].tolist()

    def sampled(self, slot: int) -> np.ndarray:
        """The ids sampled so far, int32."""
        return self._sampled[slot, : int(self._counts[slot])].cpu().numpy()

    def end(self, slot: int, stop: Stop) -> Completion:
        """Free ``slot`` and return its completion."""
        self.active[slot] = False
        self._watches.pop(slot, None)
        count = int(self._counts[slot])
        tokens, logprobs, versions = (
            tensor[slot, :count].cpu().numpy().copy() for tensor in (self._sampled, self._logprobs, self._versions)
        )
        return Completion(tokens, logprobs, versions, stop)

    def _set_stop_ids(self, slot: int, stop_ids: tuple[int, ...]) -> None:
        missing = len(stop_ids) - self._stop_ids.shape[1]
        if missing > 0:
            self._stop_ids = torch.nn.functional.pad(self._stop_ids, (0, missing), value=-1)
        self._stop_ids[slot] = -1
        self._stop_ids[slot, : len(stop_ids)] = torch.tensor(stop_ids, dtype=torch.int64)
