"""An environment written to Atropos' ``BaseEnv``: sums as in ``arithmetic``. It knows nothing of Lachesis."""

import json
import os
import random
from typing import Any

from atroposlib.envs.base import APIServerConfig, BaseEnv, BaseEnvConfig, ScoredDataGroup


def written(number: int, digits: int) -> str:
    """The number with leading zeros, the least significant digit first."""
    return f"{number:0{digits}d}"[::-1]


class ArithmeticEnv(BaseEnv):
    """``12+34=`` with two digits each."""

    name = "atropos_arithmetic"

    @classmethod
    def config_init(cls) -> tuple[BaseEnvConfig, list[APIServerConfig]]:
        """Everything comes from the command line."""
        return BaseEnvConfig(use_wandb=False, wandb_name=cls.name), [APIServerConfig()]

    async def setup(self) -> None:
        """Read the sums that may be trained."""
        with open(os.environ["ATROPOS_PAIRS"]) as file:  # noqa: ASYNC230 - once
            self.pairs = json.load(file)

    async def get_next_item(self) -> Any:
        """A sum."""
        return random.choice(self.pairs)

    async def collect_trajectories(self, item: Any) -> tuple[ScoredDataGroup, list[Any]]:
        """Sample a group of replies and score them."""
        a, b = item
        messages = [{"role": "user", "content": f"{written(a, 2)}+{written(b, 2)}="}]
        async with self.server.managed_server(tokenizer=self.tokenizer) as managed:
            answer = await managed.chat_completion(
                messages=messages, n=self.config.group_size, max_tokens=5, temperature=1.0
            )
            nodes = managed.get_state()["nodes"]
        wanted = written(a + b, 3)
        texts = [choice.message.content.strip() for choice in answer.choices]
        return {
            "tokens": [node.tokens for node in nodes],
            "masks": [node.masked_tokens for node in nodes],
            "inference_logprobs": [node.logprobs for node in nodes],
            "scores": [1.0 if text == wanted else 0.0 for text in texts],
        }, []

    async def evaluate(self, *args: Any, **kwargs: Any) -> None:
        """The trainer evaluates."""


if __name__ == "__main__":
    ArithmeticEnv.cli()
