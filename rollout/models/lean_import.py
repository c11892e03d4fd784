"""Imports transformers without the parts of other packages that an engine on a CPU never uses.

With every model, transformers 5 imports torch's compiler (to mark functions for GPUs), torch's distributed tensors with
sympy (for ranks), and scipy and scikit-learn where they are installed (for other tasks than language). That is about
90 MiB in each process.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from types import ModuleType
from typing import Any

from ...verifiers.errors import ConfigError

OTHER_TASKS = ("scipy", "sklearn")
"""Packages that transformers uses for object detection and for assisted generation."""

MODELS = ("transformers", "transformers.modeling_utils", "transformers.models.llama.modeling_llama")
"""Modules that import all that models share."""


def import_for_engine(device: str) -> None:
    """Call ``import_transformers`` if ``rollout.device`` leaves the CPU to an engine in this process.

    A version of transformers that cannot be imported in this way is imported as usual later.
    """
    from ..engines.device import choose_device

    with suppress(ConfigError, ImportError, AttributeError):  # the first is raised again when the engine is built
        if choose_device(device) == "cpu":
            import_transformers()


def import_transformers() -> None:
    """Import transformers, which then does without distributed tensors and ``OTHER_TASKS`` in this process.

    torch itself keeps all its parts: its compiler is imported when it is needed. But functions of transformers that are
    for GPUs, such as those for FP8, are not marked for it. So call this only in a process that computes on a CPU and
    has no ranks. It does nothing if transformers has been imported already.
    """
    if "transformers" in sys.modules:
        return
    import torch
    import torch.distributed  # also imports what must not meet the stand-ins
    import torch.nn.attention.flex_attention

    with _in_place_of(dict.fromkeys(OTHER_TASKS) | _compiler()):
        utils: Any = import_module("transformers.utils.import_utils")
        with _unavailable(torch.distributed):
            utils.is_torch_distributed_available()  # transformers asks once, and keeps the answer
        for name in MODELS:
            import_module(name)
    _build_models_on_cpu()


def _build_models_on_cpu() -> None:
    """Keep transformers from building models on ``meta`` before it loads them: that imports torch's compiler.

    On the CPU a model without random weights takes no more memory, since nothing is written to it before it is loaded.
    """
    import torch
    from transformers import PreTrainedModel, initialization

    model: Any = PreTrainedModel
    usual = model.get_init_context.__func__

    def contexts(kind: type[PreTrainedModel], *args: Any, **options: Any) -> list[Any]:
        kept = [context for context in usual(kind, *args, **options) if context != torch.device("meta")]
        return [*kept, initialization.no_init_weights()]

    model.get_init_context = classmethod(contexts)


def _compiler() -> dict[str, ModuleType]:
    """Stand-ins for the parts of torch's compiler that transformers uses while it is imported."""
    compiler: Any = ModuleType("torch._dynamo")
    compiler.__path__ = []
    compiler.allow_in_graph = compiler.assume_constant_result = _unmarked
    compiler.disable = lambda function=None, *_, **__: _unmarked if function is None else function
    tracing: Any = ModuleType("torch._dynamo._trace_wrapped_higher_order_op")
    tracing.TransformGetItemToIndex = lambda: import_module(tracing.__name__).TransformGetItemToIndex()
    return {compiler.__name__: compiler, tracing.__name__: tracing}


def _unmarked(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


@contextmanager
def _in_place_of(modules: dict[str, ModuleType | None]) -> Iterator[None]:
    """Let imports find ``modules``, where None is a package that is not installed; modules that are loaded stay."""
    known: dict[str, Any] = sys.modules
    placed = {name: module for name, module in modules.items() if name not in known}
    known.update(placed)
    try:
        yield
    finally:
        for name in placed:
            del known[name]


@contextmanager
def _unavailable(distributed: Any) -> Iterator[None]:
    kept = distributed.is_available
    distributed.is_available = lambda: False
    try:
        yield
    finally:
        distributed.is_available = kept
