"""The engine: our adapter against the same vLLM engine driven bare, and its logprobs against a forward pass."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from lachesis.rollout.engines.engine import Completion, Engine, Request, Sampling
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import ship
from lachesis.rollout.models.loading import load_model

from ..update import seconds, time_of
from .policies import pool_spec
from .row import Mark, Row
from .sizes import Sizes

CHECKED = 4
"""Replies whose logprobs are compared."""


def rows(sizes: Sizes, model: str) -> Iterator[Row]:
    """Speed first, then parity before, after and during an update, all with one engine."""
    start = time.perf_counter()
    engine = pool_spec(sizes, model, 0.4, engine="vllm", eager=False).build_engine()
    yield Row("vllm engine, start", time.perf_counter() - start, "s")
    loop = asyncio.new_event_loop()
    yield from speed(sizes, engine, loop)
    yield from parity(sizes, model, engine, loop)
    loop.run_until_complete(engine.close())


def requests(sizes: Sizes) -> list[Request]:
    """Random prompts, each with a seed of its own, and replies of full length."""
    rng = np.random.default_rng(1)
    prompts = rng.integers(0, sizes.vocabulary, (sizes.requests, sizes.prompt), dtype=np.int32)
    return [Request(prompt, Sampling(max_tokens=sizes.reply, seed=seed)) for seed, prompt in enumerate(prompts)]


def speed(sizes: Sizes, engine: Any, loop: asyncio.AbstractEventLoop) -> Iterator[Row]:
    """Tokens per second through the adapter and without it, by turns."""
    asked = requests(sizes)
    tokens = sizes.requests * sizes.reply

    async def through_adapter() -> None:
        await asyncio.gather(*(engine.generate(request) for request in asked))

    vllm = engine._core._engine  # a second engine of its own would need another 80 s to start
    ours, bare = seconds(
        lambda: loop.run_until_complete(through_adapter()),
        lambda: drive(vllm, asked, seeds=True, logprobs=0),
        rounds=max(1, sizes.rounds // 2),
    )
    plain = time_of(lambda: drive(vllm, asked, seeds=False, logprobs=None))
    mark = Mark("≥", 0.95, "ratio")
    what = f"vllm engine, {sizes.requests} requests of {sizes.prompt} + {sizes.reply} tokens"
    details = {"bare without seeds and logprobs, tokens/s": tokens / plain}
    yield Row(what, tokens / ours, "tokens/s", tokens / bare, "the same engine, bare", mark, details=details)


def drive(vllm: Any, asked: Sequence[Request], *, seeds: bool, logprobs: int | None) -> None:
    """Step vLLM's own engine until all replies have ended."""
    from vllm import SamplingParams
    from vllm.inputs.engine import tokens_input
    from vllm.sampling_params import RequestOutputKind

    for number, request in enumerate(asked):
        params = SamplingParams(
            temperature=1.0,
            max_tokens=request.sampling.max_tokens,
            ignore_eos=True,
            seed=number if seeds else None,
            logprobs=logprobs,
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        vllm.add_request(f"bare {number}", tokens_input(request.prompt.tolist()), params)
    left = len(asked)
    while left:
        left -= sum(output.finished for output in vllm.step())


def parity(sizes: Sizes, model: str, engine: Engine, loop: asyncio.AbstractEventLoop) -> Iterator[Row]:
    """The largest difference of logprobs; an engine with the wrong weights has the one that is given beside it."""
    dtype = getattr(torch, sizes.dtype)
    old, new = (load_model(model, dtype, sizes.device) for _ in range(2))
    asked = requests(sizes)[:CHECKED]
    mark = Mark("≤", sizes.parity, of_speed=False)
    beside = "the other weights"

    async def generate() -> list[Completion]:
        return await asyncio.gather(*(engine.generate(request) for request in asked))

    async def update(version: int) -> None:
        shipment = ship(ObjectStoreSender(), version, dict(new.named_parameters()))
        shipment.check_delivery(await engine.update(shipment), "the engine")

    async def in_flight() -> list[Completion]:
        before = (await engine.info()).tokens_generated
        replies = asyncio.gather(*(engine.generate(request) for request in asked))
        while (await engine.info()).tokens_generated < before + CHECKED * sizes.reply // 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await update(2)
        return await replies

    change(new)
    done = loop.run_until_complete(generate())
    gaps = [gap(weights, asked, done, 0) for weights in (old, new)]
    yield Row("parity before an update", gaps[0], "nats", gaps[1], beside, mark)
    loop.run_until_complete(update(1))
    done = loop.run_until_complete(generate())
    gaps = [gap(weights, asked, done, 1) for weights in (new, old)]
    yield Row("parity after an update", gaps[0], "nats", gaps[1], beside, mark)
    old.load_state_dict(new.state_dict())
    change(new)
    done = loop.run_until_complete(in_flight())
    for version, right, wrong in ((1, old, new), (2, new, old)):
        gaps = [gap(weights, asked, done, version) for weights in (right, wrong)]
        name = f"parity in flight, tokens {'before' if version == 1 else 'after'} the update"
        yield Row(name, gaps[0], "nats", gaps[1], beside, mark)


@torch.no_grad()
def change(model: PreTrainedModel) -> None:
    """Change all weights by about a third, so that logprobs under the old and the new ones differ clearly."""
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter) * (0.3 * parameter.float().std().nan_to_num()).to(parameter.dtype))


def gap(model: PreTrainedModel, asked: Sequence[Request], done: Sequence[Completion], version: int) -> float:
    """The largest difference between an engine's logprobs and a forward pass, over tokens of that version; NaN if none.

    A request that runs during an update has its cache computed anew, so that each token's logprob is that of a forward
    pass under the weights of the token's own version.
    """
    gaps: list[npt.NDArray[np.float32]] = []
    for request, reply in zip(asked, done, strict=True):
        ids = torch.from_numpy(np.concatenate([request.prompt, reply.tokens]).astype(np.int64)).to(model.device)
        with torch.no_grad():
            logits = model(input_ids=ids[None]).logits[0, request.prompt.size - 1 : -1].float()
        expected = logits.log_softmax(-1).gather(-1, ids[request.prompt.size :, None])[:, 0].cpu().numpy()
        gaps.append(np.abs(expected - reply.logprobs)[reply.versions == version])
    together = np.concatenate(gaps)
    return float(together.max()) if together.size else float("nan")
