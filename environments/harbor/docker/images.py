"""The images of tasks: each is built or pulled once, by the first who needs it, within a deadline."""

import fcntl
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
from docker import auth
from docker.errors import APIError, ImageNotFound
from docker.utils import parse_repository_tag
from requests.packages.urllib3.exceptions import HTTPError

from ....verifiers.errors import DataError, LachesisError, SandboxLost
from ....verifiers.sandbox.docker.daemon import SECONDS, translate_errors
from .buildkit import VERSION, Trace, cure_of, needs_buildkit
from .context import pack_context
from .requirements import ImageSource

LABEL = "lachesis.harbor"
"""The label of built images; ``docker image prune --all --filter label=lachesis.harbor`` removes them."""

_LOG = 2000
"""Characters of a build's log that an error quotes."""
_POLL = 0.2


class _TooLong(Exception):
    """The time of a request was up."""


class Images:
    """Finds, builds or pulls images; safe to call from any thread."""

    def __init__(self, api: Any) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._waited: dict[str, Future[dict[str, Any]]] = {}

    def get(self, source: ImageSource, folder: Path) -> dict[str, Any]:
        """What Docker tells about the image of the task in ``folder``, which is made first if there is none.

        Whoever asks while it is being made waits for it, and gets the same error if it fails.

        Raises:
            DataError: it cannot be made, or declares volumes; the message has the end of the build's log.
            SandboxLost: the daemon failed.
        """
        with self._lock:
            future = self._waited.get(source.name)
            first = future is None
            if future is None:
                future = self._waited[source.name] = Future()
        if first:
            try:
                future.set_result(self._made(source, folder))
            except LachesisError as error:
                future.set_exception(error)
            finally:
                with self._lock:
                    del self._waited[source.name]
                if not future.done():  # the others must not wait for ever
                    future.set_exception(SandboxLost(f"the image {source.name} could not be made"))
        return future.result()

    def _made(self, source: ImageSource, folder: Path) -> dict[str, Any]:
        found = self._inspect(source.name)
        if found is None and not source.context:
            self._pull(source)
            found = self._inspect(source.name)
        elif found is None:
            dockerfile = folder / source.context / "Dockerfile"
            if not dockerfile.is_file():
                raise DataError(f"this machine has neither the image {source.name} nor {dockerfile} to build it from")
            with _locked(dockerfile):
                found = self._inspect(source.name)  # another process may have built it in the meantime
                if found is None:
                    self._build(source, folder / source.context)
                    found = self._inspect(source.name)
        if found is None:
            raise SandboxLost(f"Docker made the image {source.name}, and does not have it")
        if volumes := (found.get("Config") or {}).get("Volumes"):
            raise DataError(
                f"image {source.name} declares volumes ({', '.join(sorted(volumes))}), which cannot be compared with "
                "the image; remove VOLUME from its Dockerfile"
            )
        return found

    def _inspect(self, name: str) -> dict[str, Any] | None:
        with translate_errors(SandboxLost, f"Docker cannot look for the image {name}"):
            try:
                found: dict[str, Any] = self._api.inspect_image(name)
            except ImageNotFound:
                return None
            except APIError as error:
                if error.is_client_error():
                    raise DataError(f"{name!r:.80} is no name of an image: {error.explanation}") from None
                raise
        return found

    def _build(self, source: ImageSource, context: Path) -> None:
        with pack_context(context) as archive:
            digest = hashlib.file_digest(archive, "sha256").hexdigest()
            if not digest.startswith(source.name.rpartition(":")[2]):
                raise DataError(f"{context} has changed since its task was read; read the tasks again")
            archive.seek(0)
            headers = {"Content-Type": "application/tar"}
            self._api._set_auth_headers(headers)
            labels = json.dumps({LABEL: digest})
            params: dict[str, Any] = {"t": source.name, "rm": True, "forcerm": True, "labels": labels}
            if needs_buildkit(context / "Dockerfile"):
                params["version"] = VERSION
            self._follow(
                f"{context} cannot be built", "/build", source.seconds, data=archive, params=params, headers=headers
            )

    def _pull(self, source: ImageSource) -> None:
        repository, tag = parse_repository_tag(source.name)
        registry, _ = auth.resolve_repository_name(repository)
        header = auth.get_config_header(self._api, registry)
        self._follow(
            f"there is no image {source.name}, and it cannot be pulled",
            "/images/create",
            source.seconds,
            params={"fromImage": repository, "tag": tag or "latest"},
            headers={"X-Registry-Auth": header} if header else {},
        )

    def _follow(self, what: str, path: str, seconds: float, **request: Any) -> None:
        """Send a long request to the daemon, and read its log until it ends; ``what`` begins the error."""
        log, trace = "", Trace()
        try:
            with translate_errors(SandboxLost, "Docker cannot make an image"):
                for event in _events(self._api, path, seconds, request):
                    said = event.get("stream") or event.get("status") or trace.text(event)
                    log = (log + str(said))[-_LOG:]
                    if "error" in event:
                        cure = cure_of(str(event["error"]))
                        raise DataError(_with_log(f"{what}: {event['error']}{cure and f'. {cure}'}", log))
        except _TooLong:
            raise DataError(
                _with_log(f"{what} within {seconds:g} s (build_timeout_sec in its task.toml)", log)
            ) from None
        except SandboxLost as error:
            if isinstance(error.__cause__, APIError):  # the daemon answers, and refuses the task's request
                raise DataError(_with_log(f"{what}: {error.__cause__.explanation}", log)) from None
            raise


def _with_log(message: str, log: str) -> str:
    return f"{message.strip()}. The log ends with:\n{log.strip()}" if log.strip() else message


def _events(api: Any, path: str, seconds: float, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of a request; after ``seconds`` its connection is cut, so that the daemon ends the work.

    Raises:
        _TooLong: the time was up.
        SandboxLost: the daemon ended while it answered.
    """
    end = time.monotonic() + seconds
    expired = threading.Event()
    cut: list[Any] = []

    def expire() -> None:
        expired.set()
        for sock in cut:
            with suppress(OSError):
                sock.shutdown(2)

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        response = api._post(api._url(path), stream=True, timeout=(SECONDS, seconds), **request)
        sock = api._get_raw_response_socket(response)
        cut.append(getattr(sock, "_sock", sock))
        if not expired.is_set():
            yield from api._stream_helper(response, decode=True)
    except (OSError, requests.RequestException):
        if expired.is_set() or time.monotonic() > end:
            raise _TooLong from None
        raise
    except (ValueError, HTTPError) as error:  # the answer ended in the middle
        if expired.is_set():
            raise _TooLong from None
        raise SandboxLost(f"Docker's answer to {path} ended early: {error}") from None
    finally:
        timer.cancel()
    if expired.is_set():
        raise _TooLong


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock on ``path``, so that one process of this machine builds it; without locks there, none waits."""
    with path.open("rb") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_POLL)
                continue
            except OSError:  # a file system that cannot lock what is open for reading only
                pass
            break
        yield
