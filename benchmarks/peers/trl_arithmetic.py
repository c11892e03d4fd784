"""TRL's GRPOTrainer on the sums of ``configs/arithmetic.toml``: ``trl_arithmetic.py MODEL OUT GOAL``.

A line of JSON a step goes to OUT: when it ended (seconds since the epoch), how long it took, and its mean reward. It
ends when that reaches GOAL. The settings are those of our job; what costs time and is not needed is switched off.
"""

import json
import sys
import time
from itertools import islice
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from lachesis.environments.arithmetic import Arithmetic

STEPS, PROMPTS, ATTEMPTS = 250, 64, 8


def main(model: str, out: str, goal: float) -> None:
    """Train until the mean reward of a step is ``goal``."""
    torch.set_num_threads(1)
    tasks = islice(Arithmetic().tasks("train", 0), STEPS * PROMPTS)
    rows = [{"prompt": [{"role": "user", "content": task.prompt}], "answer": task.answer} for task in tasks]
    settings = GRPOConfig(
        output_dir=out + ".trl",
        use_cpu=True,
        bf16=False,
        max_steps=STEPS,
        per_device_train_batch_size=PROMPTS * ATTEMPTS,
        num_generations=ATTEMPTS,
        max_completion_length=5,
        temperature=1.0,
        learning_rate=6e-4,
        lr_scheduler_type="linear",
        warmup_steps=10,
        adam_beta2=0.99,
        weight_decay=0.0,
        max_grad_norm=1.0,
        beta=0.0,
        epsilon=0.2,
        loss_type="dapo",
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(model, padding_side="left"),
        reward_funcs=exact,
        args=settings,
        train_dataset=Dataset.from_list(rows),
        callbacks=[Log(out, goal)],
    )
    trainer.train()


def exact(completions: list[Any], answer: list[str], **_: Any) -> list[float]:
    """1 where the reply is the answer."""
    said = [completion[0]["content"].strip() for completion in completions]
    return [float(text == right) for text, right in zip(said, answer, strict=True)]


class Log(TrainerCallback):  # type: ignore[misc]
    """Writes a line a step."""

    def __init__(self, out: str, goal: float) -> None:
        self._out, self._goal = open(out, "w", buffering=1), goal  # noqa: SIM115 - as long as the process
        self._begun = self._ended = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._begun = self._ended or time.time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._ended = time.time()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if logs and "reward" in logs:
            row = {"time": self._ended, "seconds": self._ended - self._begun, "reward": logs["reward"]}
            self._out.write(json.dumps(row) + "\n")
            control.should_training_stop = logs["reward"] >= self._goal


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
