import os
from dataclasses import replace

import pytest
import torch

from lachesis.environments.loading import describe
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.engines.weight_transport.auto import AutoSender, EnginePlace, chosen
from lachesis.rollout.engines.weight_transport.direct import DirectReceiver, DirectSender
from lachesis.rollout.engines.weight_transport.gpu import GpuSender
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreReceiver, ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import ship
from lachesis.rollout.workers.pool import PoolSpec

HERE, ELSEWHERE = EnginePlace(os.getpid()), EnginePlace(os.getpid() + 1)


@pytest.mark.parametrize(
    ("engines", "from_gpu", "sender"),
    [
        (HERE, False, DirectSender),
        (HERE, True, DirectSender),
        (ELSEWHERE, False, ObjectStoreSender),  # the trainer's ranks are processes of their own
        (replace(ELSEWHERE, on_gpu=True), True, GpuSender),
        (EnginePlace(None, on_gpu=True), True, GpuSender),
        (EnginePlace(None, on_gpu=True), False, ObjectStoreSender),
        (EnginePlace(None, on_gpu=False), True, ObjectStoreSender),
    ],
)
def test_the_place_of_trainer_and_engines_chooses(engines: EnginePlace, from_gpu: bool, sender: type) -> None:
    assert type(chosen(engines, from_gpu)) is sender


@pytest.mark.parametrize("state", [{"weight": torch.ones(3)}, {}])
def test_it_sends_by_what_it_chose(state: dict[str, torch.Tensor]) -> None:
    sender = AutoSender(HERE)
    for version in (1, 2):
        shipment = ship(sender, version, state)
        receiver = shipment.open()
        assert [name for name, _ in receiver.receive(shipment)] == list(state)
        shipment.check_delivery(receiver.finish(), "the engine")
        assert shipment.receiver is (DirectReceiver if state else ObjectStoreReceiver)


@pytest.mark.parametrize(
    ("settings", "receiver"),
    [
        ({"inline": True}, DirectReceiver),
        ({"inline": False}, ObjectStoreReceiver),
        ({"inline": True, "engine": "a.users:Engine"}, ObjectStoreReceiver),  # it may keep what it is given
        ({"inline": True, "gpus_per_engine": 2}, ObjectStoreReceiver),  # vLLM then has processes of its own
        ({"inline": True, "weight_transport": "object_store"}, ObjectStoreReceiver),
    ],
)
def test_a_pool_knows_where_its_engines_are(settings: dict[str, object], receiver: type) -> None:
    spec = PoolSpec(ModelConfig(), RolloutConfig(**settings), (describe("arithmetic"),))  # type: ignore[arg-type]
    assert ship(spec.open_sender(), 1, {"weight": torch.ones(3)}).receiver is receiver
