"""A job leaves nothing to the next one in the network, and reaches no file of the host with a lock or a watch."""

import asyncio
import fcntl
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from lachesis.verifiers.sandbox.backends import open_backend
from lachesis.verifiers.sandbox.job import Execution, Job, Level, Limits
from lachesis.verifiers.sandbox.pool import AgentPool
from lachesis.verifiers.sandbox.process_backend import ProcessLauncher
from lachesis.verifiers.sandbox.protocol import Sandbox
from lachesis.verifiers.sandbox.settings import SandboxSettings

pytestmark = pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="attacks are run as root on Linux")


@pytest.fixture(scope="module", params=["process", "nobody", "docker"])
def pool(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    if request.param == "nobody":
        made: Sandbox = AgentPool(request.getfixturevalue("nobody_launcher"), 2)
    else:
        image = request.getfixturevalue("docker_image") if request.param == "docker" else ""
        made = open_backend(request.param, SandboxSettings(size=2, **({"image": image} if image else {})))
    yield made
    made.close()


def run(pool: Sandbox, code: str) -> Execution:
    return asyncio.run(pool.run(Job(code, limits=Limits(wall=30, cpu=30))))


SEE = "print(*(open(f'/proc/net/{name}').read() for name in ('dev', 'snmp', 'snmp6', 'netstat', 'ip6_flowlabel')))"
USES = {
    "a flow label": """
import socket, struct
place = socket.inet_pton(socket.AF_INET6, "::1")
label = struct.pack("=16sIBBHHHI", place, socket.htonl(0x12345), 0, 255, 3, 60, 60, 0)
socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).setsockopt(41, 32, label)
""",
    "a datagram": """
import socket
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.bind(("127.0.0.1", 0))
here.sendto(b"x" * 1000, here.getsockname())
""",
    "a datagram of IPv6": """
import socket
here = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
try:
    here.bind(("::1", 0))
    here.sendto(b"x" * 1000, here.getsockname())
except OSError:  # no IPv6
    pass
""",
    "a connection that is refused": """
import socket
socket.socket().connect_ex(("127.0.0.1", 9))
""",
    "a datagram without a route": """
import socket
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 9))
except OSError:
    pass
""",
}


@pytest.mark.parametrize("use", USES)
def test_no_job_sees_that_an_earlier_one_used_the_network(pool: Sandbox, use: str) -> None:
    before = run(pool, SEE)
    assert before.status == "ok", before
    used = run(pool, USES[use] + SEE)
    assert used.status == "ok", used
    if "IPv6" not in use:  # a container has none
        assert used.stdout != before.stdout
    after = run(pool, SEE)
    assert (after.stdout, after.retries) == (before.stdout, 0)


def test_a_network_that_no_job_has_used_is_kept(pool: Sandbox) -> None:
    tell = "import os; print(os.readlink('/proc/self/ns/net'))"
    assert len({run(pool, tell).stdout for _ in range(3)}) == 1


WATCH = """
import ctypes, fcntl, os, sys
path = sys.stdin.readline().strip()
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(path, os.O_RDONLY)
watch = libc.inotify_init1(os.O_NONBLOCK)
libc.inotify_add_watch(watch, path.encode(), 0xFFF)
fcntl.flock(fd, fcntl.LOCK_EX)
def tried(act):
    try:
        return act()
    except OSError as error:
        return type(error).__name__
tried(lambda: fcntl.lockf(fd, fcntl.LOCK_SH))
print(tried(lambda: fcntl.fcntl(fd, 1024, 0)), tried(lambda: fcntl.fcntl(os.open(os.path.dirname(path), 0), 1026, 1)))
os.write(4, b"watches\\n")
os.read(3, 100)
print(tried(lambda: os.read(watch, 4096)) if watch >= 0 else "no watch")
"""


def locks_in_time(file: BinaryIO, seconds: float) -> bool:
    """Whether the file can be locked in that time; any sandbox that opens holds a lock on /usr/bin/env for a moment."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return True
    return False


@pytest.mark.parametrize("pool", ["process", "nobody"], indirect=True)  # a container has no file of the host
@pytest.mark.parametrize("path", ["/usr/bin/env", "/dev/null", "/etc/ld.so.cache"])
def test_a_job_neither_locks_nor_watches_a_file_of_the_host(pool: Sandbox, path: str) -> None:
    def touch(sessions: object) -> bool:
        (session,) = sessions  # type: ignore[misc]
        assert session.read() == b"watches"
        with open(path, "rb") as file:
            file.read(1)
            return locks_in_time(file, 30)

    job = Job(WATCH, stdin=path.encode(), limits=Limits(wall=60, cpu=30))
    touched, (end,) = asyncio.run(pool.converse([job], touch))
    assert touched, end  # the job holds its lock until it is written to, which is after the wait
    refused, watched = end.stdout.splitlines()
    assert refused == "OSError OSError"
    assert watched in ("BlockingIOError", "no watch")


LOCKS = """
import fcntl, os
for name in ("a", "b"):
    with open("own", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not os.fork():
            try:
                fcntl.flock(open("own"), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("locked", flush=True)
            os._exit(0)
        os.wait()
"""


@pytest.mark.parametrize("pool", ["process", "docker"], indirect=True)
def test_processes_of_a_job_can_lock_its_own_files(pool: Sandbox) -> None:
    assert run(pool, LOCKS).stdout == "locked\nlocked\n"


ENDLESS = {
    "plain": "def f(n): return f(n + 1)\nf(0)",
    "with operands": "def f(n): return 1 + f(n + 1)\nf(0)",
    "two functions": "def f(n): return g(n + 1)\ndef g(n): return f(n)\nf(0)",
    "in a method": "class A:\n    def f(self, n): return self.f(n + 1)\nA().f(0)",
    "through C": "import functools\n@functools.lru_cache(None)\ndef f(n): return f(n + 1)\nf(0)",
    "attributes": "class A:\n    def __getattr__(self, name): return getattr(self, name)\nA().b",
    "a generator": "def f(n): yield from f(n + 1)\nnext(f(0))",
    "a sort": "def f(n): return sorted([n], key=lambda x: f(x + 1))\nf(0)",
}


@pytest.mark.parametrize("limit", [10**6, 2**31 - 1])
@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize("pool", ["process"], indirect=True)
def test_endless_recursion_is_an_error_of_the_program(pool: Sandbox, kind: str, limit: int) -> None:
    done = run(pool, f"import sys\nsys.setrecursionlimit({limit})\n{ENDLESS[kind]}")
    assert done.status == "runtime_error", done
    assert done.signal == "SIGSEGV" or "RecursionError: maximum recursion depth exceeded" in done.stderr


def test_deep_recursion_that_ends_is_allowed(pool: Sandbox) -> None:
    deep = "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return 1 + f(n - 1) if n else 0\nprint(f(500_000))"
    assert run(pool, deep).stdout == "500000\n"


@pytest.mark.parametrize("wrong", ["'x'", "1.5", "0", "-1", "2**40"])
@pytest.mark.parametrize("pool", ["process"], indirect=True)
def test_a_wrong_recursion_limit_is_refused_as_the_interpreter_does(pool: Sandbox, wrong: str) -> None:
    done = run(pool, f"import sys\nsys.setrecursionlimit({wrong})")
    assert done.status == ("ok" if wrong == "2**40" else "runtime_error"), done


def test_an_unlimited_stack_of_the_parent_does_not_reach_a_job() -> None:
    before = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (before[1], before[1]))
    pool = AgentPool(ProcessLauncher(), 1)
    try:
        done = run(pool, f"import sys\nsys.setrecursionlimit(10**6)\n{ENDLESS['through C']}")
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, before)
        pool.close()
    assert (done.status, done.signal) == ("runtime_error", "SIGSEGV"), done


def test_where_a_folder_cannot_be_shown_apart_its_locks_have_no_effect(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    tmp_path.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(inner)], check=True)
    (inner / "found.py").write_text("x = 5")
    pool = open_backend("process", SandboxSettings(size=1, packages=(tmp_path,)))
    try:
        level = pool.level
        code = "import fcntl, inner.found as found\nfcntl.flock(open(found.__file__), fcntl.LOCK_EX)\nprint(found.x)"
        with (inner / "found.py").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            done = run(pool, code)
    finally:
        pool.close()
        subprocess.run(["umount", str(inner)], check=True)
    assert (level, done.stdout) == (Level.STRONG, "5\n"), done
