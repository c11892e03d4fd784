"""Attention by blocks against the explicit mask and against each sample alone: values and gradients."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention
from transformers import AutoModelForCausalLM, Gemma2Config, LlamaConfig, PreTrainedModel, Qwen3Config

from lachesis.trainer.learner.packing.attention import (
    BLOCK,
    Attention,
    FlashAttention,
    FlexAttention,
    MaskedAttention,
    block_mask,
    choose_attention,
    dense_mask,
)
from lachesis.trainer.learner.packing.logprobs import LogprobModel
from lachesis.trainer.learner.packing.micro_batch import micro_batches, row_length
from lachesis.trainer.learner.packing.prefix_tree import prefix_trees
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


def results(
    model: PreTrainedModel, attention: Attention, samples: list[Sample], **settings: Any
) -> tuple[dict[float, Any], Any]:
    """Logprobs by the advantage that marks each sample, and the gradient of their weighted sum."""
    policy = LogprobModel(model, torch.float32, attention=attention, **settings)
    model.zero_grad(set_to_none=True)
    found: dict[float, Any] = {}
    for micro in micro_batches(samples, 512, CPU, flat=attention.flat, apart=attention.apart):
        logprobs_N, _, _ = policy(micro)
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
def dynamo() -> Iterator[None]:
    """torch's compiler with nothing compiled; an engine of vLLM on a CPU switches it off for the whole process."""
    torch._dynamo.reset()
    with torch._dynamo.config.patch(disable=False):
        yield


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
    assert micro.tokens_RT.shape == (1, 1408)  # 1000 + 8 * 40, to the next step


def test_a_cpu_computes_with_masks_and_a_gpu_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    model, half, gpu = model_of(CONFIGS[0]), torch.bfloat16, torch.device("cuda")
    assert isinstance(choose_attention("auto", model, half, CPU), MaskedAttention)
    for name in ("flex", "flash"):
        with pytest.raises(ConfigError, match="needs a GPU"):
            choose_attention(name, model, half, CPU).prepare(model)
    assert isinstance(choose_attention("masked", model, half, gpu), MaskedAttention)
    assert type(choose_attention("auto", model, torch.float32, gpu)) is FlexAttention
    assert type(choose_attention("auto", model_of(CONFIGS[2]), half, gpu)) is FlexAttention  # scores are capped
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: (9, 0))
    assert type(choose_attention("auto", model, half, gpu)) is FlashAttention


@pytest.mark.parametrize(
    ("config", "dtype", "reason"),
    [
        (CONFIGS[0], torch.float32, r"computes in 16 bits, and model\.dtype is float32"),
        (CONFIGS[2], torch.bfloat16, "gemma2 caps its attention scores"),
        (Qwen3Config(**SHAPE | {"head_dim": 320}), torch.bfloat16, "heads of 320 numbers do not fit"),
    ],
    ids=["dtype", "softcap", "head"],
)
def test_flash_attention_says_why_it_cannot_compute_a_model(config: Any, dtype: torch.dtype, reason: str) -> None:
    with pytest.raises(ConfigError, match=f'trainer.attention = "flash" cannot be used: .*{reason}'):
        choose_attention("flash", model_of(config), dtype, torch.device("cuda")).prepare(model_of(config))


def test_a_model_whose_attention_cannot_be_replaced_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(CONFIGS[0])
    monkeypatch.setattr(type(model), "_supports_attention_backend", False)
    with pytest.raises(ConfigError, match=r'trainer\.attention = "masked"'):
        LogprobModel(model, torch.float32, attention=FlexAttention())


class FlashOnCpu(FlashAttention):
    """Flash attention in float32 on a CPU, with the kernels of ``reference_kernels`` behind torch's own function."""

    def lack(self, model: PreTrainedModel) -> str:
        return ""


