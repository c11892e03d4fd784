"""A random Qwen3 of any size, with the tokenizer of the tiny model, made without a network."""

import time
from pathlib import Path

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from lachesis.rollout.models.loading import save_tokenizer
from lachesis.rollout.models.tiny import build_tiny_tokenizer

from .sizes import Sizes


def build_model(sizes: Sizes, folder: Path) -> None:
    """Write the model to ``folder``, with its output layer tied to the embedding, in the type that is computed in."""
    start = time.perf_counter()
    tokenizer = build_tiny_tokenizer(sizes.context)
    config = Qwen3Config(
        **sizes.model,
        max_position_embeddings=sizes.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    with torch.device(sizes.device):
        model = Qwen3ForCausalLM(config).to(getattr(torch, sizes.dtype))
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    print(f"a Qwen3 of {model.num_parameters() / 1e6:,.1f} M weights, made in {time.perf_counter() - start:.1f} s")
