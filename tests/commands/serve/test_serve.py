"""``lachesis serve``: it starts, ends and is killed without losing a group that it acknowledged."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession

from lachesis.commands.serve.serve import summary
from lachesis.rollout.service.service import Service
from lachesis.rollout.service.storage.queue import GroupQueue
from lachesis.rollout.service.wire import BadBody, EnvironmentRegistration, Registration

REGISTRATION = {
    "wandb_group": "group",
    "wandb_project": "project",
    "batch_size": 4,
    "max_token_len": 64,
    "checkpoint_dir": "folder",
    "save_checkpoint_interval": 5,
    "starting_step": 0,
    "num_steps": 100,
}


@contextmanager
def serve(store: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address."""
    command = [sys.executable, "-m", "lachesis.commands.cli", "serve", "--port", "0", "--store", str(store), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on http://"), line + process.stdout.read()
            yield process, line.split()[2].rstrip(";")
        finally:
            process.kill()


def group(first: int) -> dict[str, Any]:
    return {"tokens": [[first, 2], [first, 3]], "masks": [[-100, 2], [-100, 3]], "scores": [0, 1]}


async def post(session: ClientSession, address: str, path: str, body: Any) -> Any:
    async with session.post(address + path, json=body) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def pull(session: ClientSession, address: str) -> list[int] | None:
    async with session.get(address + "/batch") as response:
        batch = (await response.json())["batch"]
        return batch and [one["tokens"][0][0] for one in batch]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_and_the_groups_stay(tmp_path: Path, number: signal.Signals) -> None:
    async def fill(address: str) -> None:
        async with ClientSession() as session:
            await post(session, address, "/scored_data_list", [group(n) for n in range(3)])

    with serve(tmp_path / "store.sqlite") as (process, address):
        assert process.stdout is not None
        assert process.stdout.readline() == (
            "step 0; 0 environments; 0 groups wait, 0 on lease; 0.0 groups/s in; 0 acknowledged; 0 refused\n"
        )
        asyncio.run(fill(address))
        process.send_signal(number)
        rest, _ = process.communicate(timeout=240)
        assert process.returncode == 0
        assert "stopped; 3 groups stay in the store" in rest
    with serve(tmp_path / "store.sqlite") as (process, _):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "give a --token"),
        (["--port", "70000"], "70000"),
        (["--host", "203.0.113.1", "--token", "x"], "cannot listen on"),
    ],
)
def test_what_it_cannot_do_is_said_in_one_line(tmp_path: Path, options: list[str], message: str) -> None:
    command = [sys.executable, "-m", "lachesis.commands.cli", "serve", "--store", str(tmp_path / "store.sqlite")]
    environment = {name: value for name, value in os.environ.items() if name != "LACHESIS_TOKEN"}
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_status_names_who_is_connected_and_what_was_refused_last(tmp_path: Path) -> None:
    async def talk() -> str:
        service = Service(GroupQueue(tmp_path / "store.sqlite", max_groups=9, max_bytes=1 << 20))
        await service.register(msgspec.convert(REGISTRATION, Registration))
        await service.start()
        await service.register_environment(EnvironmentRegistration(64, "sums\x1b[2J", 1.0, 2))
        await service.submit(json.dumps({**group(1), "env_id": 0}).encode(), many=False)
        with pytest.raises(BadBody):
            await service.submit(json.dumps({**group(1), "scores": [1]}).encode(), many=False)
        service.queue.close()
        return summary(service)

    said = asyncio.run(talk())
    assert said.startswith("step 0; 1 environments (sums\\x1b[2J_0 1); 1 groups wait, 0 on lease")
    assert said.endswith("1 refused (last: scores: 1 entries for 2 sequences)")


SERVED = """
import json, os, signal, socket, sys, threading, time, urllib.request

def ask(path, body=None):
    with urllib.request.urlopen(f"http://127.0.0.1:{{port}}{{path}}", body) as answer:
        return json.load(answer)

def use():
    while True:
        try:
            ask("/")
            break
        except OSError:
            time.sleep(0.01)
    ask("/register", json.dumps({registration}).encode())
    ask("/scored_data_list", json.dumps([{group}, {group}]).encode())
    assert len(ask("/batch")["batch"]) == 2
    ask("/status")
    print("loaded", json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
    os.kill(os.getpid(), signal.SIGTERM)

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
threading.Thread(target=use, daemon=True).start()
sys.argv = ["lachesis", "serve", "--port", str(port), "--store", sys.argv[1]]
from lachesis.commands.cli import main
main()
"""


def test_it_serves_without_loading_anything_heavy(tmp_path: Path) -> None:
    program = SERVED.format(registration=REGISTRATION, group=group(1))
    command = [sys.executable, "-c", program, str(tmp_path / "store.sqlite")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("loaded ")]
    loaded = set(json.loads(line.removeprefix("loaded ")))
    assert {"lachesis", "aiohttp", "msgspec"} <= loaded
    assert not loaded & {"torch", "transformers", "ray", "vllm", "sympy", "numpy", "pydantic", "matplotlib", "datasets"}
