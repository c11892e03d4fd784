"""Jobs, executions and the lines of a conversation as bytes, as a sandbox server and its clients exchange them."""

from collections.abc import Sequence
from dataclasses import asdict

from ...errors import DataError, SandboxLost
from ..inside import wire
from ..job import Execution, Job, Level, Limits, Usage

JOBS, END = b"J", b"E"
"""The kinds of a client's messages with which a conversation begins and ends."""
SEND, READ, ASK, WRITE, RECEIVE, CLOSE = b"S", b"R", b"A", b"W", b"V", b"C"
"""The kinds of a client's calls of a session; the content of ``RECEIVE`` is its seconds as text."""
BEGIN, LINE, SENT, ENDED, EXECUTIONS, LOST = b"B", b"L", b"O", b"X", b"D", b"F"
"""The kinds of a server's messages: the jobs have started, the answers to a call, and the two possible ends."""


class PATHS:
    """The paths of a server: the description of its sandbox, single jobs, and conversations, which are web sockets."""

    sandbox, jobs, conversations = "/v1/sandbox", "/v1/jobs", "/v1/conversations"


_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


def message(kind: bytes, session: int = 0, line: bytes = b"") -> bytes:
    """One message of a conversation: its kind, the number of the session, and a line or other content."""
    return kind + bytes([session]) + line


def pack_jobs(jobs: Sequence[Job]) -> bytes:
    """Pack jobs."""
    return wire.pack({}, [_pack_job(job) for job in jobs])


def unpack_jobs(body: bytes) -> list[Job]:
    """Unpack jobs. Raises ``DataError`` if ``body`` holds anything else."""
    try:
        _, packed = wire.unpack(body)
        return [_unpack_job(one) for one in packed]
    except _MALFORMED as error:
        raise DataError(f"the body holds no jobs ({type(error).__name__}); send what the client sends") from None


def _pack_job(job: Job) -> bytes:
    header = {"limits": asdict(job.limits), "env": dict(job.env), "names": list(job.files)}
    return wire.pack(header, [job.code.encode(errors="surrogatepass"), job.stdin, *job.files.values()])


def _unpack_job(body: bytes) -> Job:
    header, (code, stdin, *contents) = wire.unpack(body)
    files = dict(zip(header["names"], contents, strict=True))
    return Job(code.decode(errors="surrogatepass"), stdin, files, dict(header["env"]), Limits(**header["limits"]))


def pack_executions(executions: Sequence[Execution]) -> bytes:
    """Pack executions."""
    return wire.pack({}, [_pack_execution(execution) for execution in executions])


def unpack_executions(body: bytes) -> list[Execution]:
    """Unpack executions. Raises ``SandboxLost`` if ``body`` holds anything else."""
    try:
        _, packed = wire.unpack(body)
        return [_unpack_execution(one) for one in packed]
    except _MALFORMED as error:
        raise SandboxLost(f"the server's answer holds no executions ({type(error).__name__})") from None


def _pack_execution(execution: Execution) -> bytes:
    header = asdict(execution)
    blobs = [header.pop(name).encode(errors="replace") for name in ("stdout", "stderr")]
    files = header.pop("files")
    return wire.pack({**header, "level": execution.level.name, "names": list(files)}, [*blobs, *files.values()])


def _unpack_execution(body: bytes) -> Execution:
    header, (stdout, stderr, *contents) = wire.unpack(body)
    names = header.pop("names")
    header["truncated"] = tuple(header["truncated"])
    header["usage"] = Usage(**header["usage"])
    header["level"] = Level[header["level"]]
    files = dict(zip(names, contents, strict=True))
    return Execution(**header, stdout=stdout.decode(), stderr=stderr.decode(), files=files)
