import asyncio

import numpy as np
import pytest
import torch

from lachesis.rollout.engines.engine import Completion, Engine, Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import Shipment, ship
from lachesis.verifiers.errors import EngineError


def generate(engine: Engine, prompt: int = 2, version: int = 0, **sampling: object) -> Completion:
    asked = Request(np.zeros(prompt, np.int32), Sampling(**sampling), version)  # type: ignore[arg-type]
    return asyncio.run(engine.generate(asked))


def packed(version: int) -> Shipment:
    return ship(ObjectStoreSender(), version, {"weight": torch.arange(3.0)})


def test_the_answer_is_the_scripts_and_ends_as_the_protocol_says() -> None:
    engine = ScriptedEngine(lambda request: [5, 6, 7, 8], version=3, context=10)
    for sampling, tokens, stop in (
        ({"stop_ids": (8,)}, [5, 6, 7, 8], "stop"),
        ({"stop_ids": (6, 8)}, [5, 6], "stop"),
        ({"stop_ids": (8,), "max_tokens": 3}, [5, 6, 7], "length"),
        ({"stop_ids": (8,), "max_tokens": 4}, [5, 6, 7, 8], "stop"),
        ({"stop_ids": (9,)}, [5, 6, 7, 8], "length"),
        ({"prompt": 8}, [5, 6], "length"),
        ({"prompt": 10}, [], "length"),
        ({"prompt": 11}, [], "length"),
    ):
        completion = generate(engine, **sampling)  # type: ignore[arg-type]
        assert (completion.tokens.tolist(), completion.stop) == (tokens, stop)
        assert completion.logprobs.tolist() == [-1.0] * len(tokens)
        assert completion.versions.tolist() == [3] * len(tokens)


def test_the_script_sees_the_request_and_may_give_logprobs() -> None:
    engine = ScriptedEngine(lambda request: ([request.sampling.seed, 1], [-0.5, -0.25]))
    completion = generate(engine, seed=42, stop_ids=(42,))
    assert completion.tokens.tolist() == [42]
    assert completion.logprobs.tolist() == [-0.5]
    assert [request.sampling.seed for request in engine.requests] == [42]
    with pytest.raises(EngineError, match="2 tokens and 1 logprobs"):
        generate(ScriptedEngine(lambda request: ([1, 2], [-0.5])))


def test_weights_versions_are_held_and_demanded() -> None:
    engine = ScriptedEngine(lambda request: [1], version=-1)
    with pytest.raises(EngineError, match="no weights yet"):
        generate(engine)
    sent = packed(4)
    assert asyncio.run(engine.update(sent)) == sent.digest
    assert generate(engine, version=4).versions.tolist() == [4]
    with pytest.raises(EngineError, match="needs version 5, the engine holds 4"):
        generate(engine, version=5)
    info = asyncio.run(engine.info())
    assert (info.name, info.version, info.tokens_generated) == ("scripted", 4, 1)


def test_scores_have_one_number_a_token_and_nan_first() -> None:
    scores = asyncio.run(
        ScriptedEngine(lambda request: [], logprob=-0.5).compute_logprobs(np.arange(3, dtype=np.int32))
    )
    np.testing.assert_array_equal(scores, np.array([np.nan, -0.5, -0.5], np.float32))
