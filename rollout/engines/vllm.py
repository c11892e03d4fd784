"""The vLLM engine: vLLM's scheduler and model in this process, advanced step by step by plain calls."""

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...verifiers.errors import ConfigError, EngineError
from .engine import Completion, Engine, EngineInfo, Request, Sampling, Stop
from .local import LocalEngine
from .registry import EngineSetup
from .request_checks import check_length, check_tokens, check_version
from .vllm_process import process_kept, set_environment
from .weight_transport.layout import Layout, check_layout, layout_of
from .weight_transport.transport import Shipment

LOGPROBS = "logprobs"  # the request id of a running ``compute_logprobs``; generating requests have numbers

EXACT: dict[str, Any] = {
    "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
    "generation_config": "vllm",  # the folder's own sampling defaults and stop ids stay out
    "logprobs_mode": "processed_logprobs",  # of the distribution that was drawn from
    "async_scheduling": False,  # a step returns the tokens that it sampled, so versions are exact
    "disable_log_stats": True,
    "use_tqdm_on_load": False,
}

# On a CPU each prompt is computed whole and alone. Its bits then do not depend on other requests, and vLLM 0.29 cannot
# split the prompt of a seeded request there (it would rewind the generator, which CPU generators refuse).
WHOLE_PROMPTS = {"enforce_eager": True, "enable_prefix_caching": False, "enable_chunked_prefill": False}


@dataclass
class _Running:
    """A running request and the tokens that it has sampled so far."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    prompt: npt.NDArray[np.int32] | None = None
    """Set if a schema constrains the reply: vLLM's logprobs are then those of the constrained distribution, and the
    policy's own are computed from the prompt at the end."""

    def end(self, stop: Stop) -> Completion:
        return Completion(
            np.array(self.tokens, np.int32),
            np.array(self.logprobs, np.float32),
            np.array(self.versions, np.int32),
            stop,
        )


