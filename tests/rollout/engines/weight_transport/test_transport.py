"""The door for transports: one that is defined here carries a learner's weights to engines, in process and on Ray."""

import asyncio
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from lachesis.environments.loading import describe
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.engines.embedded.engine import TorchEngine
from lachesis.rollout.engines.weight_transport.layout import Layout
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import TRANSPORTS, Shipment, open_sender, ship
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.workers.open_pool import open_pool
from lachesis.rollout.workers.pool import PoolSpec
from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.learner.local import LocalLearner
from lachesis.verifiers.errors import EngineError

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


@pytest.mark.parametrize("inline", [True, pytest.param(False, marks=pytest.mark.slow)])
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
    assert TRANSPORTS.names == ("object_store", "direct", "cuda_ipc", "nccl", "folder")
    assert RolloutConfig().weight_transport == "auto"
    with pytest.raises(ValueError, match="no weight transport is named 'object_stor'; did you mean 'object_store'"):
        RolloutConfig(weight_transport="object_stor")


STATE = {"a": torch.zeros(2, 3), "b": torch.ones(4)}
ODD = [("a", torch.zeros(2, 3)), ("c", torch.ones(4))]


class Receiver:
    """Yields what it is told to."""

    tensors: ClassVar[Any] = list(STATE.items())

    def receive(self, shipment: Shipment) -> Any:
        yield from self.tensors

    def finish(self) -> str:
        return "digest"


class Sender:
    """Returns what it is told to."""

    shipment: ClassVar[Any] = staticmethod(lambda version, layout: Shipment(version, layout, "digest", Receiver))

    def begin(self, version: int, layout: Layout) -> None:
        self.made = self.shipment(version, layout)

    def send(self, name: str, tensor: Any) -> None:
        pass

    def finish(self) -> Any:
        return self.made


def test_a_transport_that_keeps_the_protocol_delivers() -> None:
    shipment = ship(Sender(), 3, STATE)
    receiver = shipment.open()
    assert list(dict(receiver.receive(shipment))) == ["a", "b"]
    assert receiver.finish() == "digest"


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (ODD, r"delivered 'c' as \(4,\) float32, where .* version 3 has 'b' as \(4,\) float32"),
        ([("a", torch.zeros(3, 2))], r"delivered 'a' as \(3, 2\) float32, where .* has 'a' as \(2, 3\) float32"),
        ([("a", torch.zeros(2, 3).half())], r"delivered 'a' as \(2, 3\) float16, where .* has 'a' as \(2, 3\) float32"),
        (ODD[:1], r"delivered no further tensor, where .* has 'b'"),
        ([*STATE.items(), *ODD], r"delivered 'a' .*, where .* has no further tensor"),
        ([("a", 5)], "receive raised AttributeError: .*; correct"),
        ([3], "receive raised TypeError: .*; correct"),
        (None, "receive raised TypeError: .*test_transport.py, line"),
    ],
)
def test_a_receiver_that_yields_other_tensors_is_named_with_what_differs(tensors: Any, message: str) -> None:
    made = type("Odd", (Receiver,), {"tensors": tensors})
    shipment = replace(ship(Sender(), 3, STATE), receiver=made)
    with pytest.raises(EngineError, match=rf"rollout.weight_transport \(.*:Odd\):? {message}"):
        dict(shipment.open().receive(shipment))


def test_a_receiver_that_raises_or_has_no_digest_is_named() -> None:
    shipment = ship(Sender(), 3, STATE)
    with pytest.raises(EngineError, match="finish returns a digest as text, found None"):
        replace(shipment, receiver=type("Odd", (Receiver,), {"finish": lambda self: None})).open().finish()
    with pytest.raises(EngineError, match=r"rollout.weight_transport \(.*\): its constructor raised ZeroDivisionError"):
        replace(shipment, receiver=lambda: 1 / 0).open()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda version, layout: None, "finish returns a Shipment .*, found None"),
        (
            lambda version, layout: Shipment(version, layout, 7, Receiver),
            "finish returns a Shipment with a digest as text",
        ),  # type: ignore[arg-type]
        (
            lambda version, layout: Shipment(version + 1, layout, "", Receiver),
            r"finish returned a Shipment with another version .*\(version 4, expected 3\)",
        ),
        (
            lambda version, layout: Shipment(version, layout[:1], "", Receiver),
            "finish returned a Shipment with another version or layout than",
        ),
        (lambda version, layout: 1 / 0, "sending raised ZeroDivisionError: division by zero .*line"),
        (lambda version: None, "sending raised TypeError: .*takes 1 positional argument"),
    ],
)
def test_a_sender_that_raises_or_returns_another_shipment_is_named(made: Any, message: str) -> None:
    sender = type("Odd", (Sender,), {"shipment": staticmethod(made)})()
    with pytest.raises(EngineError, match=rf"rollout.weight_transport \(.*:Odd\): {message}"):
        ship(sender, 3, STATE)


def test_a_sender_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "a_users_transport", ModuleType("a_users_transport"))
    monkeypatch.setattr(sys.modules["a_users_transport"], "Odd", lambda: 1 / 0, raising=False)
    with pytest.raises(
        EngineError, match=r"rollout.weight_transport = 'a_users_transport:Odd': its constructor raised"
    ):
        open_sender("a_users_transport:Odd")


def test_an_engine_says_which_tensor_differs_and_serves_nothing_until_whole_weights_come(tmp_path: Path) -> None:
    path = str(build_tiny_model(tmp_path / "model", hidden=32, layers=1, context=64))
    engine = TorchEngine.from_path(path, slots=4, context=64, version=1)
    whole = ship(ObjectStoreSender(), 2, engine.model.state_dict())
    first = whole.layout[0]
    made = type("Odd", (Receiver,), {"tensors": [(first.name, torch.zeros(3))]})
    with pytest.raises(EngineError, match=rf"delivered '{first.name}' as \(3,\) float32, where .* {first.shape[1]}\)"):
        engine.update(replace(whole, receiver=made))
    assert engine.info().version == -1
    assert engine.update(whole) == whole.digest
    assert engine.info().version == 2
