"""TRL's GRPOTrainer on the sums of ``configs/arithmetic.toml``: ``trl_arithmetic.py MODEL TASKS OUT SEED``.

TASKS is a JSONL file of prompts and answers, in the order in which they are asked. OUT gets a line of JSON for each
step: its mean reward, and the seconds of its update. The settings are those of the job in ``trl_grpo.py``, including
the learning rate of each step. Whatever costs time or memory and is not needed is turned off. This file imports nothing
of Lachesis.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

STEPS, WARMUP, PROMPTS, ATTEMPTS = 250, 10, 64, 8
MICRO = 128
"""Samples in one forward pass: 256 and 512 were no faster on a CPU and took more memory, 64 was slower."""


def main(model: str, tasks: str, out: str, seed: int) -> None:
    """Train until all steps are done or the process is ended."""
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in Path(tasks).read_text().splitlines()]
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=6e-4, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate)
    settings = GRPOConfig(
        output_dir=out + ".trl",
        seed=seed,
        use_cpu=True,
        bf16=False,
        max_steps=STEPS,
        per_device_train_batch_size=MICRO,
        gradient_accumulation_steps=PROMPTS * ATTEMPTS // MICRO,  # all are generated at once
        num_generations=ATTEMPTS,
        max_completion_length=5,
        temperature=1.0,
        max_grad_norm=1.0,
        beta=0.0,
        epsilon=0.2,
        loss_type="dapo",
        gradient_checkpointing=False,
        shuffle_dataset=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Timed(
        model=policy,
        processing_class=AutoTokenizer.from_pretrained(model, padding_side="left"),
        reward_funcs=exact,
        args=settings,
        train_dataset=Dataset.from_list(
            [{"prompt": [{"role": "user", "content": row["prompt"]}], "answer": row["answer"]} for row in rows]
        ),
        optimizers=(optimizer, schedule),
    )
    trainer.add_callback(Log(trainer, out))
    trainer.train()


def learning_rate(step: int) -> float:
    """The share of the highest learning rate, as with ``schedule = "linear"`` in Lachesis."""
    return max(0.0, min(1.0, (step + 1) / WARMUP) * (1 - step / STEPS))


def exact(completions: list[Any], answer: list[str], **_: Any) -> list[float]:
    """1 for each reply that is the answer, else 0."""
    said = [completion[0]["content"].strip() for completion in completions]
    return [float(text == right) for text, right in zip(said, answer, strict=True)]


class Timed(GRPOTrainer):  # type: ignore[misc]
    """Adds up the time of generation and rewards."""

    prepared = 0.0

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        start = time.perf_counter()
        inputs = super()._prepare_inputs(generation_batch)
        self.prepared += time.perf_counter() - start
        return inputs


class Log(TrainerCallback):  # type: ignore[misc]
    """Writes a line for each step; the time of its update is that without generation and rewards."""

    def __init__(self, trainer: Timed, out: str) -> None:
        self._trainer, self._out = trainer, open(out, "w", buffering=1)  # noqa: SIM115 - open as long as the process
        self._begun = self._update = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._begun, self._trainer.prepared = time.perf_counter(), 0.0

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._update = time.perf_counter() - self._begun - self._trainer.prepared

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if logs and "reward" in logs:
            self._out.write(json.dumps({"reward": logs["reward"], "update": self._update}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:4], seed=int(sys.argv[4]))
