"""Bodies of requests, read and unpacked within bounds, and bodies of answers, packed if the caller likes it."""

import asyncio
import gzip
import zlib
from dataclasses import dataclass
from ipaddress import ip_address

from aiohttp import web

from .wire import refused

_PACK_FROM = 1000
"""Bytes from which an answer is compressed, as in the reference."""


@dataclass(frozen=True)
class BodyLimits:
    """How large a body may be, and how long it may take."""

    bytes: int = 64 << 20
    """As it is sent, and after it was unpacked."""
    seconds: float = 60.0
    """To arrive."""


async def read_body(request: web.Request, limits: BodyLimits) -> bytes:
    """The body of ``request``, unpacked if it is gzip.

    Raises:
        BadBody: there is none.
        web.HTTPException: it is too large (413), too slow (408), not gzip as it says (400), or packed otherwise (415).
    """
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        message = f"the Content-Encoding {encoding[:40]!r} is not supported; send gzip, or the body as it is"
        raise web.HTTPUnsupportedMediaType(text=message)
    length = request.content_length
    if length is not None and length > limits.bytes:
        raise _too_large(limits)
    try:
        if request.content.is_eof():  # it is here, as most are
            body = request.content.read_nowait()
            if len(body) > limits.bytes:
                raise _too_large(limits)
        else:
            async with asyncio.timeout(limits.seconds):
                body = await _read(request, limits)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"the body took longer than {limits.seconds:g} s") from None
    if body and encoding.endswith("gzip"):
        body = unpack(body, limits)
    if not body:
        raise refused([], "a JSON body is required", "missing")
    return body


async def _read(request: web.Request, limits: BodyLimits) -> bytes:
    parts, size = [], 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > limits.bytes:
            raise _too_large(limits)
        parts.append(part)
    return b"".join(parts)


def unpack(body: bytes, limits: BodyLimits) -> bytes:
    """Unpack gzip, never to more than the limit.

    Raises:
        web.HTTPException: it is no gzip, or cut off (400), or unpacks to too much (413).
    """
    parts, size = [], 0
    try:
        while body:
            stream = zlib.decompressobj(wbits=31)
            part = stream.decompress(body, limits.bytes + 1 - size)
            size += len(part)
            if size > limits.bytes:
                raise _too_large(limits)
            if not stream.eof:
                raise zlib.error("cut off")
            parts.append(part)
            body = stream.unused_data
    except zlib.error:
        raise web.HTTPBadRequest(text="Invalid gzip payload") from None
    return b"".join(parts)


def _too_large(limits: BodyLimits) -> web.HTTPException:
    return web.HTTPRequestEntityTooLarge(limits.bytes, 0, text=f"a body has at most {limits.bytes} bytes")


async def packed(request: web.Request, body: bytes, content_type: str) -> web.Response:
    """An answer with ``body``, as gzip if it is long and the caller accepts that.

    A caller on this machine gets it as it is: packing costs more than it saves there.
    """
    response = web.Response(body=body, content_type=content_type)
    accepted = "gzip" in request.headers.get("Accept-Encoding", "").lower()
    if len(body) >= _PACK_FROM and accepted and not is_loopback(request.remote or ""):
        response.body = await asyncio.to_thread(gzip.compress, body, 1, mtime=0)
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response


def is_loopback(host: str) -> bool:
    """Whether an address is one of this machine's own."""
    if host in {"localhost", ""}:
        return True
    try:
        address = ip_address(host)
    except ValueError:  # a name, such as 127.0.0.1.example.org, which anybody can point to this machine
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
