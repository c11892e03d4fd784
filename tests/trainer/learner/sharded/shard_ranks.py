"""Ranks that load a model, as a program: ``shard_ranks.py SIZE PORT OUT FOLDER...``.

It imports torch once and forks, because an import costs more than the loading.
"""

import hashlib
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from lachesis.rollout.models.loading import load_model
from lachesis.trainer.learner.config import LoraConfig
from lachesis.trainer.learner.lora import adapt, adapter_tensors, base_digest
from lachesis.trainer.learner.packing.logprobs import LogprobModel
from lachesis.trainer.learner.sharded.shard_loading import load_shards, open_model
from lachesis.trainer.learner.sharded.sharding import Ranks, full_tensor

CPU = torch.device("cpu")


def memory(field: str) -> float:
    """MiB of this process: ``VmRSS`` now, ``VmHWM`` the most so far."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(field)).split()[1]) / 1024


def digests(model: torch.nn.Module) -> dict[str, str]:
    """Of all parameters and buffers, as whole tensors."""
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers()]
    wholes = {name: full_tensor(tensor.detach()).contiguous() for name, tensor in named}
    return {
        name: f"{whole.dtype} {hashlib.sha256(whole.flatten().view(torch.uint8).numpy()).hexdigest()}"
        for name, whole in wholes.items()
    }


def loaded(folder: str, lora: bool, ranks: Ranks | None) -> dict[str, Any]:
    """The digests of a model, and what loading it took at most; without ``ranks`` it is loaded whole."""
    dtype = torch.bfloat16 if lora else torch.float32
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins again
    before = memory("VmRSS")
    model = open_model(folder, dtype, CPU, ranks.size) if ranks else load_model(folder, dtype, "cpu")
    empty = model.device.type == "meta"
    if lora:
        adapt(model, LoraConfig(rank=4))
    if ranks:
        policy = LogprobModel(model, dtype)
        ranks.shard(policy, CPU)
        assert load_shards(model, folder, ranks.rank, CPU) is empty
        assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
    took = memory("VmHWM") - before
    if ranks and empty:
        ranks.check(policy)
    sent = {name: tensor.clone() for name, tensor in adapter_tensors(model)}
    digest = base_digest(model, dtype)
    return {"digests": digests(model), "took": took, "by shards": empty, "adapters": sent, "base": digest}


def rank(number: int, size: int, port: int, out: str, folders: list[str]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=number, world_size=size)
    found = {(folder, lora): loaded(folder, lora, Ranks.current()) for folder in folders for lora in (False, True)}
    torch.save(found, f"{out}{number}")
    dist.destroy_process_group()


if __name__ == "__main__":
    sizes, places = [int(text) for text in sys.argv[1:3]], sys.argv[3:]
    context = multiprocessing.get_context("fork")
    arguments = (*sizes, places[0], places[1:])
    processes = [context.Process(target=rank, args=(number, *arguments), daemon=True) for number in range(sizes[0])]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    sys.exit(any(process.exitcode for process in processes))
