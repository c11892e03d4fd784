"""Replies of the right form, whatever the prompt: a warm start for environments whose task a tiny model never does."""

import random
from collections.abc import Iterator

from lachesis import Environment, EnvironmentConfig, Task
from lachesis.environments.environment import Split
from lachesis.verifiers.message import Message


class Form(Environment):
    """Prompts of random words, each answered with any of the replies."""

    class Config(EnvironmentConfig):
        """What is asked and answered."""

        words: tuple[str, ...] = ("word",)
        """What the prompts are made of."""
        longest: int = 100
        """Most words of a system prompt."""
        earlier: tuple[int, ...] = (0,)
        """How many turns may come before the last one."""
        replies: tuple[str, ...] = ("reply",)
        """The answers."""

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """Without end; the split makes no difference."""
        rng = random.Random(seed)
        while True:
            messages: list[Message] = []
            if rng.random() < 0.7:
                messages.append({"role": "system", "content": self._words(rng, self.config.longest)})
            for _ in range(rng.choice(self.config.earlier)):
                messages.append({"role": "user", "content": self._words(rng, 60)})
                messages.append({"role": "assistant", "content": rng.choice(self.config.replies)})
            messages.append({"role": "user", "content": self._words(rng, 60)})
            yield Task(messages, answer=rng.choice(self.config.replies))

    def _words(self, rng: random.Random, longest: int) -> str:
        return " ".join(rng.choices(self.config.words, k=rng.randrange(2, longest)))
