import functools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from lachesis.rollout.engines.embedded.engine import TorchEngine
from lachesis.rollout.engines.embedded.sampling import draw, keep_likely, keep_top, uniforms
from lachesis.rollout.engines.engine import Completion, Request, Sampling
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import Shipment, ship
from lachesis.rollout.models.loading import load_model
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.models.tokenizer import load_tokenizer
from lachesis.verifiers.errors import ConfigError, EngineError

VOCABULARY = 512
torch.set_num_threads(1)


def tiny(seed: int = 0, *, tied: bool = False, heads: int = 4) -> Qwen3ForCausalLM:
    """Random weights, large enough that next-token distributions are far from flat."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=1024,
        tie_word_embeddings=tied,
        initializer_range=0.15,
    )
    return Qwen3ForCausalLM(config).eval()


def weights(model: PreTrainedModel, version: int = 1) -> Shipment:
    return ship(ObjectStoreSender(), version, model.state_dict())


def ids(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, VOCABULARY, length).astype(np.int32)


def request(length: int, seed: int = 0, version: int = 0, **sampling: object) -> Request:
    return Request(ids(length, seed), Sampling(**{"max_tokens": 20, "seed": seed, **sampling}), version)  # type: ignore[arg-type]


def serve(
    engine: TorchEngine, requests: Sequence[Request], order: Iterable[int] | None = None, together: int = 10_000
) -> list[Completion]:
    """Every request's completion; ``together`` of them arrive before each step."""
    todo, done = list(range(len(requests)) if order is None else order), {}
    while len(done) < len(requests):
        for key in todo[:together]:
            engine.add(key, requests[key])
        del todo[:together]
        done |= dict(engine.step())
    return [done[key] for key in range(len(requests))]


