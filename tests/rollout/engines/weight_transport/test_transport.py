"""The door for transports: one that is defined here carries a learner's weights to engines, in process and on Ray."""

import asyncio
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lachesis.environments.loading import describe
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.engines.weight_transport.transport import TRANSPORTS
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.workers.open_pool import open_pool
from lachesis.rollout.workers.pool import PoolSpec
from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.learner.local import LocalLearner

FOLDER = '''
    """A transport through a folder of safetensors, streamed: the receiver waits for each tensor to be written."""

    import hashlib
    import tempfile
    import threading
    import time
    from pathlib import Path

    from safetensors.torch import load_file, save_file

    from lachesis.rollout.engines.weight_transport.transport import Shipment


    class Sender:
        def begin(self, version, layout):
            self.version, self.layout, self.hash = version, layout, hashlib.blake2b()
            self.folder = Path(tempfile.mkdtemp())
            self.waiting = []

        def send(self, name, tensor):
            tensor = tensor.clone()
            self.hash.update(tensor.numpy().tobytes())
            self.waiting.append((name, tensor))

        def finish(self):
            threading.Thread(target=self.write, daemon=True).start()  # while the engines already receive
            return Shipment(self.version, self.layout, self.hash.hexdigest(), Receiver, self.folder)

        def write(self):
            for number, (name, tensor) in enumerate(self.waiting):
                time.sleep(0.01)
                save_file({name: tensor}, self.folder / "draft")
                (self.folder / "draft").rename(self.folder / str(number))


    class Receiver:
        def __init__(self):
            self.hash = hashlib.blake2b()

        def receive(self, shipment):
            for number, spec in enumerate(shipment.layout):
                while not (path := shipment.payload / str(number)).exists():
                    time.sleep(0.001)
                tensor = load_file(path)[spec.name]
                self.hash.update(tensor.numpy().tobytes())
                yield spec.name, tensor

        def finish(self):
            return self.hash.hexdigest()
'''


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of the module above, which this process and its children can import."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "folder_transport.py").write_text(textwrap.dedent(FOLDER))
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'modules'}:{':'.join(sys.path)}")
    yield "folder_transport:Sender"
    sys.modules.pop("folder_transport", None)


@pytest.mark.parametrize("inline", [True, False])
def test_a_transport_of_ones_own_streams_the_learners_weights_to_every_engine(
    own_module: str, tmp_path: Path, inline: bool
) -> None:
    path = str(build_tiny_model(tmp_path / "model", hidden=32, layers=1, context=64))
    model = ModelConfig(path=path, context=64)
    config = RolloutConfig(inline=inline, engines=2, workers=1, slots=4, weight_transport=own_module)
    learner = LocalLearner(model, TrainerConfig())
    tokens = np.arange(3, 19, dtype=np.int32)

    async def session() -> tuple[list[int], list[Any]]:
        pool = open_pool(PoolSpec(model, config, (describe("arithmetic"),)))
        try:
            await pool.publish(learner.send(pool.sender(), 4))
            while len(infos := await pool.infos()) < (1 if inline else 2):  # noqa: ASYNC110 - one may still start
                await asyncio.sleep(0.1)
            return [info.version for info in infos], await pool.compute_logprobs(tokens)
        finally:
            await pool.close()

    versions, answers = asyncio.run(session())
    assert versions == [4] * (1 if inline else 2)
    for answer in answers:
        np.testing.assert_allclose(answer[1:], learner.compute_logprobs(tokens)[1:], atol=1e-5)


def test_transports_are_chosen_by_name_or_module() -> None:
    assert TRANSPORTS.names == ("object_store",)
    with pytest.raises(ValueError, match="no weight transport is named 'object_stor'; did you mean 'object_store'"):
        RolloutConfig(weight_transport="object_stor")
