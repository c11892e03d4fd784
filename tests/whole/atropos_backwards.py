"""An environment written to Atropos' ``BaseEnv``, with the tasks of its test; it knows nothing of Lachesis."""

import random
from typing import Any

from atroposlib.envs.base import APIServerConfig, BaseEnv, BaseEnvConfig, ScoredDataGroup


class BackwardsEnv(BaseEnv):
    """A word to be written backwards."""

    name = "atropos_backwards"

    @classmethod
    def config_init(cls) -> tuple[BaseEnvConfig, list[APIServerConfig]]:
        """Everything else comes from the command line."""
        return BaseEnvConfig(use_wandb=False, wandb_name=cls.name), [APIServerConfig()]

    async def setup(self) -> None:
        """Nothing is needed."""

    async def get_next_item(self) -> str:
        """A word of the training split."""
        while True:
            word = "".join(random.choices("abcdefgh", k=LENGTH))
            if sum(map(ord, word)) % 10:
                return word

    async def collect_trajectories(self, item: str) -> tuple[ScoredDataGroup, list[Any]]:
        """Sample a group of replies and score them."""
        messages = [{"role": "user", "content": f"{item}>"}]
        async with self.server.managed_server(tokenizer=self.tokenizer) as managed:
            answer = await managed.chat_completion(
                messages=messages, n=self.config.group_size, max_tokens=LENGTH + 1, temperature=1.0
            )
            nodes = managed.get_state()["nodes"]
        texts = [choice.message.content.strip() for choice in answer.choices]
        return {
            "tokens": [node.tokens for node in nodes],
            "masks": [node.masked_tokens for node in nodes],
            "inference_logprobs": [node.logprobs for node in nodes],
            "scores": [1.0 if text == item[::-1] else 0.0 for text in texts],
        }, []

    async def evaluate(self, *args: Any, **kwargs: Any) -> None:
        """The trainer evaluates."""


LENGTH = 3

if __name__ == "__main__":
    BackwardsEnv.cli()
