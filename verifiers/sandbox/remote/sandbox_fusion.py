"""The ``sandbox_fusion`` backend: jobs run at a SandboxFusion server (github.com/bytedance/SandboxFusion).

Its ``/run_code`` runs one program with its standard input and files. It has no conversations, environment variables or
names of new files, and every program may use the network. How its programs are confined depends on the server's
configuration, which it does not tell.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ...errors import ConfigError, SandboxLost
from ...processes.deadline import pause_deadline
from ..conversation import signal_name
from ..job import MIB, Execution, Job, Level, Status, Usage
from ..layers import Layer
from ..protocol import Session
from ..settings import SandboxSettings
from .sandbox import refuse_local_settings
from .service import Service, answer_seconds

Result = TypeVar("Result")

_TRIES = 2
"""How often a job is sent before the server's failure counts as caused by the job."""
_CONTROL = Job("print(6 * 7)")


class _ServerFailed(Exception):
    """The server answered that its sandbox failed."""


class SandboxFusion:
    """A ``Sandbox`` over a SandboxFusion server, for single jobs.

    Args:
        service: the server.
        size: how many requests are under way at the same time.
    """

    name = "sandbox_fusion"
    level = Level.ACCIDENT
    layers = (
        Layer("machine", True, "programs run at the server, not on this machine"),
        Layer(
            "isolation",
            False,
            "SandboxFusion does not tell how it confines programs",
            "use lachesis serve-sandbox and backend = 'remote', or accept it with sandbox.require = 'accident'",
        ),
    )

    def __init__(self, service: Service, size: int) -> None:
        self._service = service
        self._places = asyncio.Semaphore(size)

    async def run(self, job: Job) -> Execution:
        """Run ``job``; see ``Sandbox.run``."""
        try:
            with pause_deadline():
                return await asyncio.wrap_future(self._service.submit(self._run(job)))
        except SandboxLost as lost:
            return Execution("infra_error", reason=str(lost), level=self.level)

    async def converse(
        self, jobs: Sequence[Job], drive: Callable[[Sequence[Session]], Result]
    ) -> tuple[Result | None, list[Execution]]:
        """Refuse; SandboxFusion has no conversations."""
        raise SandboxLost("SandboxFusion runs single programs only; use tests of standard input, or another backend")

    def close(self) -> None:
        """End every request."""
        self._service.close()

    async def _run(self, job: Job) -> Execution:
        """Run ``job``; if the server fails at it twice, but not at a control job, the job has caused it."""
        if job.env:
            raise SandboxLost(
                f"SandboxFusion sets no environment variables ({', '.join(job.env)}); use another backend"
            )
        async with self._places:
            for retries in range(_TRIES):
                try:
                    return _execution(job, await self._ask(job), retries)
                except _ServerFailed as failed:
                    reason = str(failed)
                try:
                    if _execution(_CONTROL, await self._ask(_CONTROL), 0).stdout != "42\n":
                        raise self._service.lost(f"{reason}; a control job failed, too")
                except _ServerFailed:
                    raise self._service.lost(f"{reason}; a control job failed, too") from None
        reason = f"{reason}; {_TRIES} times, while a control job succeeded"
        return Execution("limit", reason=reason, level=self.level, retries=_TRIES)

    async def _ask(self, job: Job) -> dict[str, Any]:
        """The result of running ``job``. Raises ``_ServerFailed``, and ``SandboxLost`` if there is no valid answer."""
        answer = await self._service.request(
            "POST", "/run_code", _request(job), seconds=answer_seconds(job.limits), kind="application/json"
        )
        try:
            row = json.loads(answer)
            if row["status"] == "SandboxError":
                raise _ServerFailed(f"SandboxFusion failed: {row['message']!r:.300}")
            result: dict[str, Any] = row["run_result"]
            if result["status"] not in ("Finished", "TimeLimitExceeded"):
                raise ValueError(f"status {result['status']!r:.40}")
            result.setdefault("return_code", None)
            if result["status"] == "Finished" and not isinstance(result["return_code"], int):
                raise ValueError(f"return_code {result['return_code']!r:.40}")
        except (ValueError, KeyError, TypeError) as error:
            raise self._service.lost(f"an answer that is not of SandboxFusion ({error!r:.100})") from None
        return result


def _request(job: Job) -> bytes:
    try:
        stdin = job.stdin.decode()
    except UnicodeDecodeError:
        raise SandboxLost("SandboxFusion takes text as standard input only; use another backend") from None
    row = {
        "code": job.code.encode(errors="replace").decode(),
        "language": "python",
        "stdin": stdin,
        "files": {name: base64.b64encode(content).decode() for name, content in job.files.items()},
        "compile_timeout": job.limits.wall,
        "run_timeout": job.limits.wall,
        "memory_limit_MB": -(-job.limits.memory // MIB),
    }
    return json.dumps(row).encode()


def _execution(job: Job, result: dict[str, Any], retries: int) -> Execution:
    """The execution that a ``run_result`` describes."""
    most = job.limits.output
    texts = {name: (result.get(name) or "").encode() for name in ("stdout", "stderr")}
    stdout, stderr = (text[:most].decode(errors="replace") for text in texts.values())
    code = result["return_code"]
    ended_by_signal = code is not None and code < 0
    status, reason = _status(result["status"], code, stderr, job.limits.wall)
    return Execution(
        status,
        exit_code=None if ended_by_signal else code,
        signal=signal_name(-code) if ended_by_signal else "",
        stdout=stdout,
        stderr=stderr,
        truncated=tuple(name for name, text in texts.items() if len(text) > most),
        usage=Usage(wall=result.get("execution_time") or 0.0),
        level=SandboxFusion.level,
        reason=reason,
        retries=retries,
    )


def _status(said: str, code: int | None, stderr: str, wall: float) -> tuple[Status, str]:
    if said == "TimeLimitExceeded":
        return "timeout", f"took more than {wall:g} s"
    if code == 0:
        return "ok", ""
    if stderr.rstrip().rpartition("\n")[2].startswith("MemoryError"):
        return "oom", "MemoryError"
    return "runtime_error", f"exit code {code}"


def open_sandbox_fusion(settings: SandboxSettings) -> SandboxFusion:
    """Open the SandboxFusion server at ``settings.url``.

    Raises:
        ConfigError: the settings ask for what SandboxFusion does not have.
        SandboxLost: the server does not answer.
    """
    refuse_local_settings(settings, "the server's image decides this")
    if not settings.network:
        raise ConfigError(
            "SandboxFusion lets every program use the network; accept that with sandbox.network = true, or use another "
            "backend"
        )
    service = Service(settings.url, settings.ca_file)
    try:
        service.submit(service.request("GET", "/v1/ping", seconds=30.0)).result()
    except BaseException:
        service.close()
        raise
    return SandboxFusion(service, settings.jobs)
