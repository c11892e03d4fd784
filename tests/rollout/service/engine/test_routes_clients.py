"""The real clients of ``atroposlib`` and ``openai`` against the routes, from an environment of their own."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.rollout.models.tokenizer import save_tokenizer
from lachesis.rollout.service.engine.exact_tokens import repaired

CLIENTS = Path(__file__).with_name("atropos_clients.py")
CALL = '<tool_call>{"name": "look", "arguments": {"at": "door"}}</tool_call>'


@pytest.fixture
def atropos_python() -> str:
    python = os.environ.get("LACHESIS_ATROPOS_PYTHON", "")
    if not python:
        pytest.skip("atroposlib is not installed: make atropos")
    return python


def test_the_clients_of_atropos_are_served_and_what_they_post_is_exact_or_repaired(
    room: Callable[..., Any], tmp_path: Path, atropos_python: str
) -> None:
    table = room(say=lambda request: CALL if "door" in text_of(request) else f"the number is {next(numbers):03d}")
    numbers = iter(range(1000))

    def text_of(request: Any) -> str:
        return str(table.renderer.decode(request.prompt, ()))

    save_tokenizer(table.tokenizer, tmp_path)

    async def talk() -> Any:
        async with table.client() as client:
            command = [atropos_python, str(CLIENTS), str(client.make_url("/")).rstrip("/"), str(tmp_path)]
            environment = {**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1"}
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=environment)
            out, err = await asyncio.wait_for(process.communicate(), 200)
            assert process.returncode == 0, err.decode()[-3000:]
            return json.loads(out.decode().splitlines()[-1])

    said = asyncio.run(talk())
    for server, texts in said["chat"].items():
        ending = "<|im_end|>" if server == "trl" else ""
        assert [text.startswith("the number is") and text.endswith(ending) for text in texts] == [True] * 3
        assert len(set(texts)) == 3
    assert said["refusals"] == [
        "NotFoundError model_not_found",
        "BadRequestError None",
        "BadRequestError context_length_exceeded",
    ]
    assert said["call"] == {"name": "look", "arguments": '{"at": "door"}'}
    assert said["models"] == ["policy"]

    for nodes in said["managed"].values():
        assert len(nodes) == 4
        for node in nodes:
            repair = repaired(table.memory, node["tokens"], node["masked_tokens"], node["logprobs"])
            assert (repair.outcome, repair.wire_mask()) == ("exact", node["masked_tokens"])
            assert repair.wire_logprobs() == pytest.approx(node["logprobs"], abs=1e-6)

    for posted, turns in zip(said["tokenized"], (1, 2), strict=True):
        repair = repaired(table.memory, posted["tokens"], posted["masks"], None)
        assert (repair.outcome, table.memory.counts.continued) == ("repaired", 1)
        assert repair.tokens.tolist() != posted["tokens"][: repair.tokens.size]
        assert table.renderer.decode(repair.tokens[repair.mask], ()).count("the number is") == turns
