"""Replies of the right form, whatever the prompt: a warm start for environments whose task a tiny model never does."""

import random
from collections.abc import Iterator

from lachesis import Environment, EnvironmentConfig, Task
from lachesis.environments.environment import Split
from lachesis.verifiers.message import Message


class Form(Environment):
    """Prompts that are pieces of a text, each answered with any of the replies."""

    class Config(EnvironmentConfig):
        """What is asked and answered."""

        text: str = "Nothing is asked."
        """What the prompts are pieces of."""
        longest: int = 200
        """Most characters of a system prompt."""
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
                messages.append({"role": "system", "content": self._piece(rng, self.config.longest)})
            for _ in range(rng.choice(self.config.earlier)):
                messages.append({"role": "user", "content": self._piece(rng, 80)})
                messages.append({"role": "assistant", "content": rng.choice(self.config.replies)})
            messages.append({"role": "user", "content": self._piece(rng, 80)})
            yield Task(messages, answer=rng.choice(self.config.replies))

    def _piece(self, rng: random.Random, longest: int) -> str:
        start = rng.randrange(len(self.config.text))
        return self.config.text[start : start + rng.randint(1, longest)]
