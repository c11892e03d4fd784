"""``lachesis view``: a page about runs, evaluations and training rows."""

import asyncio
import secrets
import signal
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import click
from aiohttp import web

from ...rollout.service.body import is_loopback
from ...verifiers.errors import ConfigError
from ..sources.library import Library
from .answers import Answers
from .export import export
from .server import make_app


@click.command("view")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[RUN or EVAL or ROWS or FOLDER]...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others need a token.")
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one."
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@click.option("--export", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write one HTML file instead.")
@click.option(
    "--trajectories",
    default=200,
    show_default=True,
    type=click.IntRange(0),
    help="With --export: most trajectories of each run or evaluation.",
)
def command(paths: Sequence[Path], host: str, port: int, open_page: bool, file: Path | None, trajectories: int) -> None:
    """Show runs, evaluations and training rows as a page that follows them while they are written.

    RUN is a run's folder, EVAL a file that eval wrote, ROWS a folder that generate wrote or a file of such rows, and
    FOLDER is searched for all of them. Without any, the folders runs and evals are shown.
    """
    answers = Answers(Library(paths or _usual()))
    if file is not None:
        size = export(answers, file, trajectories)
        click.echo(f"{file}: {size / 1e6:.1f} MB, to open in a browser or to send to somebody")
        return
    alone = host != "" and is_loopback(host)  # an empty address is every address of this machine
    token = "" if alone else secrets.token_urlsafe(16)
    asyncio.run(_serve(make_app(answers, token), host, port, token, open_page))


def _usual() -> list[Path]:
    found = [path for path in (Path("runs"), Path("evals")) if path.exists()]
    if not found:
        raise ConfigError("there are no folders runs and evals here; name a run's folder or an evaluation's file")
    return found


async def _serve(app: web.Application, host: str, port: int, token: str, open_page: bool) -> None:
    """Answer until a signal comes."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from None
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{runner.addresses[0][1]}/" + (f"?token={token}" if token else "")
        print(f"open {address}  (Ctrl-C ends it)", flush=True)
        if open_page:
            webbrowser.open(address)
        await stop.wait()
    finally:
        await runner.cleanup()
