import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from lachesis.rollout.engines.engine import Completion, Request, Sampling
from lachesis.rollout.engines.vllm.engine import VllmEngine
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import ship
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.verifiers.errors import ConfigError, EngineError

pytestmark = pytest.mark.skipif(  # the engine sets the environment that vLLM reads when imported, so not importorskip
    importlib.util.find_spec("vllm") is None,
    reason="vLLM is not installed; `make setup VLLM=cpu` installs its CPU build",
)

CONTEXT, BYTES, TOLERANCE = 256, 256, 1e-4


@dataclass
class Served:
    """One engine and, beside it, the Hugging Face model that holds the same weights."""

    engine: VllmEngine
    model: PreTrainedModel
    folder: Path

    def update(self, seed: int) -> None:
        """Give both new weights; a tied output layer is sent once or twice, as trainers do."""
        sharpened(self.model, seed)
        state = self.model.state_dict().items() if seed % 2 else self.model.named_parameters()
        weights = ship(ObjectStoreSender(), self.engine.info().version + 1, dict(state))
        assert self.engine.update(weights) == weights.digest
        assert self.engine.info().version == weights.version


@pytest.fixture(scope="module", params=["tied", "untied"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    tied = request.param == "tied"
    folder = build_tiny_model(tmp_path_factory.mktemp(request.param), tied=tied, context=CONTEXT)
    model = AutoModelForCausalLM.from_pretrained(folder)
    sharpened(model, 0)
    model.save_pretrained(folder)
    engine = VllmEngine(str(folder), context=CONTEXT)
    yield Served(engine, model, folder)
    engine.close()


def sharpened(model: PreTrainedModel, seed: int) -> None:
    """Random weights far enough from a uniform output that a wrong tensor shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.15, generator=generator)


def request_of(seed: int, length: int = 20, **sampling: float | str | tuple[int, ...]) -> Request:
    prompt = np.random.default_rng(seed).integers(0, BYTES, length).astype(np.int32)
    return Request(prompt, replace(Sampling(seed=seed, max_tokens=16), **sampling))  # type: ignore[arg-type]


def finish(engine: VllmEngine, requests: dict[int, Request]) -> dict[int, Completion]:
    for key, request in requests.items():
        engine.add(key, request)
    return drain(engine, len(requests))


def drain(engine: VllmEngine, count: int) -> dict[int, Completion]:
    done: dict[int, Completion] = {}
    for _ in range(10 * CONTEXT):
        done |= engine.step()
        if len(done) == count:
            return done
    raise AssertionError(f"{count - len(done)} requests did not end")


def reference(
    model: PreTrainedModel, prompt: npt.NDArray[np.int32], tokens: npt.NDArray[np.int32], sampling: Sampling
) -> npt.NDArray[np.float32]:
    """Logprobs of ``tokens`` after ``prompt`` by a plain forward pass."""
    ids = torch.from_numpy(np.concatenate([prompt, tokens]).astype(np.int64))[None]
    with torch.no_grad():
        logits = model(ids).logits[0, len(prompt) - 1 : -1].double() / (sampling.temperature or 1)
    if sampling.min_p:
        probabilities = logits.softmax(-1)
        logits = logits.masked_fill(probabilities < sampling.min_p * probabilities.amax(-1, keepdim=True), -torch.inf)
    if sampling.top_k:
        logits = logits.masked_fill(logits < logits.topk(sampling.top_k).values[:, -1:], -torch.inf)
    if sampling.top_p < 1:
        probabilities, order = logits.softmax(-1).sort(-1, descending=True)
        outside = probabilities.cumsum(-1) - probabilities >= sampling.top_p  # already reached without this token
        logits = logits.masked_fill(outside.gather(-1, order.argsort(-1)), -torch.inf)
    logprobs = logits.log_softmax(-1).gather(-1, ids[0, len(prompt) :, None])
    return np.asarray(logprobs[:, 0], np.float32)


def same(one: dict[int, Completion], other: dict[int, Completion]) -> bool:
    return one.keys() == other.keys() and all(
        one[key].tokens.tobytes() == other[key].tokens.tobytes()
        and one[key].logprobs.tobytes() == other[key].logprobs.tobytes()
        for key in one
    )


SAMPLINGS: dict[str, dict[str, float]] = {
    "plain": {},
    "temperature 0.7": {"temperature": 0.7},
    "top-p 0.9": {"top_p": 0.9},
    "top-k 5": {"top_k": 5},
    "min-p 0.1": {"min_p": 0.1, "top_p": 0.95},
    "greedy": {"temperature": 0.0},
}


def test_logprobs_are_a_forward_pass_s_before_and_after_each_update(served: Served) -> None:
    for seed in (None, 1, 2):
        if seed is not None:
            served.update(seed)
        requests = {
            place: request_of(place, length=10 + place, **sampling)
            for place, sampling in enumerate([*SAMPLINGS.values()] * 2)
        }
        done = finish(served.engine, requests)
        for key, request in requests.items():
            expected = reference(served.model, request.prompt, done[key].tokens, request.sampling)
            np.testing.assert_allclose(
                done[key].logprobs, expected, atol=TOLERANCE, err_msg=f"{request.sampling} after update {seed}"
            )
        assert min(completion.logprobs.min() for completion in done.values()) < -2  # far from a flat model


def test_a_stop_string_ends_a_reply_at_the_token_that_completes_it(served: Served) -> None:
    whole = {key: request_of(key, temperature=0.7, min_p=0.01) for key in range(3)}
    free = finish(served.engine, whole)
    decode = AutoTokenizer.from_pretrained(served.folder).decode
    stop = {key: decode(free[key].tokens[4:6]) for key in whole}
    asked = {key: Request(one.prompt, replace(one.sampling, stop=(stop[key],))) for key, one in whole.items()}
    done = finish(served.engine, asked)
    for key, completion in done.items():
        assert completion.stop == "stop"
        count = completion.tokens.size
        assert count <= 6
        assert stop[key] in decode(completion.tokens)
        assert stop[key] not in decode(completion.tokens[:-1])
        assert completion.tokens.tolist() == free[key].tokens[:count].tolist()
        assert completion.logprobs.tobytes() == free[key].logprobs[:count].tobytes()
    assert same(finish(served.engine, whole), free)  # nothing of a stopped request is left


def test_scores_are_a_forward_pass_s_before_and_after_an_update(served: Served) -> None:
    for seed in (None, 3):
        if seed is not None:
            served.update(seed)
        for length in (2, 50, CONTEXT):
            tokens = request_of(length, length=length).prompt
            scored = served.engine.compute_logprobs(tokens, 1.0)
            assert scored.dtype == np.float32
            assert np.isnan(scored[0])
            np.testing.assert_allclose(
                scored[1:], reference(served.model, tokens[:1], tokens[1:], Sampling()), atol=TOLERANCE
            )
    assert np.isnan(served.engine.compute_logprobs(tokens[:1], 1.0)).all()
    with pytest.raises(EngineError, match="temperature 1"):
        served.engine.compute_logprobs(tokens, 0.7)
    with pytest.raises(EngineError, match="257 tokens"):
        served.engine.compute_logprobs(np.zeros(CONTEXT + 1, np.int32), 1.0)


def test_scoring_in_mid_generation_loses_no_completion(served: Served) -> None:
    requests = {key: request_of(key, max_tokens=1 + key) for key in range(4)}
    expected = finish(served.engine, requests)
    for key, request in requests.items():
        served.engine.add(key, request)
    served.engine.compute_logprobs(request_of(9).prompt, 1.0)
    assert same(drain(served.engine, 4), expected)


PET = {"type": "object", "properties": {"pet": {"enum": ["cat", "dog"]}}, "required": ["pet"]}
SCHEMA = json.dumps(PET | {"additionalProperties": False})


def test_the_probe_after_an_update_takes_one_step_however_many_requests_wait(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in range(70):  # more than the engine has slots
        served.engine.add(key, request_of(key, max_tokens=8))
    served.engine.step()
    served.update(5)
    steps, advance = [], served.engine._advance
    monkeypatch.setattr(served.engine, "_advance", lambda: (steps.append(1), advance()))
    prompt = request_of(99).prompt
    scored = served.engine.compute_logprobs(prompt, 1.0)
    assert len(steps) == 1
    ids = torch.from_numpy(prompt.astype(np.int64))[None]
    with torch.no_grad():
        expected = served.model(ids).logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
    np.testing.assert_allclose(scored[1:], expected.numpy(), atol=TOLERANCE)
    monkeypatch.undo()
    assert len(drain(served.engine, 70)) == 70


def test_a_schema_holds_a_reply_and_its_logprobs_are_the_policys_own(served: Served) -> None:
    tokenizer = AutoTokenizer.from_pretrained(served.folder)
    stop = (tokenizer.eos_token_id,)
    held = {seed: request_of(seed, max_tokens=60, schema=SCHEMA, stop_ids=stop) for seed in range(3)}
    done = finish(served.engine, held | {9: request_of(9)})
    said = [json.loads(tokenizer.decode(done[seed].tokens[:-1])) for seed in held]
    assert all(reply in ({"pet": "cat"}, {"pet": "dog"}) for reply in said)
    for seed, request in held.items():
        expected = reference(served.model, request.prompt, done[seed].tokens, request.sampling)
        assert np.abs(done[seed].logprobs - expected).max() < TOLERANCE
        assert done[seed].stop == "stop"
    alone = finish(served.engine, {9: request_of(9)})[9]
    assert alone.tokens.tolist() == done[9].tokens.tolist()
    with pytest.raises(EngineError, match=r"at 0 or 1, not at 0\.7"):
        served.engine.add(10, request_of(1, schema=SCHEMA, temperature=0.7))


def test_a_request_gives_the_same_bits_in_any_company(served: Served) -> None:
    requests = {key: request_of(key, length=5 + 6 * key, max_tokens=24) for key in range(32)}
    together = finish(served.engine, requests)
    alone: dict[int, Completion] = {}
    for key, request in requests.items():
        alone |= finish(served.engine, {key: request})
    assert same(alone, together)
    assert same(finish(served.engine, dict(reversed(requests.items()))), together)
    staggered: dict[int, Completion] = {}
    for key, request in requests.items():
        served.engine.add(key, request)
        staggered |= served.engine.step()
        staggered |= served.engine.step()
    assert same(staggered | drain(served.engine, 32 - len(staggered)), together)
    reseeded = replace(requests[0], sampling=replace(requests[0].sampling, seed=99))
    assert not same(finish(served.engine, {0: reseeded}), {0: together[0]})


def test_an_update_in_mid_generation_divides_tokens_by_the_version_that_sampled_them(served: Served) -> None:
    requests = {key: request_of(key, length=10 + 20 * key, max_tokens=12) for key in range(3)}
    for key, request in requests.items():
        served.engine.add(key, request)
    for _ in range(5):
        assert served.engine.step() == []
    version = served.engine.info().version
    old = AutoModelForCausalLM.from_pretrained(served.folder)
    old.load_state_dict(served.model.state_dict())
    served.update(4)
    late = request_of(7, max_tokens=3)
    served.engine.add(7, late)
    done = drain(served.engine, 4)
    assert done[7].versions.tolist() == [version + 1] * 3
    for key, request in requests.items():
        assert done[key].versions.tolist() == [version] * 5 + [version + 1] * 7
        before = reference(old, request.prompt, done[key].tokens, request.sampling)
        after = reference(served.model, request.prompt, done[key].tokens, request.sampling)
        np.testing.assert_allclose(done[key].logprobs[:5], before[:5], atol=TOLERANCE)
        np.testing.assert_allclose(done[key].logprobs[5:], after[5:], atol=TOLERANCE)
        assert np.abs(before - after).max() > 0.1


def test_only_the_request_s_own_ids_stop_it(served: Served) -> None:
    request = request_of(3, max_tokens=64)
    free = finish(served.engine, {0: request})[0]
    assert (len(free.tokens), free.stop) == (64, "length")
    place = 10
    stop_id = int(free.tokens[place])
    place = free.tokens.tolist().index(stop_id)
    stopped = replace(request, sampling=replace(request.sampling, stop_ids=(stop_id, 5)))
    ended = finish(served.engine, {0: stopped})[0]
    assert ended.stop == "stop"
    assert ended.tokens.tolist() == free.tokens[: place + 1].tolist()
    assert len(ended.logprobs) == len(ended.versions) == place + 1
    last = replace(stopped, sampling=replace(stopped.sampling, max_tokens=place + 1))
    assert finish(served.engine, {0: last})[0].stop == "stop"


def test_an_end_of_turn_token_that_is_no_stop_id_does_not_stop(served: Served) -> None:
    requests = {key: request_of(key, temperature=2.0, max_tokens=200) for key in range(16)}
    said = np.concatenate([completion.tokens for completion in finish(served.engine, requests).values()])
    assert len(said) == 16 * 200
    assert served.model.config.eos_token_id in said


def test_the_context_ends_a_completion(served: Served) -> None:
    done = finish(
        served.engine,
        {
            0: request_of(0, length=CONTEXT - 3, max_tokens=50),
            1: request_of(1, length=CONTEXT, max_tokens=50),
            2: request_of(2, length=CONTEXT + 9, max_tokens=50),
        },
    )
    assert [(len(done[key].tokens), done[key].stop) for key in range(3)] == [
        (3, "length"),
        (0, "length"),
        (0, "length"),
    ]
    assert done[1].tokens.dtype == done[1].versions.dtype == np.int32
    assert done[1].logprobs.dtype == np.float32


def test_abort_returns_what_was_sampled_and_leaves_the_others(served: Served) -> None:
    requests = {key: request_of(key) for key in range(3)}
    expected = finish(served.engine, requests)
    for key, request in requests.items():
        served.engine.add(key, request)
    for _ in range(4):
        served.engine.step()
    aborted = served.engine.abort(1)
    assert aborted.stop == "abort"
    assert aborted.tokens.tolist() == expected[1].tokens[:4].tolist()
    assert same(drain(served.engine, 2), {key: expected[key] for key in (0, 2)})
    with pytest.raises(EngineError, match="key 1"):
        served.engine.abort(1)
    served.engine.add(5, request_of(5))
    assert len(served.engine.abort(5).tokens) == 0
    served.engine.add(6, request_of(6, length=CONTEXT))
    assert served.engine.abort(6).stop == "length"
    assert served.engine.step() == []


def test_a_request_that_cannot_be_served_is_refused(served: Served) -> None:
    good, vocabulary = request_of(0), served.model.config.vocab_size
    for request, message in (
        (replace(good, prompt=np.array([1, vocabulary], np.int32)), f"token id {vocabulary}"),
        (replace(good, prompt=np.array([-1], np.int32)), "token id -1"),
        (replace(good, prompt=np.array([], np.int32)), "at least one token"),
        (replace(good, version=served.engine.info().version + 1), "the engine holds"),
        (request_of(0, temperature=3.0), "0.01 to 2"),
        (request_of(0, temperature=0.001), "0.01 to 2"),
    ):
        with pytest.raises(EngineError, match=message):
            served.engine.add(0, request)
    served.engine.add(0, good)
    with pytest.raises(EngineError, match="already running"):
        served.engine.add(0, good)
    assert len(drain(served.engine, 1)[0].tokens) == 16


def test_weights_that_do_not_fit_are_refused_and_the_old_ones_stay(served: Served) -> None:
    request = request_of(0)
    expected = finish(served.engine, {0: request})
    version = served.engine.info().version
    state, name = served.model.state_dict(), "model.layers.0.mlp.down_proj.weight"
    for broken, message in (
        (
            state | {"model.layers.9.mlp.down_proj.weight": state[name]},
            "no tensor 'model.layers.9.mlp.down_proj.weight",
        ),
        (state | {name: state[name].T.contiguous()}, f"tensor '{name}' arrived as"),
        ({key: tensor for key, tensor in state.items() if key != name}, f"the first is '{name}'"),
    ):
        with pytest.raises(EngineError, match=message):
            served.engine.update(ship(ObjectStoreSender(), version + 1, broken))
    assert served.engine.info().version == version
    assert same(finish(served.engine, {0: request}), expected)


def test_it_says_what_it_is(served: Served) -> None:
    before = served.engine.info()
    assert (before.name, before.context, before.vocabulary) == ("vllm", CONTEXT, served.model.config.vocab_size)
    finish(served.engine, {0: request_of(0, max_tokens=7)})
    assert served.engine.info().tokens_generated == before.tokens_generated + 7
    assert before.slots
    assert before.cache_tokens > before.context


def test_an_engine_without_weights_refuses_to_work_until_it_is_updated(served: Served) -> None:
    engine = VllmEngine(str(served.folder), context=CONTEXT, version=-1)
    request = request_of(0, max_tokens=2)
    with pytest.raises(EngineError, match="no weights yet"):
        engine.add(0, request)
    with pytest.raises(EngineError, match="no weights yet"):
        engine.compute_logprobs(request.prompt, 1.0)
    engine.update(ship(ObjectStoreSender(), 0, served.model.state_dict()))
    assert finish(engine, {0: request})[0].versions.tolist() == [0, 0]
    engine.close()


def test_a_context_that_the_model_cannot_hold_is_refused(served: Served) -> None:
    with pytest.raises(ConfigError, match="max_model_len"):
        VllmEngine(str(served.folder), context=10 * CONTEXT)


def test_a_model_that_vllm_cannot_run_on_a_cpu_is_refused(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU's attention takes heads of any size")
    with pytest.raises(ConfigError, match="heads of 16"):
        VllmEngine(str(build_tiny_model(tmp_path, hidden=64, context=CONTEXT)), context=CONTEXT)


def test_a_missing_model_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        VllmEngine(str(tmp_path / "nowhere"))
