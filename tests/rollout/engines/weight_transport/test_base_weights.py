"""Adapters alone: an engine that adds them to its folder's weights has the trainer's, and refuses those of others."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

from lachesis.rollout.config import ModelConfig
from lachesis.rollout.engines.embedded.engine import TorchEngine
from lachesis.rollout.engines.weight_transport.base_weights import block_of
from lachesis.rollout.engines.weight_transport.direct import DirectSender
from lachesis.rollout.engines.weight_transport.folder import FolderSender
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import Shipment, WeightSender
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.learner.config import LoraConfig
from lachesis.trainer.learner.local import LocalLearner
from lachesis.verifiers.errors import EngineError

TOKENS = np.arange(5, 45, dtype=np.int32)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build_tiny_model(tmp_path_factory.mktemp("model"), hidden=32, layers=2, context=64))


def learner_of(path: str, dtype: str = "float32", **lora: Any) -> LocalLearner:
    return LocalLearner(ModelConfig(path=path, context=64, dtype=dtype), TrainerConfig(lora=LoraConfig(rank=4, **lora)))


def train(learner: LocalLearner, seed: int) -> None:
    """Move the adapters as a step would."""
    torch.manual_seed(seed)
    for parameter in learner.model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.02 * torch.randn_like(parameter)


def engine_of(path: str, dtype: str = "float32") -> TorchEngine:
    return TorchEngine.from_path(path, dtype=dtype, slots=4, context=64, version=-1)


def travelled(shipment: Shipment) -> Shipment:
    copy: Shipment = pickle.loads(pickle.dumps(shipment))
    return copy


@pytest.mark.parametrize("updates", [20, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_after_many_updates_an_engine_holds_to_the_bit_what_the_trainer_would_save(
    path: str, dtype: str, updates: int
) -> None:
    learner, engine = learner_of(path, dtype), engine_of(path, dtype)
    for version in range(updates):
        train(learner, version)
        shipment = travelled(learner.send(ObjectStoreSender(), version, adapters=True))
        shipment.check_delivery(engine.update(shipment), "the engine")
    whole = dict(learner.send(DirectSender(), updates).payload)
    assert all(torch.equal(tensor, whole[name]) for name, tensor in engine.model.state_dict().items())
    assert engine.info().version == updates - 1
    assert engine.info().adapters


def test_only_the_adapters_are_sent(path: str) -> None:
    learner = learner_of(path, targets=["q_proj"])
    shipment = learner.send(ObjectStoreSender(), 1, adapters=True)
    assert [(spec.name, spec.dtype, spec.shape) for spec in shipment.layout[:2]] == [
        ("model.layers.0.self_attn.q_proj.weight.lora_A", "float32", (4, 32)),
        ("model.layers.0.self_attn.q_proj.weight.lora_B", "float32", (32, 4)),
    ]
    assert shipment.payload.nbytes == 2 * 4 * (4 * 32 + 32 * 4)


def test_a_learner_without_adapters_sends_all_weights(path: str) -> None:
    learner = LocalLearner(ModelConfig(path=path, context=64), TrainerConfig())
    shipment = learner.send(ObjectStoreSender(), 1, adapters=True)
    assert shipment.adapters is None
    assert {spec.name for spec in shipment.layout} == learner.model.state_dict().keys()


@pytest.mark.parametrize("make", [ObjectStoreSender, DirectSender, FolderSender])
def test_every_transport_carries_them_and_a_restarted_engine_needs_nothing_else(
    path: str, tmp_path: Path, make: Callable[..., WeightSender]
) -> None:
    learner = learner_of(path)
    expected = []
    for version in range(3):
        train(learner, version)
        sender = make(tmp_path) if make is FolderSender else make()
        shipment = learner.send(sender, version, adapters=True)
        expected.append(learner.compute_logprobs(TOKENS))
    restarted = engine_of(path)
    shipment.check_delivery(restarted.update(shipment), "the engine")
    np.testing.assert_allclose(restarted.compute_logprobs(TOKENS)[1:], expected[-1][1:], atol=1e-5)


def test_layers_that_store_their_weight_transposed_get_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=64, n_positions=64, n_embd=32, n_layer=1, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    learner, engine = learner_of(str(tmp_path)), engine_of(str(tmp_path))
    train(learner, 0)
    assert engine.info().adapters
    shipment = learner.send(DirectSender(), 1, adapters=True)
    shipment.check_delivery(engine.update(shipment), "the engine")
    whole = dict(learner.send(DirectSender(), 2).payload)
    state = engine.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in whole.items())


def test_adapters_of_other_base_weights_are_refused_and_the_old_weights_stay(path: str, tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path, hidden=32, layers=2, context=64)
    learner, engine = learner_of(path), engine_of(str(folder))
    engine.update(learner.send(DirectSender(), 1, adapters=True))
    before = engine.compute_logprobs(TOKENS)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][0, 0] += 1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    train(learner, 0)
    with pytest.raises(EngineError, match=r"version 2 belong to other base weights than those in .*same files"):
        engine.update(learner.send(DirectSender(), 2, adapters=True))
    assert engine.info().version == 1
    np.testing.assert_array_equal(engine.compute_logprobs(TOKENS), before)
    (folder / "model.safetensors").unlink()
    with pytest.raises(EngineError, match=r"cannot be read any more .*leave the model's folder as it is"):
        engine.update(learner.send(DirectSender(), 2, adapters=True))


def test_an_engine_that_was_given_all_weights_takes_no_adapters(path: str) -> None:
    learner, engine = learner_of(path), engine_of(path)
    engine.update(learner.send(DirectSender(), 1))
    assert not engine.info().adapters
    with pytest.raises(EngineError, match="cannot add them to the weights of the model's folder"):
        engine.update(learner.send(DirectSender(), 2, adapters=True))


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], []])
def test_damaged_adapters_give_another_digest_and_the_engine_refuses_to_generate(path: str, targets: list[str]) -> None:
    learner, engine = learner_of(path, targets=targets), engine_of(path)
    shipment = learner.send(ObjectStoreSender(), 1, adapters=True)
    shipment.payload[7] ^= 1
    with pytest.raises(EngineError, match="arrived damaged"):
        shipment.check_delivery(engine.update(shipment), "the engine")
    assert engine.info().version == -1


def test_adapters_that_do_not_fit_the_model_are_refused(path: str) -> None:
    engine = engine_of(path)
    shipment = learner_of(path).send(DirectSender(), 1, adapters=True)
    first, second, *others = shipment.layout
    for layout, message in (
        ((second, first, *others), "arrive in pairs"),
        ((first, *others), "arrive in pairs"),
        ((first._replace(name="a.lora_A"), second._replace(name="a.lora_B"), *others), "the model has no tensor 'a'"),
        ((first, second._replace(shape=(31, 4)), *others), r"arrived as \(4, 32\) and \(31, 4\)"),
        ((first._replace(shape=(3, 32)), second, *others), r"arrived as \(3, 32\) and \(32, 4\)"),
    ):
        with pytest.raises(EngineError, match=message):
            engine.update(replace(shipment, layout=layout))


def test_tensors_of_one_block_are_those_beside_the_layer() -> None:
    assert block_of("model.layers.0.self_attn.q_proj.weight") == "model.layers.0.self_attn."
    assert block_of("lm_head.weight") == "lm_head."