@pytest.fixture(scope="module")
def reference_kernels() -> None:
    """Kernels for variable-length attention on a CPU, for which torch has none; each computes one sample by itself."""

    def of_each(bounds: Any, *parts: Any) -> Any:
        """The heads of every sample, on the first axis; those of keys and values as often as they are used."""
        for start, end in zip(bounds.tolist(), bounds.tolist()[1:], strict=False):
            found = [part[start:end].transpose(0, 1) for part in parts]
            yield [part.repeat_interleave(parts[0].shape[1] // part.shape[0], 0) for part in found]

    def probabilities(q: Any, k: Any, scale: float) -> torch.Tensor:
        future = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool).triu(1)
        return (scale * q @ k.transpose(1, 2)).masked_fill(future, -torch.inf).softmax(-1)

    def forward(q: Any, k: Any, v: Any, bounds: Any, _: Any, longest: int, *rest: Any, **__: Any) -> Any:
        _, causal, scale, window, *_ = rest
        assert (causal, list(window), longest) == (True, [-1, 0], int(bounds.diff().max()))
        assert int(bounds[-1]) == q.shape[0]
        out = [(probabilities(a, b, scale) @ c).transpose(0, 1) for a, b, c in of_each(bounds, q, k, v)]
        return torch.cat(out), torch.zeros(q.shape[1], q.shape[0]), torch.zeros(2, dtype=torch.uint64)

    def backward(grad: Any, q: Any, k: Any, v: Any, _: Any, __: Any, bounds: Any, *rest: Any) -> Any:
        *_, scale, _ = rest
        slopes: Any = ([], [], [])
        for d, a, b, c in of_each(bounds, grad, q, k, v):
            p = probabilities(a, b, scale)
            inner = d @ c.transpose(1, 2)
            scores = scale * p * (inner - (p * inner).sum(-1, keepdim=True))
            for found, part in zip(
                slopes, (scores @ b, scores.transpose(1, 2) @ a, p.transpose(1, 2) @ d), strict=True
            ):
                found.append(part.transpose(0, 1))
        wide = [torch.cat(parts) for parts in slopes]
        return tuple(part.unflatten(1, (of.shape[1], -1)).sum(2) for part, of in zip(wide, (q, k, v), strict=True))

    torch.library.register_kernel("torch_attn::_varlen_attn", "cpu", forward)
    torch.library.register_kernel("torch_attn::_varlen_attn_backward", "cpu", backward)


@pytest.mark.usefixtures("reference_kernels")
@pytest.mark.parametrize("config", CONFIGS[:2], ids=lambda config: config.model_type)
@pytest.mark.parametrize("again", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("options", [{"scale", "window_size", "enable_gqa"}, {"scale", "window_size"}], ids=len)
def test_lengths_and_masks_give_the_same_logprobs_and_gradients(
    monkeypatch: pytest.MonkeyPatch, config: Any, again: bool, options: set[str]
) -> None:
    monkeypatch.setattr(
        "lachesis.trainer.learner.packing.attention.VARLEN_OPTIONS", options
    )  # torch 2.11 has no enable_gqa
    samples = [one for number, one in enumerate(conversations(30)) if number % 5 == 0]  # they share nothing
    assert all(len(tree.samples) == 1 for tree in prefix_trees(samples, 512))
    expected, slope = results(model_of(config), MaskedAttention(), samples)
    flash = FlashOnCpu(torch.float32, CPU)
    found, gradient = results(model_of(config), flash, samples, gradient_checkpointing=again)
    assert_same(found, expected)
    assert (gradient - slope).norm() < 1e-5 * slope.norm()


@pytest.mark.usefixtures("reference_kernels", "dynamo", "uncompiled")
def test_samples_that_share_nothing_get_rows_of_their_own_and_the_others_are_computed_by_blocks() -> None:
    samples = conversations()
    micros = list(micro_batches(samples, 512, CPU, flat=True, apart=True))
    assert (
        {micro.ends_RT is None for micro in micros} == {micro.lengths is not None for micro in micros} == {True, False}
    )
    for micro in micros:
        if micro.lengths is not None:
            sizes = [one.tokens.size for one in micro.samples]
            assert list(micro.lengths[: len(sizes)]) == sizes
            assert sum(micro.lengths) == micro.tokens_RT.shape[1]
    expected, _ = results(model_of(CONFIGS[0]), MaskedAttention(), samples)
    with torch.no_grad():
        found, _ = results(model_of(CONFIGS[0]), FlashOnCpu(torch.float32, CPU), samples)
    assert_same(found, expected)


@pytest.mark.usefixtures("reference_kernels", "dynamo", "uncompiled")
@pytest.mark.parametrize("attention", [FlexAttention(), FlashOnCpu(torch.bfloat16, CPU)], ids=["blocks", "lengths"])
def test_bfloat16_over_weights_in_float32_reaches_the_kernels_as_bfloat16(attention: Attention) -> None:
    model = model_of(CONFIGS[0])  # its norms multiply by float32 weights, which makes queries and keys float32
    samples = conversations()
    wide, _ = results(model_of(CONFIGS[0]), MaskedAttention(), samples)
    policy = LogprobModel(model, torch.bfloat16, attention=attention)
    with torch.no_grad():
        for micro in micro_batches(samples, 512, CPU, flat=True, apart=attention.apart):
            logprobs_N, _, _ = policy(micro)
            for mark in micro.advantages_N.unique():
                part = logprobs_N[micro.advantages_N == mark]
                assert torch.allclose(part, wide[float(mark)], atol=0.05)


def test_a_model_that_does_not_hand_lengths_to_its_attention_is_refused() -> None:
    attention = FlashOnCpu(torch.float32, CPU)
    policy = LogprobModel(model_of(CONFIGS[0]), torch.float32, attention=attention)
    [micro] = micro_batches(conversations(1), 512, CPU, flat=True, apart=True)
    attention.inputs = lambda *_: {"attention_mask": None}  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="does not pass lengths on"):
        policy(micro)


@pytest.mark.usefixtures("dynamo", "uncompiled")
def test_rows_of_other_lengths_compile_nothing_anew() -> None:
    compiled: list[int] = []

    def count(graph: torch.fx.GraphModule, _: Any) -> Any:
        compiled.append(1)
        return graph.forward

    kernel = torch.compile(flex_attention, dynamic=True, backend=count)
    rng = np.random.default_rng(1)
    for tokens in (700, 100, 2300, 4000, 256, 5000):
        [micro] = micro_batches([drawn(rng, tokens)], 8192, CPU, flat=True)
        assert micro.ends_RT is not None
        heads = [torch.randn(1, heads, micro.tokens_RT.shape[1], 16) for heads in (4, 2, 2)]
        with torch.no_grad():
            kernel(*heads, block_mask=block_mask(micro.ends_RT), enable_gqa=True)
    assert len(compiled) == 1


def drawn(rng: np.random.Generator, tokens: int) -> Sample:
    ids = rng.integers(3, 250, tokens).astype(np.int32)
    return Sample(ids, np.arange(tokens) > 0, None, np.ones(tokens, np.float32))


def test_flat_rows_have_few_lengths_little_padding_and_never_one_block() -> None:
    lengths = {row_length(tokens, 16384) for tokens in range(1, 16385)}
    assert len(lengths) < 40
    assert min(lengths) == 2 * BLOCK
    for tokens in (1, 130, 1000, 5001, 9990, 10001, 30000):
        length = row_length(tokens, 10000)
        assert length % BLOCK == 0
        assert tokens <= length < max(tokens * 1.125 + BLOCK, 2 * BLOCK + 1)
        assert tokens > 10000 or length <= 10000 + BLOCK


@pytest.mark.usefixtures("reference_kernels", "dynamo", "uncompiled")
@pytest.mark.parametrize(
    ("attention", "again", "backend"),
    [
        (MaskedAttention(), True, "aot_eager"),
        pytest.param(FlashOnCpu(torch.float32, CPU), False, "aot_eager", marks=pytest.mark.slow),
        pytest.param(MaskedAttention(), False, "inductor", marks=pytest.mark.slow),
    ],
    ids=["masks, recomputed", "lengths", "generated code"],
)
def test_compiled_layers_give_the_same_values_by_one_code_for_all_layers_and_shapes(
    monkeypatch: pytest.MonkeyPatch, attention: Attention, again: bool, backend: str
) -> None:
    monkeypatch.setattr("torch.compile", partial(torch.compile, backend=backend))
    samples = [drawn(np.random.default_rng(size), size) for size in (20, 33, 300, 170, 150, 90, 400)]
    for number, sample in enumerate(samples):
        sample.advantages[:] = number
    expected, slope = results(model_of(CONFIGS[0]), MaskedAttention(), samples)
    counted = torch._dynamo.utils.counters
    counted.clear()
    found, gradient = results(model_of(CONFIGS[0]), attention, samples, compiled=True, gradient_checkpointing=again)
    assert_same(found, expected)
    assert (gradient - slope).norm() < 1e-5 * slope.norm()
    assert not counted["graph_break"]
    assert counted["stats"]["unique_graphs"] <= 2  # a batch of one row, which the first check is, and of several
