"""The service beside the real atroposlib 0.4.0: its own API tests, and an environment on its BaseEnv."""

import asyncio
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from lachesis.rollout.models.tokenizer import save_tokenizer

from ...ports import free_port
from .conftest import REGISTRATION, Client

PYTHON = os.environ.get("LACHESIS_ATROPOS_PYTHON", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="atroposlib is not installed: make atropos")

FAULTS = {
    "test_sft_batch_processing": "four advantages for three tokens are accepted",
    "test_messages_with_numeric_strings_as_content": "four advantages for three tokens are accepted",
}
"""Tests of the reference that hold one of its faults."""


async def run(*command: str, seconds: float, **environment: str) -> tuple[int | None, str]:
    """The exit code and the output; None if it had to be ended."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **environment}
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), seconds)
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, output.decode()


def test_the_tests_of_the_reference_pass_but_for_its_faults(tmp_path: Path, talk: Callable[..., None]) -> None:
    """Its tests start its server at a port of their own; here ours has that port, so they meet ours."""
    find = "import atroposlib.tests as tests; print(next(iter(tests.__path__)))"
    done = subprocess.run([PYTHON, "-c", find], capture_output=True, text=True, timeout=240, check=True)
    port = free_port()
    for path in Path(done.stdout.strip()).glob("*api_*.py"):
        if path.name.startswith(("test_api_", "api_test_utils")):
            (tmp_path / path.name).write_text(re.sub(r"\b8000\b", str(port), path.read_text()))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    async def session(client: Client) -> None:
        chosen = " and ".join(f"not {name}" for name in FAULTS)
        command = [PYTHON, "-m", "pytest", "-q", "--no-header", "-k", chosen, "--rootdir", str(tmp_path), str(tmp_path)]
        code, output = await run(*command, seconds=200)
        assert code == 0, output[-4000:]
        assert "34 passed, 2 deselected" in output, output[-4000:]

    talk(session, port=port, seconds=220)


def test_an_unmodified_environment_feeds_a_trainer(tmp_path: Path, talk: Callable[..., None]) -> None:
    words = "one and is two . , a b c d".split()  # noqa: SIM905
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token="."))
    tokenizer.pre_tokenizer = Whitespace()
    whole = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=".", pad_token=".")
    save_tokenizer(whole, tmp_path / "words")

    async def session(client: Client) -> None:
        await client.post("/register", REGISTRATION | {"starting_step": 0})
        script = Path(__file__).parent / "atropos_environment.py"
        options = {"rollout_server_url": client.address, "tokenizer_name": str(tmp_path / "words"), "total_steps": "4"}
        words = [word for name, value in options.items() for word in (f"--env.{name}", value)]
        playing = asyncio.ensure_future(run(PYTHON, str(script), "serve", *words, seconds=150, HF_HUB_OFFLINE="1"))
        batches = []
        while len(batches) < 4 and not playing.done():
            batch = (await client.get("/batch"))["batch"]
            if batch is None:
                await asyncio.sleep(0.2)
            else:
                batches.append(batch)
        while not playing.done():
            await client.get("/batch")
            await asyncio.sleep(0.2)
        code, output = await playing
        assert code == 0, output[-4000:]
        assert len(batches) == 4
        for batch in batches:
            assert [len(group["tokens"]) for group in batch] == [4, 4]
            for group in batch:
                assert group["tokens"][0] == [0, 1, 0, 2, 3]
                assert group["masks"][0] == [-100, -100, -100, 2, 3]
                assert sorted(group["scores"])[0] != sorted(group["scores"])[-1]
        (known,) = client.service.environments
        assert known.name == "sums_0"
        assert known.groups >= 8
        assert not client.service.refused

    talk(session, seconds=200)
