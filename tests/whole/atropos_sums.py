"""Sums of two numbers as an environment written to Atropos' ``BaseEnv``; it knows nothing of Lachesis.

The environment variable ``HELD_OUT`` names a JSON list of the questions that it must not ask.
"""

import json
import os
import random
from pathlib import Path
from typing import Any

from atroposlib.envs.base import APIServerConfig, BaseEnv, BaseEnvConfig, ScoredDataGroup

HELD_OUT = set(json.loads(Path(os.environ["HELD_OUT"]).read_text()))


class Sums(BaseEnv):
    """``21+43=``, with the least significant digit first, as the answer is too."""

    name = "atropos_sums"

    @classmethod
    def config_init(cls) -> tuple[BaseEnvConfig, list[APIServerConfig]]:
        """Everything else comes from the command line."""
        return BaseEnvConfig(use_wandb=False, wandb_name=cls.name), [APIServerConfig()]

    async def setup(self) -> None:
        """Nothing is needed."""

    async def get_next_item(self) -> tuple[str, str]:
        """A question of the training split and its answer."""
        while True:
            a, b = random.randrange(100), random.randrange(100)
            asked, turned = (f"{x:02d}"[::-1] + "+" + f"{y:02d}"[::-1] + "=" for x, y in ((a, b), (b, a)))
            if not {asked, turned} & HELD_OUT:
                return asked, f"{a + b:03d}"[::-1]

    async def collect_trajectories(self, item: tuple[str, str]) -> tuple[ScoredDataGroup, list[Any]]:
        """Sample a group of replies and score them."""
        question, answer = item
        async with self.server.managed_server(tokenizer=self.tokenizer) as managed:
            completion = await managed.chat_completion(
                messages=[{"role": "user", "content": question}],
                n=self.config.group_size,
                max_tokens=5,
                temperature=1.0,
            )
            nodes = managed.get_state()["nodes"]
        return {
            "tokens": [node.tokens for node in nodes],
            "masks": [node.masked_tokens for node in nodes],
            "inference_logprobs": [node.logprobs for node in nodes],
            "scores": [float(choice.message.content.strip() == answer) for choice in completion.choices],
        }, []

    async def evaluate(self, *args: Any, **kwargs: Any) -> None:
        """The trainer evaluates."""


if __name__ == "__main__":
    Sums.cli()
