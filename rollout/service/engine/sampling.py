"""Sampling for clients: prompts of text or ids, stop strings, several samples, each remembered."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ....verifiers.errors import EngineError, EngineLost
from ...engines.engine import Completion, Generator, Ids, Request, Sampling
from .conversations import Conversations, Opening
from .requests import MOST_SAMPLES, Refusal, Wanted, clean

if TYPE_CHECKING:  # it imports transformers, which the service does without
    from ...chats.renderer import Renderer


@dataclass(frozen=True, eq=False)
class Sample:
    """One completion, cut behind its stop string.

    Attributes:
        completion: what was sampled, up to the token that completed the stop string.
        shown: its text, without what stopped it.
        finish: ``stop`` or ``length``.
        cut: how many sampled tokens after the stop string are not in ``completion``.
    """

    completion: Completion
    shown: str
    finish: str
    cut: int = 0

    @property
    def ids(self) -> list[int]:
        """The sampled ids."""
        return list(self.completion.tokens.tolist())

    @property
    def logprobs(self) -> list[float]:
        """One for each id."""
        return list(self.completion.logprobs.tolist())


@dataclass(frozen=True)
class Sampler:
    """Samples from one model; see ``engine_routes`` for the attributes."""

    generator: Generator
    renderer: Renderer
    context: int
    version: Callable[[], int]
    memory: Conversations

    def ids(self, prompt: str | list[int]) -> Ids:
        """The ids of a prompt, with what the tokenizer itself puts before a text."""
        if isinstance(prompt, str):
            ids, begin = self.renderer.written(clean(prompt)), self.renderer.begin
            has_it = np.array_equal(ids[: begin.size], begin)
            return ids if has_it else np.concatenate([begin, ids])
        beyond = [token for token in prompt if token >= self.renderer.vocabulary]
        if beyond:
            raise Refusal(f"the token {beyond[0]} is none of the tokenizer's {self.renderer.vocabulary}")
        return np.asarray(prompt, np.int32)

    async def sample(self, prompts: Sequence[Ids], wanted: Wanted, default: int) -> list[list[Sample]]:
        """Sample ``wanted.n`` times from each prompt, and remember it; ``default`` tokens if it names no limit.

        Raises:
            Refusal: a prompt leaves no room, or there are too many samples.
            InfrastructureError: the engine failed.
        """
        if len(prompts) * wanted.n > MOST_SAMPLES:
            raise Refusal(
                f"a request has at most {MOST_SAMPLES} samples, found {len(prompts)} prompts with n = {wanted.n}"
            )
        openings = [self.open(prompt) for prompt in prompts]
        groups = await asyncio.gather(*(self.sample_from(opening, wanted, default) for opening in openings))
        for opening, samples in zip(openings, groups, strict=True):
            for sample in samples:
                self.remember(opening, sample, wanted)
        return list(groups)

    def open(self, prompt: Ids) -> Opening:
        """The prompt among the remembered conversations.

        Raises:
            Refusal: it is empty, or leaves no room in the context.
        """
        if not prompt.size:
            raise Refusal("the prompt is empty", param="prompt")
        if prompt.size >= self.context:
            raise Refusal(
                f"the prompt has {prompt.size} tokens, and this model's context is {self.context} tokens of prompt and "
                "completion together; shorten the prompt",
                code="context_length_exceeded",
                param="messages",
            )
        return self.memory.open(prompt)

    def remember(self, opening: Opening, sample: Sample, wanted: Wanted, keys: Sequence[bytes] = ()) -> None:
        """Remember a sample; ``keys`` as in ``Conversations.remember``."""
        temperature = wanted.temperature or 1.0  # greedy logprobs are those of temperature 1
        filtered = wanted.top_p < 1 or wanted.top_k > 0
        self.memory.remember(opening, sample.completion, temperature, shown=sample.shown, filtered=filtered, keys=keys)

    async def sample_from(self, opening: Opening, wanted: Wanted, default: int) -> list[Sample]:
        """Sample ``wanted.n`` times, without remembering it."""
        if wanted.seed is None:
            wanted = wanted.model_copy(update={"seed": secrets.randbits(62)})
        room = self.context - int(opening.prompt.size)
        most = min(room, wanted.max_tokens or default)
        version = max(self.version(), opening.version)
        return await draw(self.generator, self.renderer, opening.prompt, wanted, most, version, opening.route)


async def draw(
    generator: Generator, renderer: Renderer, prompt: Ids, wanted: Wanted, most: int, version: int, route: int
) -> list[Sample]:
    """Sample ``wanted.n`` times from one prompt, each up to its first stop string.

    Args:
        generator: what samples.
        renderer: the model's.
        prompt: the ids.
        wanted: how to sample; its ``seed`` counts as 0 if it is missing.
        most: tokens of one sample.
        version: the lowest weights version that may serve.
        route: as in ``Request``.

    Raises:
        Refusal: the engine cannot hold a reply to the schema.
        InfrastructureError: the engine failed.
    """
    single = [ids for ids in map(renderer.written, map(clean, wanted.stop)) if ids.size == 1]
    stop_ids = {*renderer.stop_ids, *wanted.stop_token_ids, *(int(ids[0]) for ids in single)}
    requests = [
        Request(
            prompt,
            Sampling(
                wanted.temperature,
                wanted.top_p,
                max(0, wanted.top_k),
                most,
                tuple(sorted(stop_ids)),
                _seed(wanted.seed or 0, number),
                wanted.schema_text,
            ),
            version,
            route,
        )
        for number in range(wanted.n)
    ]
    try:
        drawn = map(generator.generate, requests)
        completions = await asyncio.gather(*drawn) if len(requests) > 1 else [await next(drawn)]
    except EngineError as error:
        if wanted.schema_text and not isinstance(error, EngineLost):  # an engine refuses what it cannot hold to
            raise Refusal(str(error), param="response_format") from None
        raise
    return [_cut(renderer, completion, wanted) for completion in completions]


def _cut(renderer: Renderer, completion: Completion, wanted: Wanted) -> Sample:
    """The completion up to the token that completed a stop string."""
    if completion.stop == "abort":
        raise EngineError("the engine was told to abort the reply; ask again")
    ids = completion.tokens
    text = renderer.decode(ids, ()) if wanted.stop else ""
    found = [(text.find(stop), stop) for stop in map(clean, wanted.stop) if stop in text]
    if not found:
        shown = renderer.decode(ids, (*renderer.stop_ids, *wanted.stop_token_ids))
        return Sample(completion, shown, completion.stop)
    at, stop = min(found)
    least, most = 1, int(ids.size)  # the fewest tokens whose text has the stop string
    while least < most:
        middle = (least + most) // 2
        if stop in renderer.decode(ids[:middle], ()):
            most = middle
        else:
            least = middle + 1
    logprobs, versions = completion.logprobs[:most].copy(), completion.versions[:most].copy()
    cut = Completion(ids[:most].copy(), logprobs, versions, "stop")
    shown = text[: at + len(stop)] if wanted.include_stop_str_in_output else text[:at]
    return Sample(cut, shown, "stop", int(ids.size) - most)


def _seed(seed: int, number: int) -> int:
    """63 bits for one of a request's samples."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {number}".encode(), digest_size=8).digest(), "big") >> 1