def assert_same_bits(found: Sequence[Completion], expected: Sequence[Completion]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.tokens.tobytes() == other.tokens.tobytes()
        assert one.logprobs.tobytes() == other.logprobs.tobytes()
        assert one.stop == other.stop


@torch.no_grad()
def reference(model: PreTrainedModel, prompt: np.ndarray, tokens: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Logprobs of ``tokens`` by one forward pass, with the filters written in another way than the engine's."""
    everything = torch.from_numpy(np.concatenate([prompt, tokens])).long()[None]
    logits = model(everything).logits[0, len(prompt) - 1 : -1].double() / (sampling.temperature or 1)
    picked = []
    for row, token in zip(logits, tokens, strict=True):
        probabilities, order = row.softmax(-1).sort(descending=True)
        if sampling.temperature and sampling.top_k:
            probabilities[sampling.top_k :] = 0
            probabilities /= probabilities.sum()
        if sampling.temperature and sampling.top_p < 1:
            probabilities[probabilities.cumsum(0) - probabilities >= sampling.top_p] = 0
            probabilities /= probabilities.sum()
        picked.append(float(probabilities[order == int(token)].log()))
    return np.array(picked)


SAMPLINGS = [
    {"temperature": 1.0},
    {"temperature": 0.7},
    {"top_p": 0.9},
    {"top_k": 20},
    {"temperature": 0.7, "top_k": 50, "top_p": 0.8},
    {"temperature": 0.0, "top_p": 0.5},
]


@pytest.mark.parametrize("tied", [False, True])
def test_logprobs_are_those_of_a_forward_pass_before_and_after_an_update(tied: bool) -> None:
    engine = TorchEngine(tiny(0, tied=tied), slots=8, context=256)
    requests = [request(length, seed, **SAMPLINGS[seed % 6]) for seed, length in enumerate([1, 2, 15, 16, 17, 100] * 2)]
    for version, source in ((0, tiny(0, tied=tied)), (1, tiny(7, tied=tied))):
        if version:
            engine.update(weights(source, version))
        for asked, completion in zip(requests, serve(engine, requests), strict=True):
            assert len(completion.tokens) == 20
            expected = reference(source, asked.prompt, completion.tokens, asked.sampling)
            np.testing.assert_allclose(completion.logprobs, expected, atol=1e-4)
            assert set(completion.versions.tolist()) == {version}
            assert completion.logprobs.dtype == np.float32
            assert completion.tokens.dtype == completion.versions.dtype == np.int32


def test_greedy_is_what_hugging_face_generates() -> None:
    model = tiny()
    for length, completion in zip(
        (1, 5, 33), serve(TorchEngine(model, slots=4), [request(n, temperature=0) for n in (1, 5, 33)]), strict=True
    ):
        prompt = torch.from_numpy(ids(length)).long()[None]
        generated = model.generate(prompt, do_sample=False, max_new_tokens=20, eos_token_id=None, pad_token_id=0)
        assert completion.tokens.tolist() == generated[0, length:].tolist()


@functools.cache
def mixed_requests() -> list[Request]:
    lengths = [1, 2, 3, 15, 16, 17, 33, 300, 320, 5, 5, 250, 1, 40, 64, 90, 530, 18, 7, 100]
    return [
        request(length, seed, **SAMPLINGS[seed % 6], max_tokens=5 + 3 * seed, stop_ids=(5, 6, 7, 8, 9, 10))
        for seed, length in enumerate(lengths)
    ]


@functools.cache
def mixed_completions() -> list[Completion]:
    return serve(TorchEngine(tiny(), slots=6), mixed_requests())


def test_a_request_alone_gives_the_bits_it_gives_in_company() -> None:
    engine = TorchEngine(tiny(), slots=6)
    assert_same_bits([serve(engine, [asked])[0] for asked in mixed_requests()], mixed_completions())


@pytest.mark.parametrize("together", [1, 3])
def test_arriving_late_gives_the_same_bits(together: int) -> None:
    engine = TorchEngine(tiny(), slots=6)
    assert_same_bits(serve(engine, mixed_requests(), together=together), mixed_completions())


def test_reversed_order_gives_the_same_bits_in_other_slots() -> None:
    straight, backward = TorchEngine(tiny(), slots=17), TorchEngine(tiny(), slots=17)
    assert_same_bits(serve(backward, mixed_requests(), reversed(range(20))), serve(straight, mixed_requests()))


def test_bits_stay_the_same_where_many_query_heads_share_a_key_head() -> None:
    requests = [request(length, length, max_tokens=30) for length in (3, 240, 250, 300)]
    engine = TorchEngine(tiny(heads=14), slots=4, context=512)
    assert_same_bits([serve(engine, [asked])[0] for asked in requests], serve(engine, requests))


def test_equal_prompts_are_computed_once_with_the_bits_of_computing_each() -> None:
    model = tiny()
    prefilled = []
    model.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: prefilled.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    group = [Request(ids(40), Sampling(seed=seed, max_tokens=4 + seed % 3)) for seed in range(12)]
    engine = TorchEngine(model, slots=5)
    shared = serve(engine, group)
    assert [shape for shape in prefilled if shape[1] > 1] == [(1, 48)]
    assert len({tuple(completion.tokens.tolist()) for completion in shared}) > 1
    assert_same_bits([serve(TorchEngine(tiny(), slots=5), [asked])[0] for asked in group], shared)


def test_a_prompt_can_be_copied_out_of_a_slot_that_is_given_to_another() -> None:
    first = [request(40, seed, max_tokens=2) for seed in range(4)]
    turned = [request(40, seed, max_tokens=9) for seed in (1, 2, 3, 0)]
    engine = TorchEngine(tiny(), slots=4)
    serve(engine, first)
    assert_same_bits(serve(engine, turned), serve(TorchEngine(tiny(), slots=4), turned))


def test_an_update_forgets_the_prompts_of_older_weights() -> None:
    engine, fresh = TorchEngine(tiny(), slots=4), TorchEngine(tiny(3), slots=4)
    serve(engine, [request(40)])
    engine.update(weights(tiny(3)))
    assert_same_bits(serve(engine, [request(40)]), serve(fresh, [request(40)]))


def test_each_token_is_exact_under_the_version_that_sampled_it() -> None:
    engine, asked = TorchEngine(tiny(), slots=4), request(30, max_tokens=12)
    engine.add(0, asked)
    for _ in range(5):
        assert engine.step() == []
    engine.update(weights(tiny(3), version=4))
    while not (ended := engine.step()):
        pass
    completion = ended[0][1]
    assert completion.versions.tolist() == [0] * 5 + [4] * 7
    before = reference(tiny(), asked.prompt, completion.tokens, asked.sampling)
    after = reference(tiny(3), asked.prompt, completion.tokens, asked.sampling)
    np.testing.assert_allclose(completion.logprobs, np.where(completion.versions == 0, before, after), atol=1e-4)


def test_the_sampler_draws_tokens_as_often_as_their_probability_says() -> None:
    draws = 20_000
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -2.0, -3.0]).expand(draws, 6)
    filters = ((0, 1.0, 0.0, 6), (3, 1.0, 0.0, 3), (0, 0.8, 0.0, 2), (0, 1.0, 0.05, 3), (2, 1.0, 0.05, 2))
    for top_k, top_p, min_p, expected_support in filters:
        tokens, logprobs = draw(
            logits,
            torch.full((draws,), 0.8),
            torch.full((draws,), top_k),
            torch.full((draws,), top_p),
            torch.full((draws,), min_p),
            torch.cat([uniforms(seed, 10) for seed in range(draws // 10)]),
        )
        counts = torch.bincount(tokens, minlength=6).double()
        probabilities = torch.zeros(6, dtype=torch.float64)
        probabilities[tokens] = logprobs.double().exp()
        assert int((probabilities > 0).sum()) == expected_support
        assert float(probabilities.sum()) == pytest.approx(1, abs=1e-6)
        kept = probabilities > 0
        chi_square = float(((counts - draws * probabilities) ** 2 / (draws * probabilities))[kept].sum())
        assert chi_square < 20.5  # 5 degrees of freedom pass this once in a thousand; the seeds are fixed


def test_a_token_of_no_probability_is_never_drawn() -> None:
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]).expand(4, 5)
    uniform = torch.tensor([0.0, 0.5, 1 - 2.0**-53, 0.25], dtype=torch.float64)
    tokens, _ = draw(logits, torch.ones(4), torch.zeros(4, dtype=torch.int64), torch.ones(4), torch.zeros(4), uniform)
    assert tokens.tolist() == [1, 3, 3, 1]


def test_the_most_probable_token_survives_every_filter() -> None:
    kept = keep_top(torch.tensor([[0.0, 3.0, 1.0]]), torch.tensor([1]), torch.tensor([1e-9]))
    assert kept.isfinite().tolist() == [[False, True, False]]
    likely = keep_likely(torch.tensor([[0.0, 3.0, 3.0]]), torch.tensor([1.0]))
    assert likely.isfinite().tolist() == [[False, True, True]]


def test_a_stream_is_a_prefix_of_a_longer_one_and_seeds_differ() -> None:
    assert torch.equal(uniforms(5, 10), uniforms(5, 100)[:10])
    assert not torch.equal(uniforms(5, 10), uniforms(6, 10))
    assert uniforms(-1, 3).shape == uniforms(2**70, 3).shape == (3,)


def test_a_stop_id_ends_the_completion_and_is_returned() -> None:
    engine = TorchEngine(tiny(), slots=4)
    free = serve(engine, [request(9)])[0]
    for place in (0, 7):
        stop_ids = (600, 601, 602, 603, 604, int(free.tokens[place]))
        completion = serve(engine, [request(9, stop_ids=stop_ids)])[0]
        first = free.tokens.tolist().index(free.tokens[place])
        assert completion.stop == "stop"
        assert completion.tokens.tolist() == free.tokens[: first + 1].tolist()
    assert free.stop == "length"


def test_the_context_ends_a_completion() -> None:
    engine = TorchEngine(tiny(), slots=4, context=40)
    completions = serve(engine, [request(n, max_tokens=100) for n in (30, 39, 40, 41)])
    assert [len(completion.tokens) for completion in completions] == [10, 1, 0, 0]
    assert {completion.stop for completion in completions} == {"length"}


def test_abort_returns_what_a_request_has() -> None:
    engine = TorchEngine(tiny(), slots=4)
    whole = serve(engine, [request(9, seed, max_tokens=8) for seed in range(6)])
    for key in range(6):
        engine.add(key, request(9, key, max_tokens=8))
    engine.step()
    engine.step()
    running, waiting = engine.abort(1), engine.abort(5)
    assert (running.stop, running.tokens.tolist()) == ("abort", whole[1].tokens[:2].tolist())
    assert (waiting.stop, len(waiting.tokens)) == ("abort", 0)
    rest = {}
    while len(rest) < 4:
        rest |= dict(engine.step())
    assert_same_bits([rest[key] for key in (0, 2, 3, 4)], [whole[key] for key in (0, 2, 3, 4)])
    with pytest.raises(EngineError, match="no request has the key 1"):
        engine.abort(1)
    engine.add(1, request(9))
    with pytest.raises(EngineError, match="request key 1 is in use"):
        engine.add(1, request(9))


@pytest.mark.parametrize("bad", [-1, VOCABULARY])
def test_an_id_outside_the_vocabulary_is_refused(bad: int) -> None:
    engine = TorchEngine(tiny(), slots=4)
    with pytest.raises(EngineError, match=f"token id {bad} is outside the vocabulary of {VOCABULARY}"):
        engine.add(0, Request(np.array([1, bad, 2], np.int32), Sampling()))
    with pytest.raises(EngineError, match=f"token id {bad}"):
        engine.compute_logprobs(np.array([1, bad], np.int32))


def test_stale_or_missing_weights_are_refused() -> None:
    engine = TorchEngine(tiny(), slots=4, version=-1)
    with pytest.raises(EngineError, match="no weights yet"):
        engine.add(0, request(3, version=-1))
    engine.update(weights(tiny(), version=2))
    with pytest.raises(EngineError, match="stale weights: the request needs version 3, the engine holds 2"):
        engine.add(0, request(3, version=3))
    assert serve(engine, [request(3, version=2)])[0].versions.tolist() == [2] * 20


@pytest.mark.parametrize("tied", [False, True])
def test_update_returns_the_digest_of_what_is_loaded(tied: bool) -> None:
    engine, sent = TorchEngine(tiny(tied=tied), slots=4), weights(tiny(5, tied=tied), version=9)
    assert engine.update(sent) == sent.digest
    assert engine.info().version == 9


def test_one_name_of_tied_tensors_is_enough() -> None:
    state = tiny(5, tied=True).state_dict()
    del state["lm_head.weight"]
    engine, sent = TorchEngine(tiny(tied=True), slots=4), ship(ObjectStoreSender(), 1, state)
    assert engine.update(sent) == sent.digest
    np.testing.assert_array_equal(
        engine.compute_logprobs(ids(9)), TorchEngine(tiny(5, tied=True), slots=4).compute_logprobs(ids(9))
    )


def test_tied_tensors_that_arrive_different_are_refused_and_nothing_is_served() -> None:
    engine, sent = TorchEngine(tiny(tied=True), slots=4), weights(tiny(5, tied=False))
    with pytest.raises(EngineError, match="tied to another one, which arrived with different values"):
        engine.update(sent)
    assert engine.info().version == -1


def test_an_engine_serves_nothing_after_damaged_weights_until_it_has_whole_ones() -> None:
    engine, sent = TorchEngine(tiny(), slots=4), weights(tiny(5))
    sent.payload[1000] ^= 1
    assert engine.update(sent) != sent.digest
    with pytest.raises(EngineError, match="no weights yet"):
        engine.add(0, request(3))
    sent.payload[1000] ^= 1
    assert engine.update(sent) == sent.digest
    engine.add(0, request(3, version=1))


def test_weights_that_do_not_fit_are_refused_and_change_nothing() -> None:
    engine = TorchEngine(tiny(), slots=4)
    before = engine.compute_logprobs(ids(9))
    good = tiny(5).state_dict()
    name = "model.layers.1.mlp.up_proj.weight"
    for bad, message in (
        ({key: tensor for key, tensor in good.items() if key != name}, f"the first is '{name}'"),
        (good | {"model.extra": torch.zeros(1)}, "no tensor 'model.extra'"),
        (good | {name: good[name].T.contiguous()}, f"tensor '{name}' arrived as"),
        (good | {name: good[name].half()}, f"tensor '{name}' arrived as"),
    ):
        with pytest.raises(EngineError, match=message.replace("(", r"\(")):
            engine.update(ship(ObjectStoreSender(), 1, bad))
    np.testing.assert_array_equal(engine.compute_logprobs(ids(9)), before)
    assert engine.info().version == 0


def test_scores_are_the_logprobs_that_were_sampled() -> None:
    engine = TorchEngine(tiny(), slots=4)
    for temperature in (1.0, 0.7):
        completion = serve(engine, [request(9, temperature=temperature)])[0]
        scores = engine.compute_logprobs(np.concatenate([ids(9), completion.tokens]), temperature)
        assert scores.dtype == np.float32
        assert scores.shape == (29,)
        assert np.isnan(scores[0])
        np.testing.assert_allclose(scores[9:], completion.logprobs, atol=1e-4)


def test_weights_that_are_not_numbers_are_an_error_and_leave_no_trace() -> None:
    engine = TorchEngine(tiny(), slots=4)
    expected = serve(engine, [request(40)])
    broken = {name: torch.full_like(tensor, torch.nan) for name, tensor in tiny().state_dict().items()}
    engine.update(ship(ObjectStoreSender(), 1, broken))
    engine.add(0, request(300))
    with pytest.raises(EngineError, match="weights version 1 gives logits that are not finite"):
        engine.step()
    engine.abort(0)
    engine.update(weights(tiny(), 2))
    assert_same_bits(serve(engine, [request(40)]), expected)


def test_another_architecture_works_too() -> None:
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=1,
            max_position_embeddings=128,
            initializer_range=0.2,
        )
    ).eval()
    asked = request(33)
    completion = serve(TorchEngine(model, slots=4, context=100), [asked])[0]
    expected = reference(model, asked.prompt, completion.tokens, asked.sampling)
    np.testing.assert_allclose(completion.logprobs, expected, atol=1e-4)


