"""An environment written to the BaseEnv of atroposlib 0.4.0; its own Python runs it, without Lachesis."""

import itertools

from atroposlib.envs.base import APIServerConfig, BaseEnv, BaseEnvConfig, ScoredDataItem


class Sums(BaseEnv):
    name = "sums"

    @classmethod
    def config_init(cls):
        config = BaseEnvConfig(
            wandb_name="sums", group_size=4, max_token_length=64, use_wandb=False, steps_per_eval=1000
        )
        return config, [APIServerConfig(model_name="none", base_url="http://127.0.0.1:9/v1", api_key="x")]

    async def setup(self):
        self.numbers = itertools.count()
        self.attempts = itertools.count()

    async def get_next_item(self):
        return next(self.numbers), None

    async def collect_trajectory(self, item):
        tokens = self.tokenizer.encode("one and one is two")
        score = float(next(self.attempts) % 2)
        masks = [-100] * 3 + tokens[3:]
        logprobs = [1.0] * 3 + [-0.5] * (len(tokens) - 3)
        return ScoredDataItem(tokens=tokens, masks=masks, scores=score, inference_logprobs=logprobs), []

    async def evaluate(self, *args, **kwargs):
        pass


if __name__ == "__main__":
    Sums.cli()
