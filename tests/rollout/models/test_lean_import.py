"""An engine's process without the parts of torch and other packages that it does not use."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from lachesis.rollout.engines.embedded.engine import TorchEngine
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.models.tiny import build_tiny_model

UNUSED = ("sympy", "torch._dynamo", "torch.distributed.tensor", "scipy", "sklearn")


def reply(path: str) -> tuple[list[int], list[float]]:
    """The tokens and logprobs of a reply of the model in folder ``path``."""
    engine = TorchEngine.from_path(path, slots=4, context=64)
    engine.add(0, Request(np.arange(3, 20, dtype=np.int32), Sampling(max_tokens=12, seed=7)))
    ended = engine.step()
    while not ended:
        ended = engine.step()
    [(_, completion)] = ended
    return completion.tokens.tolist(), completion.logprobs.tolist()


SCRIPT = f"""
import json, sys
from lachesis.rollout.models.lean_import import import_for_engine
import_for_engine("cpu")
import numpy as np, torch
torch.set_num_threads(1)
from lachesis.rollout.engines.embedded.engine import TorchEngine
from lachesis.rollout.engines.engine import Request, Sampling
{inspect.getsource(reply)}
print(json.dumps([*reply(sys.argv[1]), [name for name in {UNUSED} if name in sys.modules]]))
"""


def test_an_engine_gives_the_same_bits_without_the_unused_parts(tmp_path: Path) -> None:
    path = str(build_tiny_model(tmp_path / "model", context=64))
    command = [sys.executable, "-c", SCRIPT, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    tokens, logprobs, loaded = json.loads(done.stdout.splitlines()[-1])
    assert loaded == []
    assert (tokens, logprobs) == reply(path)
