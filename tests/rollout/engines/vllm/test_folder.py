"""When vLLM takes adapters alone: only if it surely holds the weights of the model's folder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lachesis.rollout.engines.vllm.folder import OTHER_WEIGHTS, ModelFolder
from lachesis.rollout.engines.weight_transport.adapters import Adapters
from lachesis.rollout.engines.weight_transport.direct import DirectSender
from lachesis.rollout.engines.weight_transport.transport import ship
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.verifiers.errors import EngineError


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(build_tiny_model(tmp_path / "模型 ü", hidden=32, layers=1, tied=True, context=64))


def test_it_does_with_the_folders_own_weights_until_all_of_them_are_sent(path: str) -> None:
    folder = ModelFolder(path, "float32", {"enforce_eager": True}, sleep=1)
    assert folder.base is not None
    with pytest.raises(EngineError, match="lacks 12 of the model's tensors"):
        folder.base_for(ship(DirectSender(), 1, {"model.norm.weight": torch.ones(32)}))
    assert folder.base is not None
    assert folder.base_for(ship(DirectSender(), 1, load_file(f"{path}/model.safetensors"))) is None
    assert folder.base is None


@pytest.mark.parametrize(("extra", "sleep"), [*(({name: "any"}, 0) for name in OTHER_WEIGHTS), ({}, 2)], ids=str)
def test_it_does_not_if_it_may_hold_other_weights_or_drops_them(path: str, extra: dict[str, Any], sleep: int) -> None:
    folder = ModelFolder(path, "float32", extra, sleep)
    assert folder.base is None
    with pytest.raises(EngineError, match="cannot add them to the weights of the model's folder"):
        folder.base_for(replace(ship(DirectSender(), 1, {}), adapters=Adapters("digest", 1.0)))


def test_it_does_not_if_the_weights_are_in_another_format_or_cannot_be_read(path: str) -> None:
    weights = Path(path) / "model.safetensors"
    torch.save(load_file(weights), Path(path) / "pytorch_model.bin")
    whole = weights.read_bytes()
    weights.unlink()
    assert ModelFolder(path, "float32", {}, 0).base is None
    weights.write_bytes(whole[:100])
    assert ModelFolder(path, "float32", {}, 0).base is None
