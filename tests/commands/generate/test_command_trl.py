"""Rows of every kind train a step in TRL, which puts the loss on exactly the tokens that the rows say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def libraries() -> None:
    """TRL and datasets, which take too long to import to do so when tests are collected."""
    pytest.importorskip("trl", reason="the test trains with TRL (pip install trl)")
    pytest.importorskip("datasets", reason="the test reads the files with datasets (pip install datasets)")


Generate = Callable[..., Any]

MARKED = """{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\n' -}}
{%- if message.role == 'assistant' -%}{%- generation -%}
{{- (message.reasoning_content or '') + message.content -}}
{%- for call in message.tool_calls or [] -%}{{- call.function.arguments | tojson -}}{%- endfor -%}
{{- '<|im_end|>' -}}{%- endgeneration -%}{{- '\n' -}}
{%- else -%}{{- message.content + '<|im_end|>\n' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"""
"""A template that marks what assistants say, which TRL needs for ``assistant_only_loss``."""


def made(generate: Generate, folder: Path, out: str, *words: str) -> Any:
    """The rows of a generation, as ``datasets`` loads them."""
    done = generate("tokens", "--out", out, *words, played=False)
    assert done.returncode == 0, done.stderr
    import datasets

    return datasets.load_dataset(str(folder / out), split="train", cache_dir=str(folder / "cache"))


def step(trainer: Any) -> float:
    """The loss of one step."""
    trainer.train()
    losses = [row["train_loss"] for row in trainer.state.log_history if "train_loss" in row]
    assert len(losses) == 1
    assert losses[0] > 0
    return float(losses[0])


def sft(folder: Path, rows: Any, **options: Any) -> Any:
    import trl
    from transformers import AutoTokenizer

    template = options.pop("template", None)

    tokenizer = AutoTokenizer.from_pretrained(folder / "m")
    tokenizer.chat_template = template or tokenizer.chat_template
    config = trl.SFTConfig(
        output_dir=str(folder / "trained"),
        max_steps=1,
        per_device_train_batch_size=4,
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        max_length=2048,
        **options,
    )
    return trl.SFTTrainer(model=str(folder / "m"), args=config, train_dataset=rows, processing_class=tokenizer)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_tokens_keep_their_labels(folder: Path, generate: Generate, form: str) -> None:
    rows = made(generate, folder, f"tokens-{form}", "--rows", "tokens", "--files", form)
    trainer = sft(folder, rows)
    assert list(trainer.train_dataset["input_ids"]) == list(rows["input_ids"])
    assert list(trainer.train_dataset["labels"]) == list(rows["labels"])
    step(trainer)


def test_packed_tokens_train_without_padding(folder: Path, generate: Generate) -> None:
    rows = made(generate, folder, "packed", "--rows", "tokens", "--pack", "1500")
    trainer = sft(folder, rows)
    assert list(trainer.train_dataset["seq_lengths"]) == list(rows["seq_lengths"])
    step(trainer)


def test_completions_train_on_the_reply_alone(folder: Path, generate: Generate) -> None:
    rows = made(generate, folder, "completion", "--rows", "completion", "--replies", "text")
    trainer = sft(folder, rows)
    for row, prepared in zip(rows, trainer.train_dataset, strict=True):
        trained = [label for label in prepared["labels"] if label != -100]
        assert trainer.processing_class.decode(trained) == row["completion"][0]["content"] + "<|im_end|>\n"
    step(trainer)


def test_messages_train_on_what_the_policy_said(folder: Path, generate: Generate) -> None:
    rows = made(generate, folder, "messages")
    trainer = sft(folder, rows, assistant_only_loss=True, template=MARKED)
    for row, prepared in zip(rows, trainer.train_dataset, strict=True):
        said = trainer.processing_class.decode([label for label in prepared["labels"] if label != -100])
        replies = [message for message in row["messages"] if message["train"]]
        assert said.count("<|im_end|>") == len(replies) == 2
        assert said.endswith(replies[-1]["content"] + "<|im_end|>")
        assert replies[0]["tool_calls"][0]["function"]["arguments"]["expression"] in said
    step(trainer)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_pairs_train_in_dpo(folder: Path, generate: Generate, form: str) -> None:
    import trl
    from transformers import AutoTokenizer

    rows = made(generate, folder, f"pairs-{form}", "--rows", "preference", "--pairs", "all", "--files", form)
    config = trl.DPOConfig(
        output_dir=str(folder / "trained"),
        max_steps=1,
        per_device_train_batch_size=4,
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        max_length=2048,
    )
    tokenizer = AutoTokenizer.from_pretrained(folder / "m")
    trainer = trl.DPOTrainer(model=str(folder / "m"), args=config, train_dataset=rows, processing_class=tokenizer)
    for row, prepared in zip(rows, trainer.train_dataset, strict=True):
        assert tokenizer.decode(prepared["chosen_ids"]).startswith(row["chosen"][0]["content"])
        assert "calculate" in tokenizer.decode(prepared["prompt_ids"])
    step(trainer)
