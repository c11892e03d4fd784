"""Logprobs of given tokens: in bounded memory, for models that change their logits, and in a narrower dtype."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM as Auto
from transformers import CohereConfig, Gemma2Config, GraniteConfig, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from lachesis.rollout.config import ModelConfig
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.learner.packing import logprobs as module
from lachesis.trainer.learner.packing.logprobs import LogprobModel
from lachesis.trainer.learner.packing.micro_batch import MicroBatch, micro_batches
from lachesis.trainer.learner.sample import Sample
from lachesis.verifiers.errors import ConfigError

SHAPE: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def model_of(config: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    model: PreTrainedModel = Auto.from_config(config, attn_implementation="eager").eval()
    return model


def batch(count: int = 6, reply: int = 9) -> MicroBatch:
    rng = np.random.default_rng(0)
    samples = []
    for number in range(count):
        tokens = rng.integers(3, 250, 4 + reply + number).astype(np.int32)
        samples.append(Sample(tokens, np.arange(tokens.size) >= 4, None, np.ones(tokens.size, np.float32), 0.8))
    [micro] = micro_batches(samples, 16384, torch.device("cpu"))
    return micro


def plain(model: PreTrainedModel, micro: MicroBatch) -> torch.Tensor:
    """The logprobs by the model's own logits, sample by sample."""
    found = []
    for one in micro.samples:
        ids = torch.from_numpy(one.tokens.astype(np.int64))
        logits = model(input_ids=ids[None]).logits[0, :-1].float() / one.temperature
        found.append(logits.log_softmax(-1).gather(-1, ids[1:, None])[one.mask[1:], 0])
    return torch.cat(found)


@pytest.mark.parametrize(
    "config",
    [
        Gemma2Config(**SHAPE, final_logit_softcapping=3.0, query_pre_attn_scalar=16, attn_logit_softcapping=None),
        CohereConfig(**SHAPE, logit_scale=0.25),
        GraniteConfig(**SHAPE, logits_scaling=4.0),
    ],
    ids=lambda config: config.model_type,
)
def test_models_that_scale_or_cap_their_logits_are_scored_as_they_score_themselves(config: Any) -> None:
    model, micro = model_of(config), batch()
    logprobs, entropies, _ = LogprobModel(model, torch.float32)(micro)
    assert torch.allclose(logprobs, plain(model, micro), atol=1e-5)
    assert (entropies > 0).all()


class Twice(Qwen3ForCausalLM):
    """Doubles its logits, and says so nowhere."""

    def forward(self, *arguments: Any, **named: Any) -> Any:
        output = super().forward(*arguments, **named)
        output.logits = 2 * output.logits
        return output


def test_a_model_whose_logits_are_made_in_another_way_is_refused() -> None:
    with pytest.raises(ConfigError, match="qwen3: logits are not those of the output layer"):
        LogprobModel(Twice(Qwen3Config(**SHAPE)).eval(), torch.float32)


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation returns."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                Largest.numel = max(Largest.numel, tensor.numel())
        return out


def test_no_tensor_of_all_tokens_and_the_vocabulary_is_ever_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_tiny_model(tmp_path / "m", hidden=16, layers=1, context=64)
    micro = batch(count=40)
    sizes, results = [], []
    for logits in (10**9, 32 * 300):
        monkeypatch.setattr(module, "LOGITS", logits)
        learner = LocalLearner(ModelConfig(path=str(tmp_path / "m"), context=64), TrainerConfig())
        Largest.numel = 0
        with Largest():
            logprobs, entropies, _ = learner._policy(micro, True)
            (logprobs.sum() + entropies.sum()).backward()
        sizes.append(Largest.numel)
        grads = [parameter.grad.flatten() for parameter in learner.model.parameters() if parameter.grad is not None]
        results.append((logprobs.detach(), entropies.detach(), torch.cat(grads)))
    tokens, vocabulary = micro.targets_N.numel(), learner.vocabulary
    assert sizes[0] == tokens * vocabulary
    assert sizes[1] <= max(32 * 300, micro.tokens_RT.numel() * 64)
    for whole, chunked in zip(*results, strict=True):
        assert (whole - chunked).norm() <= 1e-6 * whole.norm()


def test_small_steps_are_not_lost_where_it_computes_in_bfloat16(tmp_path: Path) -> None:
    build_tiny_model(tmp_path / "m", hidden=32, layers=1, context=64)
    learner = LocalLearner(ModelConfig(path=str(tmp_path / "m"), context=64, dtype="bfloat16"), TrainerConfig())
    before = learner.send(ObjectStoreSender(), 0)
    samples = [Sample(one.tokens, one.mask, None, one.advantages) for one in batch().samples]
    losses = [learner.supervised_step(samples, 1e-5)["loss"] for _ in range(60)]
    assert losses[-1] < losses[0] - 0.01  # in bfloat16 alone most weights would not move by 1e-5
    after = learner.send(ObjectStoreSender(), 1)
    assert {spec.dtype for spec in after.layout} == {"bfloat16"}
    assert after.digest != before.digest
    assert {parameter.dtype for parameter in learner.model.parameters()} == {torch.float32}
