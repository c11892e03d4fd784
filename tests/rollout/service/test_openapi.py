"""The document is true: schemathesis asks every route whatever the document allows, and much that it does not."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.rollout.service.engine.openapi import engine_part
from lachesis.rollout.service.openapi import document
from lachesis.rollout.service.training.scored_data import Limits
from lachesis.rollout.service.training.trainer_door import TrainerDoor
from lachesis.trainer.run.services import HostedService

from .conftest import REGISTRATION, Client

EXAMPLES = int(os.environ.get("LACHESIS_FUZZ", "5"))
SECONDS = 240 + EXAMPLES
LEFT_OUT = (
    "negative_data_rejection",  # types are converted as the reference does it: "1" is taken for 1
    "positive_data_acceptance",  # the door checks what a schema cannot say, such as equal lengths
)


async def schemathesis(address: str, folder: Path) -> None:
    """Ask the service at ``address``; what schemathesis remembers of failures goes into ``folder``."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json", "--seed", "1", "--no-color"]
    command += ["--max-examples", str(EXAMPLES), "--exclude-checks", ",".join(LEFT_OUT), "--phases", "coverage,fuzzing"]
    command += ["--suppress-health-check", "all", "--warnings", "off"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-6000:]


@pytest.mark.parametrize("hosted", [False, True], ids=["alone", "hosted"])
def test_every_answer_is_as_the_document_says(
    talk: Callable[..., None], room: Callable[..., Any], tmp_path: Path, hosted: bool
) -> None:
    async def session(client: Client) -> None:
        await client.post("/register", REGISTRATION)
        await schemathesis(client.address, tmp_path)

    def options() -> dict[str, Any]:
        table = room(model="")
        door = TrainerDoor(limits=Limits(64, 300), current=lambda: 3, memory=table.memory)
        return {"room": table, "door": door, "kind": HostedService}

    talk(session, seconds=SECONDS, **(options() if hosted else {}))


def test_no_route_is_answered_without_the_token(talk: Callable[..., None], room: Callable[..., Any]) -> None:
    async def session(client: Client) -> None:
        for path, methods in document(engine_part())["paths"].items():
            for method in methods:
                assert await client.status(method.upper(), path) == 401, path

    talk(session, token="secret", room=room())
