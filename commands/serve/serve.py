"""``lachesis serve``: the trajectory service, to which Atropos environments and trainers connect."""

import asyncio
import signal
from pathlib import Path

import click
import uvloop
from aiohttp import web

from ...rollout.service.app import BodyLimits, Service, make_app, make_runner
from ...rollout.service.body import is_loopback
from ...rollout.service.door import Door
from ...rollout.service.service import Times
from ...rollout.service.storage.queue import GroupQueue
from ...verifiers.errors import ConfigError
from ...verifiers.processes.garbage import collect_rarely
from ..terminal import one_line, show_status

_MIB = 1 << 20


@click.command("serve")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. One that other machines can reach needs a token.",
)
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--store",
    default=Path("service.sqlite"),
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File that holds the groups; created if it does not exist.",
)
@click.option(
    "--token", default="", envvar="LACHESIS_TOKEN", help="Token that callers must send; also read from LACHESIS_TOKEN."
)
@click.option(
    "--max-groups", default=100_000, show_default=True, type=click.IntRange(1), help="Most groups that may wait."
)
@click.option(
    "--max-mib", default=16_384, show_default=True, type=click.IntRange(1), help="Most MiB of groups that may wait."
)
@click.option(
    "--max-body", default=64, show_default=True, type=click.IntRange(1, 2048), help="Most MiB of one request."
)
@click.option(
    "--max-staleness", type=click.IntRange(0), help="Most weights versions that a group may be behind.  [default: any]"
)
@click.option(
    "--lease",
    default=1800.0,
    show_default=True,
    help="Seconds after which an unacknowledged batch is handed out again.",
)
@click.option("--patience", default=30.0, show_default=True, help="Seconds after which a batch may be incomplete.")
@click.option(
    "--silence",
    default=300.0,
    show_default=True,
    help="Seconds without a group after which an environment loses its minimum share.",
)
def command(
    host: str,
    port: int,
    store: Path,
    token: str,
    max_groups: int,
    max_mib: int,
    max_body: int,
    max_staleness: int | None,
    lease: float,
    patience: float,
    silence: float,
) -> None:
    """Serve a queue of groups between Atropos environments and a trainer.

    Every group is on the disk before its post is answered. SIGTERM and Ctrl-C end the service cleanly, and the same
    command continues with the same groups.
    """
    if not is_loopback(host) and not token:
        raise ConfigError(f"--host {host} can be reached from outside; give a --token, or set LACHESIS_TOKEN")
    queue = GroupQueue(store, max_groups=max_groups, max_bytes=max_mib * _MIB, patience=patience)
    try:
        service = Service(queue, door=Door(max_staleness=max_staleness), times=Times(lease=lease, silence=silence))
        app = make_app(service, token=token, limits=BodyLimits(bytes=max_body * _MIB))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(app, service, host, port))
    finally:
        queue.close()


async def _serve(app: web.Application, service: Service, host: str, port: int) -> None:
    """Answer until a signal comes, and show what is going on."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = make_runner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from None
        collect_rarely()
        shown = f"[{host}]" if ":" in host else host
        print(f"listening on http://{shown}:{runner.addresses[0][1]}", flush=True)
        await show_status(lambda: summary(service), stop)
    finally:
        await runner.cleanup()
    kept = len(service.queue) + sum(len(lease.groups) for lease in service.queue.leases.values())
    print(f"stopped; {kept} groups stay in the store", flush=True)


def summary(service: Service) -> str:
    """One line: the step, the environments, the queue, the rates and what was refused last."""
    queue, reason = service.queue, service.last_refusal
    connected = [one for one in service.environments if one.connected]
    names = ", ".join(f"{one.name} {one.groups}" for one in connected[:8]) + (", ..." if len(connected) > 8 else "")
    leased = sum(len(lease.groups) for lease in queue.leases.values())
    facts = [
        f"step {service.step}",
        f"{len(connected)} environments" + (f" ({names})" if names else ""),
        f"{len(queue)} groups wait, {leased} on lease",
        f"{service.rate():.1f} groups/s in",
        f"{queue.counters.acknowledged} acknowledged",
        f"{sum(service.refused.values())} refused" + (f" (last: {reason[:80]})" if reason else ""),
    ]
    return one_line("; ".join(facts))
