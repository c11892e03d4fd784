"""``lachesis gateway``: a URL and a key through which any agent program uses a model, and what it did, recorded."""

from __future__ import annotations

import asyncio
import fcntl
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import uvloop

from ...rollout.engines.engine import Sampling
from ...rollout.models.source import check_source, longest_context
from ...verifiers.errors import ConfigError, InfrastructureError
from ...verifiers.files import replace_text, whole_lines
from ...verifiers.message import is_reply
from ...verifiers.processes.garbage import collect_rarely
from ...verifiers.secrets import without_secrets
from ...verifiers.settings import validated
from ...verifiers.task import Task
from ...verifiers.trajectory import POLICY, Trajectory
from ..terminal import one_line, show_status

if TYPE_CHECKING:  # they import torch and transformers, for which the command's help does not wait
    from ...rollout.chats.text_chat import TextPolicy
    from ...rollout.chats.token_chat import TokenPolicy
    from ...rollout.gateway.episode import Opened

_SAVE = 2.0
"""Seconds between two looks at whether the recording has to be written again."""


@click.command("gateway")
@click.option("--model", required=True, help="Model folder or Hub id; with --url, the endpoint's name for the model.")
@click.option("--url", default="", help="OpenAI-compatible endpoint of the model; its key is read from OPENAI_API_KEY.")
@click.option("--engine", default="torch", show_default=True, help="torch, vllm or module:name.")
@click.option("--slots", type=click.IntRange(4), default=8, show_default=True, help="Requests it takes at a time.")
@click.option("--context", type=click.IntRange(16), help="Tokens of prompt and reply.  [default: at most 32768]")
@click.option("--name", default="policy", show_default=True, help="The name by which programs ask for the model.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port to listen on.  [default: a free one]")
@click.option("--socket", type=click.Path(path_type=Path), help="Unix socket to listen on, too.")
@click.option("--temperature", type=click.FloatRange(0, 99), help="Sampling temperature.  [default: the program's]")
@click.option("--max-tokens", type=click.IntRange(1), default=4096, show_default=True, help="Token limit of one reply.")
@click.option("--turns", type=click.IntRange(1), default=10_000, show_default=True, help="Most calls to answer.")
@click.option("--tokens", type=click.IntRange(1), default=10_000_000, show_default=True, help="Most tokens to sample.")
@click.option("--moderation", default="", help="URL of a service that may refuse or rewrite requests and replies.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the sampling.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("gateway.jsonl"),
    show_default=True,
    help="File for the recording; an existing one is added to.",
)
def command(**options: Any) -> None:
    """Serve a model to agent programs through a URL and a key, and record them.

    The programs may speak OpenAI's chat completions, Responses or completions, or Anthropic's Messages. The recording
    holds the conversations and the exact tokens; lachesis view and lachesis explain show it. Ctrl-C ends the gateway.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(options))


async def _serve(options: dict[str, Any]) -> None:
    """Answer until a signal comes."""
    from ...rollout.gateway.budget import GatewayLimits
    from ...rollout.gateway.gateway import Gateway

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    recording = RecordingFile(options["out"], options["name"], options["model"])
    limits = GatewayLimits(turns=options["turns"], tokens=options["tokens"])
    async with (
        _policy(options) as policy,
        Gateway(host=options["host"], port=options["port"], socket=options["socket"]) as gateway,
        gateway.open(
            policy,
            seed=(options["seed"],),
            model=options["name"],
            limits=limits,
            moderation=options["moderation"] or None,
            own_sampling=options["temperature"] is not None,
        ) as opened,
    ):
        collect_rarely()
        print(f"OPENAI_BASE_URL={opened.url}/v1", f"OPENAI_API_KEY={opened.key}", sep="\n", flush=True)
        print(f"ANTHROPIC_BASE_URL={opened.url}", f"ANTHROPIC_API_KEY={opened.key}", sep="\n", flush=True)
        print(f"model {opened.model}; recording to {options['out']}", flush=True)
        saving = asyncio.create_task(_save(opened, recording, stop))
        await asyncio.gather(show_status(lambda: summary(opened), stop), saving)
        await opened.close()
        if trajectory := trajectory_of(opened):
            recording.save(trajectory)
    print(f"stopped; {summary(opened)}", flush=True)


@asynccontextmanager
async def _policy(options: dict[str, Any]) -> AsyncIterator[TokenPolicy | TextPolicy]:
    """The model, loaded or behind its URL."""
    from ...rollout.chats.text_chat import TextPolicy

    temperature = 1.0 if options["temperature"] is None else options["temperature"]
    sampling = Sampling(temperature, max_tokens=options["max_tokens"])
    if options["url"]:
        async with TextPolicy(options["url"], options["model"], sampling) as endpoint:
            yield endpoint
        return
    from ...rollout.chats.renderer import Renderer
    from ...rollout.chats.token_chat import TokenPolicy
    from ...rollout.config import ModelConfig, RolloutConfig
    from ...rollout.workers.pool import PoolSpec

    check_source(options["model"])
    context = options["context"] or min(longest_context(options["model"]) or 32768, 32768)
    settings = ModelConfig(path=options["model"], context=context)
    rollout = validated(RolloutConfig, {"engine": options["engine"], "slots": options["slots"]}, "lachesis gateway")
    engine = PoolSpec(settings, rollout, (), 0).build_engine()
    try:
        yield TokenPolicy(engine, Renderer.load(options["model"]), sampling, context=context)
    finally:
        await engine.close()


async def _save(opened: Opened, recording: RecordingFile, stop: asyncio.Event) -> None:
    """Write the recording again whenever a call was answered, so that little is lost if the process is killed."""
    saved = 0
    while not stop.is_set():
        begun = time.monotonic()
        if opened.answered != saved:
            saved = opened.answered
            if trajectory := trajectory_of(opened):
                await asyncio.to_thread(recording.save, trajectory)
        wait = max(_SAVE, 20 * (time.monotonic() - begun))  # a long recording takes little of the time, too
        try:
            await asyncio.wait_for(stop.wait(), wait)
        except TimeoutError:
            continue


class RecordingFile:
    """The recording on disk, in the form of an evaluation's scores; nothing in it is scored.

    Args:
        path: JSON Lines; what an existing file holds is kept.
        name: by which the program asks for the model.
        model: folder, Hub id or the endpoint's name.

    Raises:
        ConfigError: the file exists and is no recording, cannot be read, or another gateway records to it.
    """

    def __init__(self, path: Path, name: str, model: str) -> None:
        self._path = path
        self._lock = _locked(path.with_name(f"{path.name}.lock"))
        header: dict[str, Any] = {"environments": {"gateway": {"name": name}}, "model": without_secrets(model)}
        try:
            found = whole_lines(path)[0] if path.exists() else []
            first: Any = json.loads(found[0]).get("header") if found else header
        except (OSError, ValueError, AttributeError) as error:
            raise ConfigError(f"cannot add to {path}: {error}; choose another --out") from None
        if not isinstance(first, dict) or "gateway" not in (first.get("environments") or ()):
            raise ConfigError(f"{path} is not a recording of the gateway; choose another --out")
        if first.get("model") != header["model"]:
            raise ConfigError(f"{path} is a recording of the model {first.get('model')!r}; choose another --out")
        self._kept = found or [json.dumps({"header": header}).encode()]

    def save(self, trajectory: Trajectory) -> None:
        """Write what the episode has so far.

        Raises:
            InfrastructureError: the disk refuses.
        """
        row = {"attempt": len(self._kept) - 1, **trajectory.to_json()}
        lines = [*(line.decode() for line in self._kept), json.dumps(row, allow_nan=False)]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_text(self._path, "".join(f"{line}\n" for line in lines))
        except OSError as error:
            raise InfrastructureError(f"cannot write {self._path}: {error.strerror}; make room") from None


def _locked(path: Path) -> BinaryIO:
    """The lock of a recording, held while this process lives, so that two gateways do not overwrite each other."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"another gateway records to {path.with_suffix('')}; choose another --out") from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; choose another --out") from None
    return file


def trajectory_of(opened: Opened) -> Trajectory | None:
    """The episode as a trajectory whose task is what came before the first reply; None if nothing was replied."""
    recording = opened.recording()
    if not recording.messages:
        return None
    replies = [place for place, message in enumerate(recording.messages) if is_reply(message)]
    asked = list(recording.messages[: replies[0]] if replies else recording.messages)
    branches = [
        {"began": branch.began, "lineage": branch.lineage, "messages": list(branch.messages)}
        for branch in recording.branches
    ]
    return Trajectory(
        Task(asked),
        "gateway",
        {POLICY: recording.messages},
        recording.segments,
        {"proof": recording.proof.to_json(), "branches": branches},
        recording.stop,
        recording.failure or None,
        recording.metrics,
    )


def summary(opened: Opened) -> str:
    """One line: calls and tokens."""
    return one_line(f"{opened.answered} calls answered; {opened.sampled} tokens sampled")