class VllmEngine:
    """An ``EngineCore`` over vLLM's ``LLMEngine``. It needs a process of its own, as vLLM has process-wide state.

    ``update`` between two steps is exact: a running request's cache is computed again under the new weights, and each
    of its tokens carries the version that sampled it. On a CPU, a request gives the same bits whatever else is running
    (eager float32, whole prompts, no prefix cache, a seed per request).

    Tried with vLLM 0.29 on CPU: float32, bfloat16, and two ranks (``tensor_parallel=2`` with
    ``VLLM_CPU_OMP_THREADS_BIND=nobind``), where vLLM starts a process for each rank and ``update`` is pickled to each.
    CUDA was not tried; only vLLM's source was read.

    Args:
        path: the model's folder; its tokenizer is only read for replies that a schema constrains.
        dtype: of weights and activations.
        context: most tokens of prompt and completion together.
        slots: most requests in one step.
        seed: vLLM's own; requests do not use it, as they bring theirs.
        gpu_memory: share of the GPU's memory to use; on a CPU the cache has ``VLLM_CPU_KVCACHE_SPACE`` GiB, default 1.
        tensor_parallel: GPUs to split the model over.
        version: of the weights in the folder; -1 refuses to generate before an ``update``.
        extra: further vLLM ``EngineArgs``, which replace those chosen here.

    Raises:
        ConfigError: vLLM is not installed, or cannot serve this model with these settings.
    """

    def __init__(
        self,
        path: str,
        *,
        dtype: str = "float32",
        context: int = 1024,
        slots: int = 64,
        seed: int = 0,
        gpu_memory: float = 0.85,
        tensor_parallel: int = 1,
        version: int = 0,
        extra: dict[str, Any] | None = None,
    ) -> None:
        on_cpu = not torch.cuda.is_available()
        set_environment(on_cpu)
        try:
            from vllm import EngineArgs
            from vllm.v1.engine.llm_engine import LLMEngine
        except ImportError as error:
            raise ConfigError(f"vLLM cannot be imported ({error}); see the README for how it is installed") from error
        settings: dict[str, Any] = EXACT | {
            "model": path,
            "dtype": dtype,
            "max_model_len": context,
            "max_num_seqs": slots,
            "seed": seed,
            "gpu_memory_utilization": gpu_memory,
            "tensor_parallel_size": tensor_parallel,
        }
        if on_cpu:
            settings |= WHOLE_PROMPTS | {"max_num_batched_tokens": max(2048, context + slots)}
        with process_kept():
            try:
                config = EngineArgs(**settings | (extra or {})).create_engine_config()
                # One more than the context: vLLM computes no logprobs of a prompt that leaves no room for a token.
                config.model_config.max_model_len = context + 1
                if on_cpu:
                    check_heads(path, config.model_config.get_head_size())
                self._engine: Any = LLMEngine.from_vllm_config(config)
            except (ValueError, TypeError, OSError, AssertionError, RuntimeError) as error:
                raise ConfigError(f"vLLM cannot serve {path} with these settings: {error}") from error
        self._path = path
        self._model_config = config.model_config
        self._context = context
        self._vocabulary = int(config.model_config.get_vocab_size())
        self._version = version
        self._generated = 0
        self._running: dict[int, _Running] = {}
        self._ended: list[tuple[int, Completion]] = []  # to be returned by the next step
        self._prompt_logprobs: list[float] | None = None
        self._constrained: list[tuple[int, _Running, bool]] = []  # ended, but without their logprobs

    def add(self, key: int, request: Request) -> None:
        """Queue a request.

        Raises:
            EngineError: weights too old for it, an id outside the vocabulary, or a temperature that vLLM cannot do.
        """
        check_version(self._version, request.version)
        check_tokens(request.prompt, self._vocabulary)
        if key in self._running:
            raise EngineError(f"request key {key} is already running")
        from vllm.inputs.engine import tokens_input

        params = self._params(request.sampling, self._context - len(request.prompt))
        if params is None:
            self._ended.append((key, _Running().end("length")))
            return
        self._engine.add_request(str(key), tokens_input(request.prompt.tolist()), params)
        self._running[key] = _Running(prompt=request.prompt if request.sampling.schema else None)

    def step(self) -> list[tuple[int, Completion]]:
        """Advance every running request by a token or a prefill; return those that ended."""
        self._advance()
        while self._constrained:
            key, running, stopped = self._constrained.pop()
            assert running.prompt is not None
            whole = np.concatenate([running.prompt, np.array(running.tokens, np.int32)])
            running.logprobs = self.compute_logprobs(whole)[running.prompt.size :].tolist()
            self._ended.append((key, running.end("stop" if stopped else "length")))
        ended, self._ended = self._ended, []
        return ended

    def abort(self, key: int) -> Completion:
        """End one request and return what it has; one that ended since the last step returns as it ended."""
        for place, (ended, completion) in enumerate(self._ended):
            if ended == key:
                del self._ended[place]
                return completion
        running = self._running.pop(key, None)
        if running is None:
            raise EngineError(f"no running request has the key {key}")
        self._engine.abort_request([str(key)])
        return running.end("abort")

    def compute_logprobs(self, tokens: npt.NDArray[np.int32], temperature: float = 1.0) -> npt.NDArray[np.float32]:
        """Logprob of each token given those before it; NaN first. Running requests advance meanwhile.

        Raises:
            EngineError: a temperature other than 1, which vLLM does not apply to prompts, or more than the context.
        """
        check_version(self._version)
        check_tokens(tokens, self._vocabulary)
        if temperature != 1:
            raise EngineError(f"vLLM computes logprobs at temperature 1 only, not {temperature}; use the torch engine")
        check_length(tokens, self._context)
        from vllm import SamplingParams
        from vllm.inputs.engine import tokens_input
        from vllm.sampling_params import RequestOutputKind

        logprobs = np.full(len(tokens), np.nan, np.float32)
        if len(tokens) > 1:
            params = SamplingParams(
                temperature=0,
                max_tokens=1,
                prompt_logprobs=0,
                flat_logprobs=True,
                detokenize=False,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            self._engine.add_request(LOGPROBS, tokens_input(tokens.tolist()), params)
            while self._prompt_logprobs is None:
                self._advance()
            logprobs[1:], self._prompt_logprobs = self._prompt_logprobs, None
        return logprobs

    def update(self, shipment: Shipment) -> str:
        """Load Hugging Face tensors into the running model and drop every cache of the old ones.

        Returns:
            The digest of what arrived; if it is wrong at any rank, that one, and the engine has no weights until the
            next update. It proves the delivery only, since vLLM fuses tensors; a probe of logprobs proves the effect.

        Raises:
            EngineError: a tensor is unknown, missing, or of another shape; the old weights then stay.
        """
        tied = {"lm_head.weight"} if self._model_config.hf_text_config.tie_word_embeddings else set()
        arriving = tuple(spec._replace(dtype="") for spec in shipment.layout)  # vLLM converts types
        check_layout(arriving, self._own_layout, optional=tied)
        self._version = -1  # until all of it has arrived
        digests: list[str] = self._engine.collective_rpc(load_weights, args=(shipment,))
        self._engine.reset_prefix_cache(reset_running_requests=True)
        for digest in digests:
            if digest != shipment.digest:
                return digest
        self._version = shipment.version
        return shipment.digest

    def info(self) -> EngineInfo:
        """The engine's kind and state."""
        from vllm import __version__
        from vllm.platforms import current_platform

        details = {"vllm": __version__, "device": current_platform.device_type, "dtype": str(self._model_config.dtype)}
        return EngineInfo("vllm", self._version, self._context, self._vocabulary, self._generated, details)

    def close(self) -> None:
        """Give back memory and processes; torch.distributed of this process is shut down too."""
        self._engine.engine_core.shutdown()

    def _advance(self) -> None:
        for output in self._engine.step():
            if output.request_id == LOGPROBS:
                self._prompt_logprobs = output.prompt_logprobs.logprobs
                continue
            key, new = int(output.request_id), output.outputs[0]
            running = self._running[key]
            running.tokens += new.token_ids
            running.logprobs += new.logprobs.logprobs
            running.versions += [self._version] * len(new.token_ids)
            self._generated += len(new.token_ids)
            if output.finished:
                del self._running[key]
                if running.prompt is not None:
                    self._constrained.append((key, running, new.finish_reason == "stop"))
                    continue
                self._ended.append((key, running.end("stop" if new.finish_reason == "stop" else "length")))

    def _params(self, sampling: Sampling, room: int) -> Any:
        """``sampling`` as vLLM's parameters; None if the context has no room for a token."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        if sampling.temperature and not 0.01 <= sampling.temperature <= 2:
            raise EngineError(f"vLLM samples at temperature 0 or 0.01 to 2, not at {sampling.temperature}")
        if sampling.schema and sampling.temperature not in (0, 1):
            raise EngineError(
                f"vLLM computes logprobs at temperature 1 only, so a reply with a schema is sampled at 0 or 1, not at "
                f"{sampling.temperature}; use the torch engine"
            )
        if room < 1:
            return None
        held = StructuredOutputsParams(json=sampling.schema) if sampling.schema else None
        return SamplingParams(
            structured_outputs=held,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=min(sampling.max_tokens, room),
            stop_token_ids=list(sampling.stop_ids),
            ignore_eos=True,  # only the request's own ids stop it
            seed=sampling.seed % 2**63,  # vLLM takes -1 for "no seed"
            logprobs=0,
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )

    @functools.cached_property
    def _own_layout(self) -> Layout:
        """The tensors as the trainer has them, before vLLM fuses any; without types."""
        from transformers import AutoConfig, AutoModelForCausalLM

        architecture: Any = AutoModelForCausalLM
        with torch.device("meta"):
            model = architecture.from_config(AutoConfig.from_pretrained(self._path))
        return tuple(spec._replace(dtype="") for spec in layout_of(model.state_dict()))


def open_engine(setup: EngineSetup) -> Engine:
    """The engine in this process, tensor parallel over its GPUs if they are several."""
    core = VllmEngine(
        setup.path,
        dtype=setup.dtype,
        slots=setup.slots,
        context=setup.context,
        tensor_parallel=max(1, int(setup.gpus)),
        version=setup.version,
        extra=dict(setup.options),
    )
    return LocalEngine(core)


def load_weights(worker: Any, shipment: Shipment) -> str:
    """Run in each vLLM worker: load the tensors, pack again what vLLM 0.29 leaves stale on a CPU, return the digest.

    vLLM's own reload packs linear layers again, but not an output layer that is tied to the embedding: its matrix
    product would go on using the copy that was packed at the start.
    """
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
    from vllm.platforms import current_platform

    receiver = shipment.open()
    worker.reload_weights(weights_iterator=receiver.receive(shipment))
    if current_platform.is_cpu():
        for layer in worker.get_model().modules():
            if isinstance(layer, ParallelLMHead):
                dispatch_cpu_unquantized_gemm(layer, remove_weight=False)
    return receiver.finish()


def check_heads(path: str, size: int) -> None:
    """Refuse head sizes that vLLM's CPU kernels do not have; vLLM itself fails only at the first token."""
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    sizes = CPUAttentionBackend.get_supported_head_sizes()
    if size not in sizes:
        raise ConfigError(f"{path} has attention heads of {size}; vLLM on a CPU runs {', '.join(map(str, sizes))}")
