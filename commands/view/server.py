"""The viewer's web server: the page, its files, and answers as JSON; it only reads."""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from ...rollout.service.body import is_loopback
from ...verifiers.errors import LachesisError
from .answers import Answers, Missing, as_json

log = logging.getLogger("lachesis")

STATIC = files(__package__).joinpath("static")
COOKIE = "lachesis_view"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer: no script but the page's own runs, and nothing is loaded from elsewhere."""

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def make_app(answers: Answers, token: str = "") -> web.Application:
    """The application.

    Args:
        answers: what it answers.
        token: what a browser must show once, as ``?token=``; empty for none, which suits a loopback address only.
    """
    app = web.Application(middlewares=[_guard(token)])
    pages = _Pages(answers)
    app.add_routes(
        [
            web.get("/", _page),
            web.get("/static/{name:.+}", _static),
            web.get("/api/home", pages.answer(lambda request: answers.home())),
            web.get(
                "/api/compare/{one}/{other}", pages.answer(lambda r: answers.comparison(*_names(r, "one", "other")))
            ),
            web.get("/api/{key}", pages.answer(lambda r: answers.page(*_names(r, "key")))),
            web.get("/api/{key}/curves", pages.answer(lambda r: answers.curves(r.match_info["key"], r.query))),
            web.get("/api/{key}/sample", pages.answer(lambda r: answers.sample(r.match_info["key"], r.query))),
            web.get("/api/{key}/timeline", pages.answer(lambda r: answers.timeline(r.match_info["key"], r.query))),
            web.get("/api/{key}/trace", pages.answer(lambda r: answers.trace(r.match_info["key"], r.query))),
            web.get("/api/{key}/rows", pages.answer(lambda r: answers.rows(r.match_info["key"], r.query))),
            web.get(
                r"/api/{key}/groups/{group:\d{1,18}}",
                pages.answer(lambda r: answers.group(r.match_info["key"], int(r.match_info["group"]))),
            ),
            web.get(
                r"/api/{key}/trajectories/{group:\d{1,18}}/{attempt:\d{1,18}}",
                pages.answer(
                    lambda r: answers.trajectory(
                        r.match_info["key"], int(r.match_info["group"]), int(r.match_info["attempt"])
                    )
                ),
            ),
        ]
    )
    app.on_cleanup.append(pages.close)
    return app


class _Pages:
    """Answers in threads, and fills the index of each source that somebody looks at."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._filling: dict[str, asyncio.Task[None]] = {}

    def answer(self, ask: Callable[[web.Request], dict[str, Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
        """A handler that sends what ``ask`` returns."""

        async def handle(request: web.Request) -> web.Response:
            try:
                text = await asyncio.to_thread(lambda: as_json(ask(request)))
            except Missing as error:
                return _error(404, str(error))
            except (LachesisError, OSError) as error:
                return _error(400, str(error))
            if key := request.match_info.get("key"):
                self._fill(key)
            response = web.Response(text=text, content_type="application/json")
            response.enable_compression()
            return response

        return handle

    def _fill(self, key: str) -> None:
        """Index the trajectories of a source in the background, a short while at a time."""
        running = self._filling.get(key)
        if running is None or running.done():
            self._filling[key] = asyncio.create_task(self._fill_all(key))

    async def _fill_all(self, key: str) -> None:
        try:
            source = self._answers.source(key)
            done = False
            while not done:  # not in one go, so that other requests get at the index between two parts
                done = await asyncio.to_thread(source.index.fill, 0.1)
        except (Missing, LachesisError, OSError) as error:
            log.debug("the trajectories of %s could not be indexed: %s", key, error)

    async def close(self, _: web.Application) -> None:
        """End what runs in the background."""
        for task in self._filling.values():
            task.cancel()
        await asyncio.gather(*self._filling.values(), return_exceptions=True)


def _guard(token: str) -> Any:
    """What every request passes: its host, the token, and the headers of the answer."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await _answer(request, handler, token)
        response.headers.update(HEADERS)
        return response

    return guard


async def _answer(request: web.Request, handler: Handler, token: str) -> web.StreamResponse:
    # a page of another site can make its own name point to this machine, but it cannot hide that name
    if not token and not is_loopback(request.url.host or ""):
        return _error(403, f"the host {request.url.host!r:.80} is not this machine; open http://127.0.0.1")
    if token:
        if shown := request.query.get("token", ""):
            answer = web.Response(status=302, headers={"Location": "/"})
            if _same(shown, token):
                answer.set_cookie(COOKIE, token, httponly=True, samesite="Strict")
                return answer
        if not _same(request.cookies.get(COOKIE, ""), token):
            return _error(401, "open the address with ?token=…, as `lachesis view` printed it")
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _error(error.status, error.reason)


def _same(shown: str, token: str) -> bool:
    return hmac.compare_digest(shown.encode(errors="replace"), token.encode())


async def _page(_: web.Request) -> web.Response:
    return web.Response(text=STATIC.joinpath("index.html").read_text(encoding="utf-8"), content_type="text/html")


async def _static(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    parts = name.split("/")
    ending = name[name.rfind(".") :]
    found = STATIC.joinpath(*parts)
    if ending not in TYPES or any(part in ("", "..", ".") for part in parts) or not found.is_file():
        return _error(404, f"there is no file {name:.80}")
    response = web.Response(body=found.read_bytes(), content_type=TYPES[ending], charset="utf-8")
    response.enable_compression()
    return response


def _names(request: web.Request, *names: str) -> list[str]:
    return [request.match_info[name] for name in names]


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)