def test_an_engine_that_cannot_be_right_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 4 slots, found 3"):
        TorchEngine(tiny(), slots=3)
    with pytest.raises(ConfigError, match="a context of 2000 is more than the model's 1024 positions"):
        TorchEngine(tiny(), context=2000)
    sliding = MistralForCausalLM(
        MistralConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            sliding_window=64,
        )
    )
    with pytest.raises(ConfigError, match="window of 64 tokens"):
        TorchEngine(sliding, context=128)


def test_an_engine_from_a_folder_is_the_model_in_it(tmp_path: Path) -> None:
    folder = str(build_tiny_model(tmp_path / "model", seed=3))
    engine = TorchEngine.from_path(folder, slots=4, context=64, version=-1)
    model = load_model(folder, torch.float32, "cpu")
    info = engine.info()
    assert (info.name, info.version, info.context, info.vocabulary) == ("torch", -1, 64, model.config.vocab_size)
    assert not model.training
    engine.update(weights(model, 0))
    prompt = np.array(load_tokenizer(folder)("1+1=")["input_ids"], np.int32)
    engine.add(7, Request(prompt, Sampling(max_tokens=3)))
    ended = [engine.step() for _ in range(3)]
    assert [key for key, _ in ended[2]] == [7]
    assert engine.info().tokens_generated == 3


