"""The transport through files: to the bit, whole or not there, and the two newest versions stay."""

from pathlib import Path

import pytest
import torch

from lachesis.rollout.config import RolloutConfig
from lachesis.rollout.engines.weight_transport.folder import FolderSender
from lachesis.rollout.engines.weight_transport.transport import open_sender, ship

STATE = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "a.half": torch.arange(5, dtype=torch.bfloat16),
    "turned": torch.arange(6).reshape(2, 3).T,
    "count": torch.tensor(7),
}


def test_every_tensor_arrives_to_the_bit_and_an_earlier_runs_folder_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "shared" / "weights"
    for state in ({"old": torch.zeros(3)}, STATE):
        shipment = ship(open_sender("folder", folder=str(folder)), 3, state)
    receiver = shipment.open()
    arrived = dict(receiver.receive(shipment))
    assert all(torch.equal(arrived[name], STATE[name]) for name in STATE)
    shipment.check_delivery(receiver.finish(), "the engine")


def test_the_two_newest_versions_stay_and_no_draft(tmp_path: Path) -> None:
    for version in range(9, 13):
        ship(FolderSender(tmp_path), version, STATE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["version-00000011", "version-00000012"]


def test_a_damaged_file_is_noticed(tmp_path: Path) -> None:
    shipment = ship(FolderSender(tmp_path), 1, STATE)
    file = shipment.payload / "model.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    receiver = shipment.open()
    dict(receiver.receive(shipment))
    assert receiver.finish() != shipment.digest


def test_its_setting_needs_a_folder() -> None:
    with pytest.raises(ValueError, match="needs a weight_folder"):
        RolloutConfig(weight_transport="folder")
