"""Loading models from Hugging Face folders, with one clear line if that fails."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GenerationConfig,
    PreTrainedModel,
)

from ...verifiers.errors import ConfigError
from .tokenizer import refusal


def load_model(path: str, dtype: torch.dtype, device: str | torch.device) -> PreTrainedModel:
    """The causal language model in folder (or of Hub id) ``path``, in eval mode, with SDPA attention.

    Raises:
        ConfigError: there is no such model, or it is not a causal language model.
    """
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, attn_implementation="sdpa")
    except (OSError, ValueError, KeyError, RuntimeError, AssertionError, SafetensorError) as error:
        # no folder or files; an unknown architecture; weights of another shape, or cut off
        raise ConfigError(refusal(path, "causal language model", error)) from error
    return _placed(model, path, device)


def _placed(model: Any, path: str, device: str | torch.device) -> PreTrainedModel:
    """The model on its device, ready to compute rows of any shape.

    Raises:
        ConfigError: the device has too little memory.
    """
    leave_cudnn_attention()
    size = sum(parameter.nbytes for parameter in model.parameters())
    try:
        return cast(PreTrainedModel, model.to(device).eval())
    except torch.OutOfMemoryError as error:
        free, total = torch.cuda.mem_get_info(device)
        most = free / size * model.num_parameters()
        raise ConfigError(
            f"{path!r} has {size / 2**30:.1f} GiB of weights, and {free / 2**30:.1f} of {total / 2**30:.1f} GiB are "
            f"free on {device}: give a model of at most {most / 1e9:.2g} billion parameters, or use another GPU"
        ) from error


def leave_cudnn_attention() -> None:
    """Keep torch from cuDNN's attention, which compiles a plan for each new shape, about a second each.

    It holds for this process, with its threads and backward passes.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


def load_sequence_classifier(path: str, dtype: torch.dtype | str, device: str | torch.device) -> PreTrainedModel:
    """The sequence classifier in folder (or of Hub id) ``path``, in eval mode.

    Raises:
        ConfigError: there is no such model, or its outputs have no weights, as in a language model.
    """
    loads: Any = AutoModelForSequenceClassification.from_pretrained
    try:
        model, found = loads(path, dtype=dtype, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError, AssertionError, SafetensorError) as error:
        raise ConfigError(refusal(path, "sequence classifier", error)) from error
    if lacking := sorted(found["missing_keys"]):
        raise ConfigError(
            f"{path!r} has no weights for {', '.join(lacking)[:160]}, so its outputs would be random; give a reward "
            "model or another sequence classifier, not a language model"
        )
    return _placed(model, path, device)


def load_empty_model(path: str, dtype: torch.dtype) -> PreTrainedModel:
    """The same model without its weights: its parameters are on ``meta`` and take no memory, its buffers are not.

    Raises:
        ConfigError: there is no such model, or it is not a causal language model.
    """
    try:
        with _parameters_on_meta():
            config = AutoConfig.from_pretrained(path)
            make: Any = AutoModelForCausalLM.from_config
            model = make(config, dtype=dtype, attn_implementation="sdpa")
        with suppress(OSError):  # few folders lack one
            model.generation_config = GenerationConfig.from_pretrained(path)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(refusal(path, "causal language model", error)) from error
    return cast(PreTrainedModel, model.eval())


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Put all parameters that modules get within the context on ``meta``."""
    register = nn.Module.register_parameter

    def register_on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and not parameter.is_meta:
            parameter = nn.Parameter(parameter.to("meta"), parameter.requires_grad)
        register(module, name, parameter)

    kind: Any = nn.Module
    kind.register_parameter = register_on_meta
    try:
        yield
    finally:
        kind.register_parameter = register


def check_context(model: PreTrainedModel, context: int) -> None:
    """Raise ``ConfigError`` unless ``model`` can attend to all of ``context`` tokens in every layer."""
    config = model.config.get_text_config()
    longest = getattr(config, "max_position_embeddings", None) or context
    if context > longest:
        raise ConfigError(
            f"a context of {context} is more than the model's {longest} positions; lower model.context or --context"
        )
    kinds = set(getattr(config, "layer_types", None) or ["sliding_attention"])  # else the window is everywhere
    window = getattr(config, "sliding_window", None) or context
    if kinds - {"full_attention", "sliding_attention"} or ("sliding_attention" in kinds and window < context):
        raise ConfigError(
            f"only full attention is computed here, found {sorted(kinds)} with a window of {window} tokens in "
            f"{config.model_type}; lower model.context to the window"
        )
