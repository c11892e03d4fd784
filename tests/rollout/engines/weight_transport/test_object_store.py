"""The transport through memory: what is sent arrives to the bit, and damage is noticed."""

import pickle
from collections.abc import Callable

import pytest
import torch

from lachesis.rollout.engines.weight_transport.layout import TensorSpec
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreReceiver, ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import Shipment, ship
from lachesis.verifiers.errors import EngineError

STATE = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "a.half": torch.arange(4, dtype=torch.bfloat16),
    "turned": torch.arange(6).reshape(2, 3).T,
    "count": torch.tensor(7),
}


def handed_over(shipment: Shipment) -> Shipment:
    return shipment


def pickled(shipment: Shipment) -> Shipment:
    copy: Shipment = pickle.loads(pickle.dumps(shipment))
    return copy


@pytest.mark.parametrize("travel", [handed_over, pickled])
def test_every_tensor_arrives_to_the_bit_with_its_type_and_shape(travel: Callable[[Shipment], Shipment]) -> None:
    shipment = travel(ship(ObjectStoreSender(), 3, STATE))
    receiver = shipment.receiver()
    arrived = dict(receiver.receive(shipment))
    assert list(arrived) == list(STATE)
    assert all(torch.equal(arrived[name], STATE[name]) for name in STATE)
    assert {name: tensor.dtype for name, tensor in arrived.items()} == {name: one.dtype for name, one in STATE.items()}
    shipment.check_delivery(receiver.finish(), "the engine")
    assert (shipment.version, shipment.layout[1]) == (3, TensorSpec("a.half", "bfloat16", (4,)))


def test_what_was_sent_does_not_change_with_the_model() -> None:
    state = {"weight": torch.zeros(4)}
    sender = ObjectStoreSender()
    first = ship(sender, 0, state)
    state["weight"] += 1
    second = ship(sender, 1, state)
    assert [dict(ObjectStoreReceiver().receive(one))["weight"].sum() for one in (first, second)] == [0, 4]
    assert first.digest != second.digest


def test_a_flipped_bit_and_a_tensor_that_was_not_read_are_noticed() -> None:
    shipment = ship(ObjectStoreSender(), 5, STATE)
    receiver = ObjectStoreReceiver()
    next(receiver.receive(shipment))
    assert receiver.finish() != shipment.digest
    shipment.payload[3] ^= 1
    receiver = ObjectStoreReceiver()
    dict(receiver.receive(shipment))
    with pytest.raises(EngineError, match="weights version 5 arrived damaged at engine 2"):
        shipment.check_delivery(receiver.finish(), "engine 2")
