"""Attention by blocks against the explicit mask and against each sample alone: values and gradients."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, LlamaConfig, PreTrainedModel, Qwen3Config

from lachesis.trainer.learner.attention import (
    BLOCK,
    Attention,
    FlexAttention,
    MaskedAttention,
    block_mask,
    choose_attention,
    dense_mask,
)
from lachesis.trainer.learner.logprobs import LogprobModel
from lachesis.trainer.learner.packing import micro_batches
from lachesis.trainer.learner.prefix_tree import prefix_trees
from lachesis.trainer.learner.sample import Sample
from lachesis.verifiers.errors import ConfigError

CPU = torch.device("cpu")
SHAPE: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGS: list[Any] = [
    Qwen3Config(**SHAPE),
    LlamaConfig(**SHAPE),
    Gemma2Config(**SHAPE, attn_logit_softcapping=2.0, final_logit_softcapping=None, query_pre_attn_scalar=16),
]


def model_of(config: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    implementation = "eager" if config.model_type == "gemma2" else "sdpa"  # sdpa does not cap the scores
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation=implementation).eval()
    return model


def conversations(count: int = 14) -> list[Sample]:
    """Samples that share a system prompt, some of them also a first turn that is trained."""
    rng = np.random.default_rng(3)
    system = rng.integers(3, 250, 70)
    turns = [rng.integers(3, 250, 12) for _ in range(3)]
    found = []
    for number in range(count):
        parts = [system, turns[number % 3], rng.integers(3, 250, int(rng.integers(1, 60)))]
        tokens = np.concatenate(parts if number % 5 else parts[2:]).astype(np.int32)
        mask = np.arange(tokens.size) >= (74 if number % 5 else 1)
        if mask.any():
            weights = np.full(tokens.size, 1.0 + number, np.float32)
            found.append(Sample(tokens, mask, None, weights, 0.8))
    return found


def results(model: PreTrainedModel, attention: Attention, samples: list[Sample]) -> tuple[dict[float, Any], Any]:
    """Logprobs by the advantage that marks each sample, and the gradient of their weighted sum."""
    policy = LogprobModel(model, torch.float32, attention=attention)
    model.zero_grad(set_to_none=True)
    found: dict[float, Any] = {}
    for micro in micro_batches(samples, 512, CPU, flat=attention.flat):
        logprobs_N, _ = policy(micro)
        if logprobs_N.requires_grad:
            (logprobs_N * micro.advantages_N).sum().backward()
        for mark in micro.advantages_N.unique():
            found[float(mark)] = logprobs_N[micro.advantages_N == mark].detach()
    gradients = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    return found, torch.cat(gradients or [torch.zeros(0)])


class MaskedInOneRow(MaskedAttention):
    """The rows of ``FlexAttention`` with explicit masks: a CPU has no backward pass of the former."""

    flat = True


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """``flex_attention`` without torch's compiler, which other tests of the process may have switched off."""
    monkeypatch.setattr("torch.nn.attention.flex_attention._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_blocks_and_masks_give_the_logprobs_and_gradients_of_samples_alone(config: Any) -> None:
    samples = conversations()
    model = model_of(config)
    expected, slope = {}, 0.0
    for one in samples:
        values, gradient = results(model, MaskedAttention(), [one])
        expected |= values
        slope = slope + gradient
    for attention in (MaskedAttention(), MaskedInOneRow()):
        found, gradient = results(model, attention, samples)
        assert_same(found, expected)
        assert (gradient - slope).norm() < 1e-5 * slope.norm()
    with torch.no_grad():
        found, _ = results(model, FlexAttention(), samples)
    assert_same(found, expected)


def assert_same(found: dict[float, Any], expected: dict[float, Any]) -> None:
    assert found.keys() == expected.keys()
    for mark, values in expected.items():
        assert torch.allclose(found[mark], values, atol=1e-5), mark


def test_blocks_that_are_left_out_hold_no_pair_of_tokens_that_see_each_other() -> None:
    rng = np.random.default_rng(5)
    beginnings = [rng.integers(0, 9, 200).astype(np.int32) for _ in range(4)]
    samples = []
    for number in range(40):
        tokens = np.concatenate([beginnings[number % 4][: int(rng.integers(1, 200))], rng.integers(0, 9, 30)])
        samples.append(Sample(tokens.astype(np.int32), np.arange(tokens.size) > 0, None, np.ones(tokens.size)))
    assert any(len(tree.samples) > 1 for tree in prefix_trees(samples, 4096))
    for micro in micro_batches(samples, 2048, CPU, flat=True):
        assert micro.ends_RT is not None
        assert micro.ends_RT.shape[0] == 1
        assert micro.ends_RT.shape[1] % BLOCK == 0
        blocks = micro.ends_RT.shape[1] // BLOCK
        pairs = dense_mask(micro.ends_RT)[0, 0].reshape(blocks, BLOCK, blocks, BLOCK).permute(0, 2, 1, 3)
        made = block_mask(micro.ends_RT)
        computed = made.to_dense()[0, 0].bool()
        assert torch.equal(computed, pairs.any(-1).any(-1) | torch.eye(blocks, dtype=torch.bool))
        full_counts, full_order = made.full_kv_num_blocks, made.full_kv_indices
        assert full_counts is not None
        assert full_order is not None
        for row in range(blocks):
            unmasked = full_order[0, 0, row, : full_counts[0, 0, row]]
            assert pairs[row, unmasked].all()


def test_a_long_shared_beginning_is_computed_once_however_long_it_is() -> None:
    prompt = np.arange(1000, dtype=np.int32) % 250
    samples = []
    for number in range(8):
        tokens = np.concatenate([prompt, np.full(40, number + 3, np.int32)])
        samples.append(Sample(tokens, np.arange(tokens.size) >= 1000, None, np.ones(tokens.size, np.float32)))
    [micro] = micro_batches(samples, 16384, CPU, flat=True)
    assert micro.tokens_RT.shape == (1, 1408)  # 1000 + 8 * 40, to a whole number of blocks


def test_a_gpu_computes_by_blocks_and_a_cpu_with_masks_unless_told_otherwise() -> None:
    assert isinstance(choose_attention("auto", CPU), MaskedAttention)
    assert isinstance(choose_attention("auto", torch.device("cuda")), FlexAttention)
    with pytest.raises(ConfigError, match="needs a GPU"):
        choose_attention("flex", CPU)
    assert isinstance(choose_attention("masked", torch.device("cuda")), MaskedAttention)


def test_a_model_whose_attention_cannot_be_replaced_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(CONFIGS[0])
    monkeypatch.setattr(type(model), "_supports_attention_backend", False)
    with pytest.raises(ConfigError, match=r'trainer\.attention = "masked"'):
        LogprobModel(model, torch.float32, attention=FlexAttention())
