"""A stretch of a conversation as token ids, from which a training sample is made."""

from dataclasses import dataclass, field

import numpy as np

from ...verifiers.segment import Segment
from ..engines.engine import Completion
from .renderer import Ids


@dataclass
class Strand:
    """An unfinished segment.

    Attributes:
        tokens: the ids so far.
        completions: what was sampled, each with the place where it starts.
        forced: places of ids that nobody sampled (closings of reasoning).
        advantages: values that the environment gave to replies, with their places; of one place the last counts.
        temperature: of all completions.
    """

    tokens: Ids
    completions: list[tuple[int, Completion]] = field(default_factory=list)
    forced: list[slice] = field(default_factory=list)
    advantages: list[tuple[slice, float]] = field(default_factory=list)
    temperature: float = 1.0

    def force(self, ids: Ids) -> None:
        """Append ids that nobody sampled, and mark them as such."""
        self.forced.append(slice(self.tokens.size, self.tokens.size + ids.size))
        self.tokens = np.concatenate([self.tokens, ids])

    def extend(self, prompt: Ids, completion: Completion, temperature: float) -> None:
        """Append the rest of ``prompt``, which begins with the ids so far, and its completion."""
        if completion.tokens.size:
            self.completions.append((prompt.size, completion))
        self.tokens = np.concatenate([prompt, completion.tokens])
        self.temperature = temperature

    def segment(self, agent: str, trainable: bool, train: str, given: bool) -> Segment:
        """The training sample, up to the last token that was sampled or forced; ``given``: with advantages."""
        ends = [start + completion.tokens.size for start, completion in self.completions]
        length = max(ends + [span.stop for span in self.forced])
        sampled = np.zeros(length, np.bool_)
        logprobs = np.full(length, np.nan, np.float32)
        versions = np.full(length, -1, np.int32)
        for start, completion in self.completions:
            span = slice(start, start + completion.tokens.size)
            sampled[span], logprobs[span], versions[span] = True, completion.logprobs, completion.versions
        forced = np.zeros(length, np.bool_)
        for span in self.forced:
            forced[span] = True
        advantages = np.zeros(length, np.float32)
        for span, value in self.advantages:
            advantages[span] = np.where(sampled[span], value, 0.0)
        if train == "closing":
            given, advantages = True, forced.astype(np.float32)
        return Segment(
            self.tokens[:length],
            sampled,
            forced if train == "closing" else sampled.copy(),
            logprobs,
            versions,
            self.temperature,
            agent,
            trainable,
            advantages=advantages if given else None,
            extra={"forced": forced} if self.forced else {},
        )
