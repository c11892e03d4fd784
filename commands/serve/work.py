"""``lachesis work``: plays an environment on this machine and feeds a trainer elsewhere with its groups.

The trainer is a run that hosts a service, or an Atropos trainer behind ``lachesis serve``.
"""

import asyncio
import re
import secrets
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...environments.loading import describe
from ...rollout.config import RolloutConfig
from ...trainer.overrides import parts_of
from ...trainer.run.sandbox_check import check_sandbox, warn_if_weak
from ...verifiers.errors import ConfigError
from ...verifiers.sandbox.settings import SandboxSettings
from ...verifiers.settings import validated
from ..arguments import PASS_ON, split_one
from ..terminal import show_status

if TYPE_CHECKING:
    from ...rollout.service.remote_workers.atropos_client import AtroposClient
    from ...rollout.service.remote_workers.feeder import Client, Feeder


@click.command("work", context_settings=PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="URL [--part.key VALUE]...")
@click.option(
    "--environment", required=True, metavar="ENV", help="Environment to play: a name, module:Class or file.py."
)
@click.option(
    "--token", default="", envvar="LACHESIS_TOKEN", help="Token of the service; also read from LACHESIS_TOKEN."
)
@click.option(
    "--concurrency", type=click.IntRange(1), default=64, show_default=True, help="Episodes that run at the same time."
)
@click.option(
    "--engine",
    default="",
    metavar="URL",
    help="The engine of an Atropos trainer, which answers /generate as vLLM does.",
)
@click.option("--tokenizer", default="", metavar="MODEL", help="With --engine: folder or Hub id of the trained model.")
@click.option("--group-size", type=click.IntRange(1), help="With --engine: attempts at each task.  [default: 8]")
@click.option("--groups", type=click.IntRange(1), help="Stop after so many groups were stored.  [default: never]")
@click.option("--seed", type=click.IntRange(0), help="Seed of tasks and sampling.  [default: random]")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    help="Seconds to wait for a service that does not answer.",
)
def command(
    words: Sequence[str],
    environment: str,
    token: str,
    concurrency: int,
    engine: str,
    tokenizer: str,
    group_size: int | None,
    groups: int | None,
    seed: int | None,
    patience: float,
) -> None:
    """Play an environment here, and feed the trainer at URL.

    URL is where a run with [[environments]] use = "service" listens. Tokens come from its engine, so this machine needs
    no GPU, model or Ray. Settings of the environment are given as --config.key VALUE, settings of rollout and sandbox
    as --rollout.key and --sandbox.key.

    With --engine, URL is where lachesis serve listens, and an Atropos trainer takes the groups from there.
    """
    url, overrides = split_one(words, "URL")
    for shown in (url, engine or url):
        if not re.match(r"https?://[^/]", shown):
            raise ConfigError(
                f"{shown!r} is no URL; write http://host:port, where the trainer's log says that it listens"
            )
    if bool(engine) != bool(tokenizer) or (group_size and not engine):
        raise ConfigError("--engine and --tokenizer are given together, and --group-size only with them")
    parts = parts_of(overrides, config={}, rollout={}, sandbox={})
    rollout = validated(RolloutConfig, parts["rollout"], "--rollout")
    sandbox = validated(SandboxSettings, parts["sandbox"], "--sandbox")
    spec = describe(environment, config=parts["config"], label=environment)
    built = spec.build()
    if not built.played:
        raise ConfigError(f"{environment} is not played but fed from outside; choose an environment with tasks")
    warn_if_weak(check_sandbox(sandbox, [built], seed or 0))

    from ...rollout.service.remote_workers.client import ServiceClient  # only now: it takes seconds
    from ...rollout.service.remote_workers.feeder import Feeder

    client: AtroposClient | ServiceClient
    if engine:
        options = {"name": Path(environment).name[:100], "group_size": group_size or 8}
        client = _atropos_client(url, engine, tokenizer, rollout, token=token, patience=patience, **options)
    else:
        client = ServiceClient(url, secrets.token_hex(8), token=token, patience=patience)

    async def work() -> None:
        async with client:
            await _work(
                Feeder(client, spec, rollout, sandbox, concurrency=concurrency, seed=seed, groups=groups), client
            )

    asyncio.run(work())


def _atropos_client(url: str, engine: str, tokenizer: str, rollout: RolloutConfig, **options: Any) -> "AtroposClient":
    from ...rollout.chats.renderer import Renderer
    from ...rollout.engines.engine import Sampling
    from ...rollout.models.tokenizer import load_tokenizer
    from ...rollout.service.remote_workers.atropos_client import AtroposClient

    sampling = Sampling(**rollout.sampling.model_dump())
    ahead = 1 + rollout.staleness
    return AtroposClient(url, engine, Renderer(load_tokenizer(tokenizer)), sampling=sampling, ahead=ahead, **options)


async def _work(feeder: "Feeder", client: "Client") -> None:
    """Feed until that ends or a signal comes, and show how it goes."""
    stop = asyncio.Event()
    feeding = asyncio.create_task(feeder.run())
    feeding.add_done_callback(lambda _: stop.set())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await show_status(lambda: summary(feeder, client), stop)
    if not feeding.done():
        feeding.cancel()
    await asyncio.wait([feeding])
    print(f"stopped; {feeder.tally.sent} groups are stored", flush=True)
    if not feeding.cancelled():
        feeding.result()


def summary(feeder: "Feeder", client: "Client") -> str:
    """One line: the run, what is played and what became of it; first of all whether the service does not answer."""
    tally, figures = feeder.tally, feeder.tally.figures
    facts = [
        f"step {figures.step} of {figures.steps}, version {figures.version}" if figures.steps else "joining",
        f"{tally.playing} attempts playing",
        f"{tally.sent} groups sent, {tally.waiting} waiting, {tally.refused} refused, {tally.failed} not made",
        f"{tally.tokens_per_second:.0f} tokens/s",
    ]
    if tally.success is not None:
        facts.append(f"success {tally.success:.2f}")
    if tally.last_problem:
        facts.append(f"last {tally.last_problem[:80]}")
    if client.lost:
        facts.insert(0, f"no answer for {client.silent:.0f} s ({client.lost[:80]})")
        if figures.step >= figures.steps > 0:
            facts.insert(0, "the run took its last step; waiting in case it is resumed")
    elif figures.steps and not tally.playing and not figures.wanted:
        facts.insert(0, "the trainer wants no groups now")
    return "; ".join(facts)
