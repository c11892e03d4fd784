"""A random Qwen3 of any size, with the tokenizer of the tiny model: ``python -m benchmarks.gpu.model FOLDER FILE``.

It is made in a process of its own, so that the one that starts the parts keeps no memory of the GPU. FILE, for rows,
stays empty.
"""

import json
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import Qwen3Config, Qwen3ForCausalLM

from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.models.tokenizer import save_tokenizer

from . import sizes
from .sizes import Sizes

MACHINE = "machine.json"
"""File beside the model's that says what it was made on."""


def build_model(chosen: Sizes, folder: Path) -> None:
    """Write the model to ``folder``, with its output layer tied to the embedding, in the type that is computed in."""
    start = time.perf_counter()
    tokenizer = build_tiny_tokenizer(chosen.context)
    config = Qwen3Config(
        **chosen.model,
        max_position_embeddings=chosen.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    with torch.device(chosen.device):
        model = Qwen3ForCausalLM(config).to(getattr(torch, chosen.dtype))
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    print(f"a Qwen3 of {model.num_parameters() / 1e6:,.1f} M weights, made in {time.perf_counter() - start:.1f} s")


def machine() -> dict[str, Any]:
    """The date, the card and the versions."""
    versions = {}
    for package in ("torch", "transformers", "vllm", "ray"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = ""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {platform.machine()}"
    cuda = torch.version.cuda or ""
    return {"date": datetime.now(UTC).isoformat("T", "seconds"), "device": device, "cuda": cuda, "versions": versions}


if __name__ == "__main__":
    transformers.logging.disable_progress_bar()
    place = Path(sys.argv[1])
    build_model(sizes.chosen(), place)
    (place / MACHINE).write_text(json.dumps(machine()))