def test_a_folder_without_a_model_is_one_clear_line(tmp_path: Path) -> None:
    for load in (lambda path: load_model(path, torch.float32, "cpu"), load_tokenizer):
        for path in (str(tmp_path), str(tmp_path / "missing")):
            with pytest.raises(ConfigError, match="that can be loaded") as caught:
                load(path)
            assert "\n" not in str(caught.value)


def test_a_stop_string_ends_a_reply_and_changes_no_bits_of_it_or_of_the_others(tmp_path: Path) -> None:
    folder = str(build_tiny_model(tmp_path / "model", hidden=32, layers=1, context=64))
    decode = load_tokenizer(folder).decode
    engine = TorchEngine.from_path(folder, slots=4, context=64)
    asked = [Request(ids(5 + key, key) % 256, Sampling(max_tokens=20, seed=key, min_p=0.001 * key)) for key in range(4)]
    free = serve(engine, asked)
    stops = [str(decode(completion.tokens[6:8])) for completion in free]
    stopping = [
        Request(one.prompt, replace(one.sampling, stop=(stop, "never")) if key % 2 else one.sampling)
        for key, (one, stop) in enumerate(zip(asked, stops, strict=True))
    ]
    done = serve(engine, stopping)
    assert_same_bits(done[::2], free[::2])
    for completion, whole, stop in list(zip(done, free, stops, strict=True))[1::2]:
        count = completion.tokens.size
        assert_same_bits([completion], [whole.cut(count)])
        assert count <= 8
        assert stop in decode(completion.tokens)
        assert stop not in decode(completion.tokens[:-1])
    assert_same_bits(serve(engine, asked), free)  # a slot forgets the stop strings of its last request
    with pytest.raises(EngineError, match="tokenizer"):
        TorchEngine(tiny(), slots=4).add(0, stopping[1])
