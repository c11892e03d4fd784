"""The transport within a process: one copy, to the bit, and no way out of the process."""

import pickle

import pytest
import torch

from lachesis.rollout.engines.embedded.engine import TorchEngine
from lachesis.rollout.engines.weight_transport.direct import DirectSender
from lachesis.rollout.engines.weight_transport.transport import ship
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.verifiers.errors import EngineError


def test_an_engine_copies_the_trainers_tensors_and_later_changes_do_not_reach_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = str(build_tiny_model(tmp_path_factory.mktemp("model"), hidden=32, layers=1, context=64))
    engine = TorchEngine.from_path(path, slots=4, context=64)
    state = {name: torch.randn_like(tensor) for name, tensor in engine.model.state_dict().items()}
    shipment = ship(DirectSender(), 1, state)
    assert all(
        found is not None and found.data_ptr() == state[name].data_ptr() for name, found in shipment.payload.items()
    )
    shipment.check_delivery(engine.update(shipment), "the engine")
    sent = {name: tensor.clone() for name, tensor in state.items()}
    for tensor in state.values():
        tensor.zero_()
    assert all(torch.equal(tensor, sent[name]) for name, tensor in engine.model.state_dict().items())


def test_it_does_not_leave_the_process() -> None:
    with pytest.raises(EngineError, match=r"'direct' works within one process.* set it to 'auto'"):
        pickle.dumps(ship(DirectSender(), 1, {"weight": torch.zeros(2)}))
