"""What runs inside vLLM's workers, or asks about their kernels."""

from typing import Any

from ..weight_transport.base_weights import BaseWeights
from ..weight_transport.transport import Shipment


def load_weights(worker: Any, shipment: Shipment, base: BaseWeights | None) -> str:
    """Run in each vLLM worker: load the tensors, pack again what vLLM 0.29 leaves stale on a CPU, return the digest.

    Adapters are added to ``base`` on the worker's device; the tensors that vLLM fuses with these weights come along.
    vLLM's own reload packs linear layers again, but not an output layer that is tied to the embedding: its matrix
    product would go on using the copy that was packed at the start.
    """
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
    from vllm.platforms import current_platform

    receiver = shipment.open()
    arriving = receiver.receive(shipment)
    if base:
        adapters = ((name, tensor.to(worker.device)) for name, tensor in arriving)
        arriving = base.merged(shipment, adapters, beside=True)
    worker.reload_weights(weights_iterator=arriving)
    if current_platform.is_cpu():
        for layer in worker.get_model().modules():
            if isinstance(layer, ParallelLMHead):
                dispatch_cpu_unquantized_gemm(layer, remove_weight=False)
    return receiver.finish()


def cpu_head_sizes() -> list[int]:
    """The sizes of attention heads that vLLM's CPU kernels have."""
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    sizes: list[int] = CPUAttentionBackend.get_supported_head_sizes()
    return sizes
