"""The vLLM engine: vLLM's scheduler and model in this process, advanced step by step by plain calls."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ....verifiers.errors import ConfigError, EngineError, EngineStale
from ...models.loading import load_empty_model
from ..device import check_dtype, choose_device
from ..engine import Completion, Engine, EngineInfo, Request, Stop
from ..gpu_memory import MemoryNeed
from ..local import LocalEngine
from ..registry import EngineSetup
from ..request_checks import check_length, check_tokens, check_version
from ..running_request import RunningRequest
from ..stop_strings import watch_of
from ..weight_transport.transport import Shipment
from .folder import ModelFolder
from .in_worker import cpu_head_sizes, load_weights
from .process import end_with_workers, process_kept, set_environment, stages_shown
from .settings import EXACT, WHOLE_PROMPTS, check_build, check_heads, sampling_arguments


class VllmEngine:
    """An ``EngineCore`` over vLLM's ``LLMEngine``. It needs a process of its own, as vLLM has process-wide state.

    ``update`` between two steps is exact: a running request's cache is computed again under the new weights, and each
    of its tokens carries the version that sampled it. On a CPU, a request gives the same bits whatever else is running
    (eager float32, whole prompts, no prefix cache, a seed per request).

    On a GPU, vLLM's own defaults hold: CUDA graphs, and asynchronous scheduling, which begins a step before the last
    one's tokens are known. ``update`` first takes what has been begun, so versions stay exact.

    Tried with vLLM 0.29 on CPU: float32, bfloat16, and two ranks (``tensor_parallel=2`` with
    ``VLLM_CPU_OMP_THREADS_BIND=nobind``), where vLLM starts a process for each rank and ``update`` is pickled to each.
    An earlier state of it, without asynchronous scheduling, ran on an H200.

    Args:
        path: the model's folder; its tokenizer is only read for replies that a schema constrains.
        dtype: of weights and activations.
        context: most tokens of prompt and completion together.
        slots: most requests in one step.
        seed: vLLM's own; requests do not use it, as they bring theirs.
        device: ``cpu``, ``cuda`` or ``auto``; it has to be that of the vLLM that is installed.
        gpu_memory: share of the GPU's memory to use; on a CPU the cache has ``VLLM_CPU_KVCACHE_SPACE`` GiB, default 1.
        sleep: vLLM's level for ``sleep``; with 0 that does nothing.
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
        device: str = "auto",
        gpu_memory: float = 0.85,
        sleep: int = 0,
        tensor_parallel: int = 1,
        version: int = 0,
        extra: dict[str, Any] | None = None,
    ) -> None:
        self._path, self._context, self._sleep_level, self._asleep = path, context, sleep, False
        on_cpu = choose_device(device) == "cpu"
        set_environment(on_cpu)
        try:
            from vllm import EngineArgs
            from vllm.platforms import current_platform
            from vllm.v1.engine.llm_engine import LLMEngine
        except ImportError as error:
            raise ConfigError(f"vLLM cannot be imported ({error}); see the README for how it is installed") from error
        check_build(on_cpu, current_platform.device_type)
        settings: dict[str, Any] = EXACT | {
            "model": path,
            "dtype": dtype,
            "max_model_len": context,
            "max_num_seqs": slots,
            "seed": seed,
            "gpu_memory_utilization": gpu_memory,
            "tensor_parallel_size": tensor_parallel,
            "enable_sleep_mode": sleep > 0 and not on_cpu,
        }
        if on_cpu:
            settings |= WHOLE_PROMPTS | {"max_num_batched_tokens": max(2048, context + slots)}
        settings |= extra or {}
        with process_kept(), stages_shown():
            try:
                if not on_cpu:
                    self._check_gpu(settings)
                config = EngineArgs(**settings).create_engine_config()
                # One more than the context: vLLM computes no logprobs of a prompt that leaves no room for a token.
                config.model_config.max_model_len = context + 1
                if on_cpu:
                    check_heads(path, config.model_config.get_head_size(), cpu_head_sizes())
                self._engine: Any = LLMEngine.from_vllm_config(config)
            except (ValueError, TypeError, OSError, AssertionError, RuntimeError) as error:
                raise ConfigError(f"vLLM cannot serve {path} with these settings: {error}") from error
        self._folder = ModelFolder(path, dtype, extra or {}, sleep)
        self._model_config = config.model_config
        self._vocabulary = int(config.model_config.get_vocab_size())
        self._slots = int(config.scheduler_config.max_num_seqs)
        self._cache_tokens = int(config.cache_config.kv_cache_size_tokens or 0)
        self._version = version
        self._generated = 0
        self._names = map(str, itertools.count())  # of requests, inside vLLM; never used twice
        self._name_of: dict[int, str] = {}  # by the caller's key
        self._running: dict[str, RunningRequest] = {}  # by name
        self._ended: list[tuple[int, Completion]] = []  # to be returned by the next step
        self._probe = ""  # the name of a running ``compute_logprobs``
        self._prompt_logprobs: npt.NDArray[np.float32] | None = None
        self._constrained: list[tuple[RunningRequest, Stop]] = []  # ended, but without their logprobs

    def add(self, key: int, request: Request) -> None:
        """Queue a request.

        Raises:
            EngineError: weights too old for it, an id outside the vocabulary, or a temperature that vLLM cannot do.
        """
        self._check_awake()
        check_version(self._version, request.version)
        check_tokens(request.prompt, self._vocabulary)
        if key in self._name_of:
            raise EngineError(f"request key {key} is already running")
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        watch = watch_of(self._path, request.sampling.stop)
        running = RunningRequest(key, self._version, request.prompt if request.sampling.schema else None, watch)
        arguments, room = sampling_arguments(request.sampling), self._context - len(request.prompt)
        if room < 1:
            self._ended.append((key, running.end("length")))
            return
        schema = StructuredOutputsParams(json=request.sampling.schema) if request.sampling.schema else None
        arguments["max_tokens"] = min(arguments["max_tokens"], room)
        name = self._submit(request.prompt, SamplingParams(structured_outputs=schema, **arguments))
        self._name_of[key], self._running[name] = name, running

    def step(self) -> list[tuple[int, Completion]]:
        """Advance every running request by a token or a prefill; return those that ended."""
        self._advance()
        while self._constrained:
            running, stop = self._constrained.pop()
            assert running.prompt is not None
            completion = running.end(stop)
            whole = np.concatenate([running.prompt, completion.tokens])
            logprobs = self.compute_logprobs(whole)[running.prompt.size :]
            self._ended.append((running.key, replace(completion, logprobs=logprobs)))
        ended, self._ended = self._ended, []
        return ended

    def abort(self, key: int) -> Completion:
        """End one request and return what it has; one that ended since the last step returns as it ended."""
        for place, (ended, completion) in enumerate(self._ended):
            if ended == key:
                del self._ended[place]
                return completion
        if key not in self._name_of:
            raise EngineError(f"no running request has the key {key}")
        name = self._name_of.pop(key)
        self._engine.engine_core.abort_requests([name])
        return self._running.pop(name).end("abort")

    def compute_logprobs(self, tokens: npt.NDArray[np.int32], temperature: float = 1.0) -> npt.NDArray[np.float32]:
        """Logprob of each token given those before it; NaN first. It goes before all requests that wait.

        Raises:
            EngineError: a temperature other than 1, which vLLM does not apply to prompts, or more than the context.
        """
        self._check_awake()
        check_version(self._version)
        check_tokens(tokens, self._vocabulary)
        if temperature != 1:
            raise EngineError(f"vLLM computes logprobs at temperature 1 only, not {temperature}; use the torch engine")
        check_length(tokens, self._context)
        from vllm import SamplingParams

        logprobs = np.full(len(tokens), np.nan, np.float32)
        if len(tokens) > 1:
            params = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0, detokenize=False)
            self._probe = self._submit(tokens, params)
            self._put_first(self._probe)
            while self._prompt_logprobs is None:
                self._advance()
            logprobs[1:], self._prompt_logprobs = self._prompt_logprobs, None
        return logprobs

    def update(self, shipment: Shipment) -> str:
        """Load Hugging Face tensors, or the folder's with adapters added, and drop every cache of the old ones.

        Returns:
            The digest of what arrived; if it is wrong at any rank, that one, and the engine has no weights until the
            next update. It proves the delivery only, since vLLM fuses tensors; a probe of logprobs proves the effect.

        Raises:
            EngineError: the shipment does not fit (``ModelFolder.base_for``); the old weights then stay.
        """
        base = self._folder.base_for(shipment)
        self._drain()
        self._set_version(-1)  # until all of it has arrived
        if self._asleep:
            self._engine.wake_up(["weights"])
        digests: list[str] = self._engine.collective_rpc(load_weights, args=(shipment, base))
        if self._asleep:
            self._engine.wake_up(["kv_cache"])
            self._asleep = False
        self._engine.reset_prefix_cache(reset_running_requests=True)
        for digest in digests:
            if digest != shipment.digest:
                return digest
        self._set_version(shipment.version)
        return shipment.digest

    def sleep(self) -> None:
        """Give back the GPU memory of weights and caches until the next ``update``, if the engine has a sleep level.

        Running requests wait, and go on under the new weights.
        """
        if self._sleep_level and not self._asleep:
            self._drain()
            self._engine.sleep(self._sleep_level, mode="keep")
            self._asleep = True

    def info(self) -> EngineInfo:
        """The engine's kind and state."""
        from vllm import __version__
        from vllm.platforms import current_platform

        details = {"vllm": __version__, "device": current_platform.device_type, "dtype": str(self._model_config.dtype)}
        counts = self._version, self._context, self._vocabulary, self._generated
        adapters = self._folder.base is not None
        return EngineInfo("vllm", *counts, details, adapters, self._slots, self._cache_tokens)

    def close(self) -> None:
        """Give back memory and processes; torch.distributed of this process is shut down too."""
        self._engine.engine_core.shutdown()

    def _check_awake(self) -> None:
        if self._asleep:
            raise EngineStale("the engine sleeps until the next weights come")

    def _check_gpu(self, settings: dict[str, Any]) -> None:
        """Raise ``ConfigError`` if the first GPU lacks the type or the memory for the model."""
        check_dtype(settings["dtype"], torch.cuda.get_device_name(), torch.cuda.get_device_capability())
        if {"quantization", "kv_cache_memory_bytes"} & settings.keys() or not hasattr(torch, settings["dtype"]):
            return  # vLLM alone knows the sizes then
        gpus, model = settings["tensor_parallel_size"], load_empty_model(self._path, torch.float32)
        need = MemoryNeed.of(model, model.config, settings["dtype"], gpus)
        free, total = torch.cuda.mem_get_info()
        need.check(self._context, settings["gpu_memory_utilization"], total, free)

    def _submit(self, tokens: npt.NDArray[np.int32], params: Any) -> str:
        """Give vLLM a request, past its output processor, which would make Python objects for each token."""
        from vllm.inputs.engine import tokens_input

        name, tasks = next(self._names), self._engine.get_supported_tasks()
        made = self._engine.input_processor.process_inputs(name, tokens_input(tokens.tolist()), params, tasks)
        self._engine.engine_core.add_request(made)
        return name

    def _put_first(self, name: str) -> None:
        """Let a request go before all that wait; after an update these are all, as it sends running ones back."""
        scheduler = self._engine.engine_core.engine_core.scheduler
        request = scheduler.requests[name]
        scheduler.waiting.remove_request(request)
        scheduler.waiting.prepend_request(request)

    def _advance(self) -> None:
        for output in self._engine.engine_core.get_output().outputs:
            name = output.request_id
            if name == self._probe and output.new_prompt_logprobs_tensors is not None:
                self._prompt_logprobs = output.new_prompt_logprobs_tensors.logprobs[:, 0].numpy()
            running = self._running.get(name)
            if running is None:
                continue  # a probe, or a request that was aborted while vLLM computed its token
            logprobs = output.new_logprobs.logprobs if output.new_logprobs else None
            stopped = running.add(output.new_token_ids, logprobs)
            self._generated += len(output.new_token_ids)
            if stopped and not output.finished:
                self._engine.engine_core.abort_requests([name])
            if stopped or output.finished:
                del self._running[name], self._name_of[running.key]
                stop: Stop = "stop" if stopped or str(output.finish_reason) == "stop" else "length"
                if running.prompt is not None:
                    self._constrained.append((running, stop))
                else:
                    self._ended.append((running.key, running.end(stop)))

    def _drain(self) -> None:
        """Take the tokens of the steps that asynchronous scheduling has begun: they are of the weights held now."""
        from vllm.v1.core.sched.interface import PauseState

        core = self._engine.engine_core.engine_core
        core.scheduler.set_pause_state(PauseState.PAUSED_ALL)  # begin no further step
        while core.batch_queue:
            self._advance()
        core.scheduler.set_pause_state(PauseState.UNPAUSED)

    @property
    def executor(self) -> Any:
        """The object of vLLM that calls the model, in processes of its own if it is split over several."""
        return self._engine.model_executor

    def _set_version(self, version: int) -> None:
        self._version = version
        for running in self._running.values():
            running.set_version(version)


def open_engine(setup: EngineSetup) -> Engine:
    """The engine in this process, tensor parallel over its GPUs if they are several."""
    core = VllmEngine(
        setup.path,
        dtype=setup.dtype,
        slots=setup.slots,
        context=setup.context,
        device=choose_device(setup.device, setup.gpus),
        gpu_memory=setup.gpu_memory_utilization,
        sleep=setup.sleep,
        tensor_parallel=max(1, int(setup.gpus)),
        version=setup.version,
        extra=dict(setup.options),
    )
    if setup.own_process:
        end_with_workers(core.executor)
    return LocalEngine(core)
