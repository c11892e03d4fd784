"""An HTTP server in the foreground: it says where it listens, and answers until a signal comes."""

import asyncio
import signal
import ssl

from aiohttp import web

from ...verifiers.errors import ConfigError


async def listen(runner: web.AppRunner, host: str, port: int, facts: str, tls: ssl.SSLContext | None = None) -> None:
    """Answer until SIGINT or SIGTERM comes; raise ``ConfigError`` if the port cannot be had."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, ssl_context=tls).start()
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from None
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if tls else "http"
        print(f"listening on {scheme}://{shown}:{runner.addresses[0][1]}; {facts}", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()
