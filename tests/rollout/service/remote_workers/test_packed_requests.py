import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.rollout.engines.engine import Completion, Request, Sampling
from lachesis.rollout.service.remote_workers.packed_requests import (
    pack_completion,
    pack_request,
    unpack_completion,
    unpack_request,
)
from lachesis.rollout.service.wire import BadBody, place
from lachesis.verifiers.errors import EngineError

BOUNDS = {"context": 8, "vocabulary": 100, "version": 4}


def request(*prompt: int, version: int = 4, **sampling: object) -> Request:
    return Request(np.array(prompt or (1, 2), np.int32), Sampling(**sampling), version, 2**40)  # type: ignore[arg-type]


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=8),
    st.floats(0, 99.5),
    st.floats(0.01, 1),
    st.integers(0, 2**62),
    st.text(max_size=5),
)
def test_a_request_arrives_as_it_was_sent(
    prompt: list[int], temperature: float, top_p: float, seed: int, schema: str
) -> None:
    sampling = Sampling(temperature, top_p, 7, 9, (3, 5), seed, schema)
    sent = Request(np.array(prompt, np.int32), sampling, 2, 11)
    found = unpack_request(pack_request(sent), **BOUNDS)
    assert found.prompt.tolist() == prompt
    assert (found.sampling, found.version, found.route) == (sampling, 2, 11)


@given(st.lists(st.floats(-100, 0, width=32), max_size=6), st.sampled_from(["stop", "length", "abort"]))
def test_a_completion_arrives_to_the_bit(logprobs: list[float], stop: str) -> None:
    size = len(logprobs)
    versions = np.arange(size, dtype=np.int32)
    sent = Completion(np.arange(size, dtype=np.int32), np.array(logprobs, np.float32), versions, stop)  # type: ignore[arg-type]
    found = unpack_completion(pack_completion(sent))
    assert found.stop == stop
    for name in ("tokens", "logprobs", "versions"):
        assert getattr(found, name).tobytes() == getattr(sent, name).tobytes()
        assert getattr(found, name).dtype == getattr(sent, name).dtype


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        (request(*range(9)), "prompt"),
        (request(1, 100), "prompt[1]"),
        (request(-1), "prompt[0]"),
        (request(version=5), "version"),
        (request(seed=-1), "sampling.seed"),
        (request(top_k=2**40), "sampling.top_k"),
        (request(max_tokens=2**40), "sampling.max_tokens"),
        (request(stop_ids=(-1,)), "sampling.stop_ids"),
        (request(stop_ids=(1,) * 2000), "sampling.stop_ids"),
    ],
)
def test_what_the_engine_cannot_serve_is_refused_by_field(sent: Request, where: str) -> None:
    with pytest.raises(BadBody) as refusal:
        unpack_request(pack_request(sent), **BOUNDS)
    assert place(refusal.value.detail[0]["loc"]) == where


@given(st.data())
def test_no_bytes_do_more_than_be_refused(data: st.DataObject) -> None:
    body = bytearray(pack_request(request()))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    with contextlib.suppress(BadBody):
        unpack_request(bytes(body), **BOUNDS)


@pytest.mark.parametrize("cut", [0, 5, -1])
def test_a_completion_that_is_not_whole_is_the_engines_failure(cut: int) -> None:
    ids = np.zeros(2, np.int32)
    body = pack_completion(Completion(ids, np.zeros(2, np.float32), ids, "stop"))
    with pytest.raises(EngineError):
        unpack_completion(body[:cut])
