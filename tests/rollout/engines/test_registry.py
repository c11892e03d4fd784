"""The door for engines: built-in ones and one's own by ``module:name``, in this process and in a Ray actor."""

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lachesis.environments.loading import describe
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.engines.engine import Sampling
from lachesis.rollout.engines.registry import ENGINES
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import ship
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.models.tokenizer import load_tokenizer
from lachesis.rollout.orders import Order, Outcome
from lachesis.rollout.workers.open_pool import open_pool
from lachesis.rollout.workers.pool import PoolSpec
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.group import Group

OWN = '''
    """An engine behind a queue, as one behind a server is: it answers later, and one request of three is refused."""

    import asyncio
    import logging
    import numpy as np
    from lachesis.rollout.engines.engine import Completion, EngineInfo
    from lachesis.verifiers.errors import EngineError


    class Slow:
        def __init__(self, setup):
            self.setup, self.version, self.asked = setup, setup.version, 0
            logging.getLogger("lachesis").warning("half of the start is done")

        async def generate(self, request):
            self.asked += 1
            if self.asked == self.setup.options["refuses"]:
                raise EngineError("refused for once")
            if self.asked == self.setup.options["breaks"]:
                raise ZeroDivisionError("a bug")
            await asyncio.sleep(0.01 * (self.asked % 3))
            tokens = np.array([*self.setup.options["says"], request.sampling.stop_ids[0]], np.int32)
            return Completion(tokens, np.zeros(len(tokens), np.float32), np.full(len(tokens), self.version), "stop")

        async def compute_logprobs(self, tokens, temperature=1.0):
            return np.zeros(len(tokens), np.float32)

        async def update(self, shipment):
            receiver = shipment.receiver()
            dict(receiver.receive(shipment))
            self.version = shipment.version
            return receiver.finish()

        async def info(self):
            return EngineInfo("slow", self.version, self.setup.context, 300, 0, {"asked": str(self.asked)})

        async def sleep(self):
            self.note("slept, ")

        async def close(self):
            self.note("closed")

        def note(self, what):
            with open(self.setup.options["closed"], "a") as file:
                file.write(what)


    def four(request):
        return [*four.says, request.sampling.stop_ids[0]]
'''


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of the module above, which this process and its children can import."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "slow_engine.py").write_text(textwrap.dedent(OWN))
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'modules'}:{':'.join(sys.path)}")
    yield "slow_engine"
    sys.modules.pop("slow_engine", None)


@pytest.mark.parametrize("inline", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_an_engine_of_ones_own_serves_workers_and_its_errors_harm_their_own_request(
    own_module: str, tmp_path: Path, inline: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(build_tiny_model(tmp_path / "model", hidden=32, layers=1, context=64))
    says = load_tokenizer(path).encode("4", add_special_tokens=False)
    options = {"says": says, "refuses": 2, "breaks": 5, "closed": str(tmp_path / "closed")}
    config = RolloutConfig(
        inline=inline, engine=f"{own_module}:Slow", engine_options=options, engines=1, workers=1, retries=2
    )
    environment = describe("arithmetic")
    pool_spec = PoolSpec(ModelConfig(path=path, context=64), config, (environment,))
    tasks = list(zip(range(3), environment.build().tasks("train", 0), strict=False))
    orders = [Order(index, 0, task, 4, (0, 0), Sampling(max_tokens=8), version=3) for index, task in tasks]

    async def session() -> tuple[list[Outcome], Any]:
        pool = open_pool(pool_spec)
        try:
            await pool.publish(ship(ObjectStoreSender(), 3, {}))
            outcomes = await pool.run(orders)
            await pool.sleep()
            return outcomes, (await pool.infos(), await pool.compute_logprobs(np.arange(3, dtype=np.int32)))
        finally:
            await pool.close()

    outcomes, ([info], [logprobs]) = asyncio.run(session())
    groups = [outcome for outcome in outcomes if isinstance(outcome, Group)]
    assert [group.attempts for group in groups] == [(0, 1, 2, 3)] * 3
    assert {segment.versions.max() for group in groups for one in group.trajectories for segment in one.segments} == {3}
    assert (info.name, info.version, int(info.details["asked"])) == ("slow", 3, 14)  # two were made again
    assert logprobs.tolist() == [0, 0, 0]
    assert (tmp_path / "closed").read_text() == "slept, closed"
    shown = "half of the start is done" if inline else "engine 0: half of the start is done"
    assert [record.message for record in caplog.records if "start is done" in record.message] == [shown]


def test_the_scripted_engine_takes_its_script_by_name(own_module: str, tmp_path: Path) -> None:
    path = str(build_tiny_model(tmp_path / "model", hidden=32, layers=1, context=64))
    environment = describe("arithmetic")
    (task,) = list(zip(range(1), environment.build().tasks("train", 0), strict=False))

    async def run(**options: Any) -> Any:
        config = RolloutConfig(inline=True, engine="scripted", engine_options=options)
        pool = open_pool(PoolSpec(ModelConfig(path=path, context=64), config, (environment,), version=0))
        try:
            [outcome] = await pool.run([Order(0, 0, task[1], 2, (0, 0), Sampling(max_tokens=8))])
            return outcome, (await pool.infos())[0]
        finally:
            await pool.close()

    __import__(own_module).four.says = load_tokenizer(path).encode("4", add_special_tokens=False)
    outcome, info = asyncio.run(run(script=f"{own_module}:four", vocabulary=300))
    assert [one.messages["policy"][-1]["content"] for one in outcome.trajectories] == ["4", "4"]
    assert (info.name, info.vocabulary, info.context) == ("scripted", 300, 64)
    with pytest.raises(ConfigError, match="needs rollout\\.engine_options"):
        asyncio.run(run())


def test_engines_are_chosen_by_name_without_torch() -> None:
    assert ENGINES.names == ("torch", "vllm", "scripted")
    with pytest.raises(ValueError, match="no engine is named 'vlm'; did you mean 'vllm'"):
        RolloutConfig(engine="vlm")
    code = "import sys, lachesis.rollout.config; assert not {'torch', 'ray', 'vllm'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=240)
