"""A policy that says given lines with exact tokens, and checks that each is trained once, as it was sampled."""

from dataclasses import dataclass, field

import numpy as np

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.chats.token_chat import TokenPolicy
from lachesis.rollout.engines.engine import Completion, Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.verifiers.segment import Segment


@dataclass
class ExactPolicy:
    """The lines, and what was asked and sampled."""

    lines: list[str]
    sampled: list[tuple[Request, Completion]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tokenizer = build_tiny_tokenizer()
        self.rng = np.random.default_rng(0)
        engine = ScriptedEngine(self.script, context=4096)
        generate = engine.generate

        async def recorded(request: Request) -> Completion:
            completion = await generate(request)
            self.sampled.append((request, completion))
            return completion

        engine.generate = recorded  # type: ignore[method-assign]
        self.policy = TokenPolicy(engine, Renderer(self.tokenizer), Sampling(max_tokens=512), context=4096)

    def script(self, request: Request) -> tuple[list[int], list[float]]:
        line = self.lines.pop(0) if self.lines else ""
        ids = [*self.tokenizer.encode(line, add_special_tokens=False), self.tokenizer.eos_token_id]
        return ids, (-self.rng.random(len(ids))).tolist()

    def check(self, segments: tuple[Segment, ...]) -> None:
        """Every completion is in one segment, once, with its ids and logprobs, after the prompt it was sampled for."""
        left = list(self.sampled)
        for segment in segments:
            edges = np.flatnonzero(np.diff(np.concatenate([[False], segment.sampled]).astype(int)) == 1)
            for start in edges:
                place = next(i for i, (r, _) in enumerate(left) if np.array_equal(r.prompt, segment.tokens[:start]))
                _, completion = left.pop(place)
                span = slice(start, start + completion.tokens.size)
                assert segment.tokens[span].tolist() == completion.tokens.tolist()
                assert segment.logprobs[span].tolist() == completion.logprobs.tolist()
        assert not left
