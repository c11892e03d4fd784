"""The embedded default engine: continuous batching of a Hugging Face causal language model over fixed slots.

Equal requests with equal seeds under equal weights give equal bits, whatever else is running (CPU, float32, one
thread). These are the conditions for that, found by trying (torch 2.13, MKL, AVX-512):

- Linear layers: a row has the same bits in all batches of 4 to 1200 rows, and others in batches of 1 to 3; on CPUs with
  AMX, in batches of up to 10. So every decoding step runs all slots, of which there are at least four, and the output
  layer runs in decoding steps only: a prefill, which has 16 rows or more, computes all but the last token of a prompt,
  and the first decoding step computes that one. Engines of 10 slots and of 64 may give different bits.
- Attention while decoding: masked tokens at the end change no bits if the attended length is a multiple of 16. With
  four or more query heads for a key head and more than 256 tokens, nearly any change of length changes bits; the engine
  then attends to the whole context (``SlotCache.exact_block`` tries this out).
- Attention in a prefill: a prompt is padded to a multiple of 16, and batched only with prompts of the same padded
  length. The rows of a batch do not affect each other.
- Every draw uses the random number of its request and of its position in the completion (``sampling.uniforms``).

Not covered: mixtures of experts, where the rows of an expert depend on the other requests; CUDA; bfloat16.
"""

import logging
from collections import deque
from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from ....verifiers.errors import ConfigError, EngineError
from ...models.loading import check_context, load_empty_model, load_model
from ..device import check_dtype, choose_device
from ..engine import Completion, Engine, EngineInfo, Request, Stop
from ..gpu_memory import MemoryNeed
from ..local import LocalEngine
from ..registry import EngineSetup
from ..request_checks import check_length, check_tokens, check_version
from ..stop_strings import watch_of
from ..weight_transport.base_weights import BaseWeights
from ..weight_transport.transport import Shipment
from .arriving_weights import check_fits, load
from .cache import BLOCK, SlotCache, blocks
from .constraint import Constraint, Constraints
from .prefill import batches, padded
from .sampling import draw
from .slots import Slots

log = logging.getLogger("lachesis")

SLOW_ON_GPU = (
    "the torch engine on a GPU waits for kernel launches (on an H200 1.9k tokens/s, where vLLM had 9.9k); "
    "set rollout.engine = 'vllm'"
)


