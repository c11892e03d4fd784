"""Weights that arrive at the embedded engine: whether they fit its model, and their way into it."""

from typing import Any

import torch

from ....verifiers.errors import EngineError
from ..weight_transport.base_weights import NO_BASE, BaseWeights
from ..weight_transport.layout import check_layout, layout_of
from ..weight_transport.transport import Shipment


def check_fits(model: Any, shipment: Shipment, base: BaseWeights | None) -> None:
    """Check a shipment against the model. Of tied tensors one name is enough.

    Args:
        model: the engine's.
        shipment: all weights, or adapters.
        base: the weights that adapters are added to; None if the engine takes none.

    Raises:
        EngineError: a tensor is unknown, missing, or of another shape or type; or adapters belong to other weights.
    """
    own = model.state_dict()
    if shipment.adapters:
        if base is None:
            raise EngineError(NO_BASE)
        base.check(shipment, layout_of(own))
        return
    memory = {own[spec.name].data_ptr() for spec in shipment.layout if spec.name in own}
    tied = [name for name, tensor in own.items() if tensor.data_ptr() in memory]
    check_layout(shipment.layout, layout_of(own), optional=tied)


@torch.no_grad()
def load(model: Any, shipment: Shipment, base: BaseWeights | None) -> str:
    """Copy the weights of a shipment that fits into the model, and return the digest of what arrived.

    Raises:
        EngineError: tensors that the model ties arrived with different values, or the transport failed.
    """
    own, receiver, filled = model.state_dict(), shipment.open(), set()
    arriving = receiver.receive(shipment)
    for name, tensor in base.merged(shipment, arriving) if shipment.adapters and base else arriving:
        if own[name].data_ptr() in filled and not torch.equal(own[name].cpu(), tensor.cpu()):
            raise EngineError(f"tensor {name!r} is tied to another one, which arrived with different values")
        own[name].copy_(tensor)
        filled.add(own[name].data_ptr())
    return receiver.finish()