class TorchEngine:
    """An ``EngineCore`` in plain torch.

    ``update`` between two steps is exact: the caches of running requests are computed again under the new weights, and
    each token carries the version that sampled it.

    Args:
        model: a causal language model with full attention in every layer; the engine will change its weights.
        slots: number of requests that run together; at least 4.
        context: most tokens of prompt and completion together.
        version: of the model's weights; with -1 the engine refuses to generate before an ``update``.

    Raises:
        ConfigError: the model or the sizes do not fit.
    """

    def __init__(self, model: PreTrainedModel, *, slots: int = 64, context: int = 1024, version: int = 0) -> None:
        if slots < 4:
            raise ConfigError(f"the torch engine has at least 4 slots, found {slots}: fewer rows give other bits")
        check_context(model, context)
        self.model = cast(Any, model)
        self.model.eval()
        self._version, self._context = version, context
        self._vocabulary = self.model.get_output_embeddings().weight.shape[0]
        self._slots = Slots(slots, context, model.device)
        self._cache = SlotCache(slots, context, model.device)
        self._columns = torch.arange(self._cache.capacity, device=model.device)
        self._prefixes: list[bytes] = [b""] * slots  # the ids whose keys and values each slot holds
        self._keys: set[int] = set()  # queued, running, or ended and not yet returned
        self._queue: deque[tuple[int, Request]] = deque()
        self._running: dict[int, tuple[int, Request]] = {}  # by slot
        self._ended: list[tuple[int, Completion]] = []  # to be returned by the next step
        self._path = ""  # of the tokenizer, for replies by a schema
        self._base: BaseWeights | None = None  # what adapters are added to, until all weights are replaced
        self._constraints: Constraints | None = None
        self._held: dict[int, Constraint] = {}  # by slot
        self._generated = 0
        self._block = BLOCK
        self._logits()  # allocates the cache
        self._block = self._cache.exact_block(model.config.get_text_config().num_attention_heads)

    @classmethod
    def from_path(
        cls,
        path: str,
        *,
        dtype: str = "float32",
        device: str = "cpu",
        slots: int = 64,
        context: int = 1024,
        version: int = 0,
    ) -> "TorchEngine":
        """The engine of the model in folder ``path``; ``dtype`` is torch's name of a floating-point type."""
        engine = cls(load_model(path, getattr(torch, dtype), device), slots=slots, context=context, version=version)
        engine._path = path
        engine._base = BaseWeights.of(path, engine.model, getattr(torch, dtype))
        return engine

    def add(self, key: int, request: Request) -> None:
        """Queue a request.

        Raises:
            EngineError: weights too old for it, no prompt, an id outside the vocabulary, or a key in use.
        """
        check_version(self._version, request.version)
        check_tokens(request.prompt, self._vocabulary)
        if key in self._keys:
            raise EngineError(f"request key {key} is in use")
        if request.sampling.schema:
            self._constraint(request)  # refused now, if at all
        watch_of(self._path, request.sampling.stop)
        self._keys.add(key)
        if len(request.prompt) >= self._context:
            self._ended.append((key, _nothing("length")))
        else:
            self._queue.append((key, request))

    @torch.no_grad()
    def step(self) -> list[tuple[int, Completion]]:
        """Prefill queued requests into free slots, then advance all by a token; return those that ended."""
        self._admit()
        if self._running:
            self._advance()
        ended, self._ended = self._ended, []
        self._keys.difference_update(key for key, _ in ended)
        return ended

    def abort(self, key: int) -> Completion:
        """End one request and return what it has; one that ended since the last step returns as it ended.

        Raises:
            EngineError: no request has this key.
        """
        if key not in self._keys:
            raise EngineError(f"no request has the key {key}")
        self._keys.remove(key)
        for place, (ended, completion) in enumerate(self._ended):
            if ended == key:
                del self._ended[place]
                return completion
        for slot, (running, _) in self._running.items():
            if running == key:
                del self._running[slot]
                return self._slots.end(slot, "abort")
        self._queue = deque(waiting for waiting in self._queue if waiting[0] != key)
        return _nothing("abort")

    @torch.no_grad()
    def compute_logprobs(self, tokens: npt.NDArray[np.int32], temperature: float = 1.0) -> npt.NDArray[np.float32]:
        """Logprob, float32, of each token given those before it; the first is NaN; temperature 0 counts as 1.

        Raises:
            EngineError: no weights yet, no tokens, an id outside the vocabulary, or more tokens than the context.
        """
        check_version(self._version)
        check_tokens(tokens, self._vocabulary)
        check_length(tokens, self._context)
        ids = torch.from_numpy(np.asarray(tokens, np.int64)).to(self.model.device)
        logits = self.model(input_ids=ids[None], use_cache=False).logits[0, :-1].float() / (temperature or 1.0)
        picked = logits.gather(1, ids[1:, None])[:, 0] - logits.logsumexp(-1)
        return np.concatenate([np.full(1, np.nan, np.float32), picked.cpu().numpy()])

    @torch.no_grad()
    def update(self, shipment: Shipment) -> str:
        """Copy new weights in, or add adapters to those of the folder; compute running requests' caches again.

        Returns:
            The digest of what arrived. If it is not the shipment's, the engine has no weights until the next update.

        Raises:
            EngineError: the shipment does not fit (``check_fits``), and the old weights stay; or ``load`` failed.
        """
        check_fits(self.model, shipment, self._base)
        self._version = -1  # until all of it has arrived
        self._base = self._base if shipment.adapters else None
        digest = load(self.model, shipment, self._base)
        if digest != shipment.digest:
            return digest
        self._version = shipment.version
        self._prefixes = [b""] * len(self._prefixes)
        self._prefill(
            (slot, np.concatenate([request.prompt, self._slots.sampled(slot)])[:-1])
            for slot, (_, request) in self._running.items()
        )
        return digest

    def sleep(self) -> None:
        """Nothing: this engine keeps its memory."""

    def info(self) -> EngineInfo:
        """The engine's kind and state."""
        details = {
            "model": self.model.config.model_type,
            "device": str(self.model.device),
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }
        counts = self._version, self._context, self._vocabulary, self._generated
        slots = len(self._prefixes)
        return EngineInfo("torch", *counts, details, self._base is not None, slots, slots * self._context)

    def close(self) -> None:
        """Give back the cache's memory."""
        self._cache = SlotCache(0, 0, self.model.device)

    def _admit(self) -> None:
        free = [slot for slot in range(len(self._prefixes)) if slot not in self._running] if self._queue else []
        admitted = [(slot, *self._queue.popleft()) for slot in free[: len(self._queue)]]
        self._prefill((slot, request.prompt[:-1]) for slot, _, request in admitted)
        for slot, key, request in admitted:
            self._slots.begin(slot, request, watch_of(self._path, request.sampling.stop))
            self._held.pop(slot, None)
            if request.sampling.schema:
                self._held[slot] = self._constraint(request)
            self._running[slot] = key, request

    def _prefill(self, prefixes: Iterable[tuple[int, npt.NDArray[np.int32]]]) -> None:
        """Fill slots' caches: each prefix is computed once, or copied from a slot that holds it already."""
        wanted = {slot: ids.astype(np.int32).tobytes() for slot, ids in prefixes}
        holders = {held: slot for slot, held in enumerate(self._prefixes) if held}
        fresh: dict[bytes, list[int]] = {}
        copies: list[tuple[int, int]] = []
        for slot, prefix in wanted.items():
            if prefix == self._prefixes[slot]:
                continue  # an idle slot keeps the prompt of its last request
            if prefix in holders:
                copies.append((holders[prefix], slot))
            elif prefix:
                fresh.setdefault(prefix, []).append(slot)
            self._prefixes[slot] = b""  # until it is computed
        if copies:  # before anything is overwritten
            sources, targets = (list(slots) for slots in zip(*copies, strict=True))
            self._cache.copy(sources, targets, max(len(wanted[slot]) for slot in targets) // 4)
        for batch in batches(fresh):
            self._prefill_batch(batch, [fresh[prefix] for prefix in batch])
        for slot, prefix in wanted.items():
            self._prefixes[slot] = prefix

    def _prefill_batch(self, prefixes: list[bytes], slots: list[list[int]]) -> None:
        """Compute prefixes of one padded length, and write each to its slots."""
        device, length = self.model.device, padded(prefixes[0])
        ids = np.zeros((len(prefixes), length), np.int64)
        for row, prefix in zip(ids, prefixes, strict=True):
            row[: len(prefix) // 4] = np.frombuffer(prefix, np.int32)
        rows = [row for row, targets in enumerate(slots) for _ in targets]
        self._cache.prefill(
            torch.tensor([slot for targets in slots for slot in targets], device=device),
            torch.tensor(rows, device=device),
        )
        columns = self._columns[:length]
        self.model.base_model(  # no output layer, since nothing is sampled here
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=self._mask(columns[None], length),
            position_ids=columns[None].expand(len(prefixes), -1),
            past_key_values=self._cache,
            use_cache=True,
        )

    def _advance(self) -> None:
        """Sample one token in every slot."""
        slots = self._slots
        allowed = {
            slot: self._held[slot].allowed().to(self.model.device) for slot in self._running if slot in self._held
        }
        logits = self._logits()
        tokens, logprobs = draw(logits, *slots.sampling, slots.uniform(), allowed)
        if not (logprobs.isfinite() | ~slots.active).all():
            self._cache.clear()
            self._prefixes = [b""] * len(self._prefixes)
            raise EngineError(
                f"weights version {self._version} gives logits that are not finite; has training diverged?"
            )
        self._generated += len(self._running)
        for slot in allowed:
            self._held[slot].accept(int(tokens[slot]))
        stopped, full = slots.record(tokens, logprobs, self._version)
        for slot in stopped:
            self._ended.append((self._running.pop(slot)[0], slots.end(slot, "stop")))
        for slot in full:
            self._ended.append((self._running.pop(slot)[0], slots.end(slot, "length")))

    def _constraint(self, request: Request) -> Constraint:
        if self._constraints is None:
            try:
                self._constraints = Constraints(self._path, self._vocabulary)
            except ConfigError as error:
                raise EngineError(str(error)) from None
        return self._constraints.of(request.sampling.schema, request.sampling.stop_ids)

    @torch.no_grad()
    def _logits(self) -> torch.Tensor:
        """Feed every slot its next token; the logits after it, float32 ``[slots, vocabulary]``."""
        slots = self._slots
        length = min(blocks(slots.attended(), self._block), self._cache.capacity)
        self._cache.decode(slots.positions, length)
        output = self.model(
            input_ids=slots.tokens[:, None],
            attention_mask=self._mask(slots.positions[:, None], length),
            position_ids=slots.positions[:, None],
            past_key_values=self._cache,
            use_cache=True,
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def _mask(self, positions: torch.Tensor, length: int) -> torch.Tensor:
        """Additive ``[rows, 1, queries, length]``: a query at a position ``[rows, queries]`` sees up to itself."""
        lowest = torch.finfo(self.model.dtype).min
        hidden = self._columns[:length] > positions[:, None, :, None]
        return torch.zeros(hidden.shape, dtype=self.model.dtype, device=hidden.device).masked_fill_(hidden, lowest)


def open_engine(setup: EngineSetup) -> Engine:
    """The engine on the device that ``rollout.device`` chooses."""
    device = choose_device(setup.device, setup.gpus)
    if device == "cuda":
        check_dtype(setup.dtype, torch.cuda.get_device_name(), torch.cuda.get_device_capability())
        log.warning("%s", SLOW_ON_GPU)
        empty = load_empty_model(setup.path, torch.float32)
        need = MemoryNeed.of(empty, empty.config, setup.dtype)
        need.check_slots(setup.slots, blocks(setup.context), torch.cuda.mem_get_info()[0])
    core = TorchEngine.from_path(
        setup.path,
        dtype=setup.dtype,
        slots=setup.slots,
        context=setup.context,
        device=device,
        version=setup.version,
    )
    return LocalEngine(core)


def _nothing(stop: Stop) -> Completion:
    return Completion(np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.int32), stop)
