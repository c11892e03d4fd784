"""Programs that attack the sandbox, on every backend: each ends as expected and changes nothing outside."""

import asyncio
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lachesis.verifiers.sandbox.backends import open_backend
from lachesis.verifiers.sandbox.job import MIB, Execution, Job, Level, Limits
from lachesis.verifiers.sandbox.pool import AgentPool
from lachesis.verifiers.sandbox.protocol import Sandbox
from lachesis.verifiers.sandbox.settings import SandboxSettings

pytestmark = pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="attacks are run as root on Linux")

LIMITS = Limits(wall=2, cpu=2)
SECRET = "canary-5f1d"

Check = Callable[[Execution], bool]


def said(word: str) -> Check:
    return lambda end: end.status == "ok" and word in end.stdout and "LEAK" not in end.stdout


def ended(*statuses: str) -> Check:
    return lambda end: end.status in statuses


def harmless(end: Execution) -> bool:
    return end.status in ("ok", "runtime_error") and "LEAK" not in end.stdout


# What each program's `# MUST` line says of its execution. The reward hacks are also tried against the code verifier.
MUST: dict[str, Check] = {
    "bigint_c_loop": ended("timeout"),
    "child_holds_stdout": lambda end: end.stdout == "bye\n" and end.usage.wall < LIMITS.wall,
    "daemonised_child": lambda end: end.stdout == "parent done\n" and end.usage.wall < LIMITS.wall,
    "disk_fill": lambda end: end.status != "ok" and ("Errno 28" in end.stderr or "Errno 27" in end.stderr),
    "docker_socket": said("NONE"),
    "fifo_artifact": lambda end: (
        end.status == "ok" and not end.files and set(end.refused) == {"out.txt", "result.json"}
    ),
    "fork_bomb": ended("timeout", "limit", "oom"),
    "huge_line_then_answer": lambda end: "42" not in end.stdout and "stdout" in end.truncated,
    "huge_stderr": lambda end: end.stdout == "done\n" and end.truncated == ("stderr",),
    "ignore_sigterm": ended("timeout"),
    "inode_fill": lambda end: end.status == "timeout" or "Errno 28" in end.stderr,
    "kill_all": harmless,
    "kill_parent": lambda end: end.status in ("ok", "runtime_error"),
    "memory_bomb": ended("oom"),
    "memory_bomb_children": ended("oom"),
    "mmap_shared_tmpfs": ended("oom"),
    "network_dns": said("NONET"),
    "network_loopback_host": said("NONET"),
    "poison_python_path": harmless,
    "proc_mem_parent": said("DENIED"),
    "read_other_job_files": said("NONE"),
    "read_shadow": said("DENIED"),
    "segfault": lambda end: (end.status, end.signal) == ("runtime_error", "SIGSEGV"),
    "setuid_binary": said("DENIED"),
    "stdin_hog": said("no read"),
    "symlink_escape": lambda end: not end.files and set(end.refused) == {"out.txt", "result.json", "d"},
    "tar_bomb_name": lambda end: all(len(name) == 255 for name in end.files) and len(end.refused) == 2,
    "unix_abstract_socket": said("NONE"),
    "userns_escape": said("DENIED"),
}
HACKS = """
always_equal atexit base_exception excepthook generator_exit_thread marker_then_exit memoise_global os_exit
patch_builtins print_marker stack_frames sys_exit
"""
MUST |= {f"hack_{name}": harmless for name in HACKS.split()}

# At `contained` a job starts no processes, and memory is limited as address space.
WITHOUT_PROCESSES: dict[str, Check] = {
    "child_holds_stdout": ended("runtime_error"),
    "daemonised_child": ended("runtime_error"),
    "memory_bomb_children": ended("runtime_error"),
    "mmap_shared_tmpfs": lambda end: "Errno 12" in end.stderr,
    "setuid_binary": ended("runtime_error"),
}


@dataclass
class Ground:
    """A backend, and the canaries that no job may touch."""

    pool: Sandbox
    canary: Path
    touched: list[str]

    def run(self, source: str, **given: object) -> Execution:
        job = Job(source, env={"HOSTILE_OK": "1"}, limits=LIMITS, **given)  # type: ignore[arg-type]
        return asyncio.run(self.pool.run(job))


@pytest.fixture(scope="module", params=["process", "docker", "nobody"])
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    request.getfixturevalue("docker_image" if request.param == "docker" else "machine_allows_strong")
    os.environ["LACHESIS_CANARY"] = SECRET
    if request.param == "nobody":
        pool = AgentPool(request.getfixturevalue("nobody_launcher"), 2)
    else:
        image = request.getfixturevalue("docker_image") if request.param == "docker" else ""
        pool = open_backend(request.param, SandboxSettings(size=2, **({"image": image} if image else {})))
    assert pool.level == (Level.CONTAINED if request.param == "nobody" else Level.STRONG), pool.layers
    touched: list[str] = []
    with tempfile.TemporaryDirectory(prefix="lachesis-ground-") as folder, _listeners(touched) as _:
        canary = Path(folder, "secret.txt")
        canary.write_text(SECRET)
        os.chmod(folder, 0o777)
        canary.chmod(0o666)
        yield Ground(pool, canary, touched)
        pool.close()
        assert canary.read_text() == SECRET
    assert touched == [], "a job reached a listener of the host"
    assert _left_over() == []


class _listeners:
    """Listeners of the host, on the ports that programs try and on an abstract socket; who connects is noted."""

    def __init__(self, touched: list[str]) -> None:
        self._touched, self._sockets = touched, []

    def __enter__(self) -> None:
        for port in (2375, 8000, 8080, 0):
            try:
                self._sockets.append(socket.create_server(("127.0.0.1", port)))
            except OSError:  # somebody else listens there: as good
                continue
        abstract = socket.socket(socket.AF_UNIX)
        abstract.bind(f"\0lachesis-{os.getpid()}")
        abstract.listen()
        self._sockets.append(abstract)
        for listening in self._sockets:
            threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        try:
            while True:
                listening.accept()
                self._touched.append(str(listening.getsockname()))
        except OSError:
            return

    def __exit__(self, *_: object) -> None:
        for listening in self._sockets:
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()


def _left_over() -> list[str]:
    """Processes of jobs or agents that descend of this process, after a moment to end."""
    for _ in range(300):
        found = [pid for pid in os.listdir("/proc") if pid.isdigit() and _is_ours(pid)]
        if not found:
            return []
        time.sleep(0.1)
    return found


def _is_ours(pid: str) -> bool:
    try:
        status = Path("/proc", pid, "status").read_text()
        words = Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return False
    user = int(status.split("Uid:")[1].split()[0])
    return user >= 0x7000_0000 and b"inside" in words and f"PPid:\t{os.getpid()}\n" in status


def test_every_program_is_tried(shared_data: Callable[[str], Path]) -> None:
    names = {path.stem for path in shared_data("hostile").glob("*.py")}
    assert names == set(MUST)
    assert len(names) == 41


@pytest.mark.parametrize("name", sorted(MUST))
def test_a_hostile_program_ends_with_the_expected_status(
    ground: Ground, name: str, shared_data: Callable[[str], Path]
) -> None:
    source = (shared_data("hostile") / f"{name}.py").read_text()
    stdin = b"1" * (50 * MIB) if name == "stdin_hog" else b""
    end = ground.run(source, stdin=stdin)
    check = MUST[name]
    if ground.pool.level == Level.CONTAINED:
        check = WITHOUT_PROCESSES.get(name, check)
    assert check(end), end
    assert SECRET not in end.stdout + end.stderr
    assert ground.touched == []
    again = ground.run(source if name == "read_other_job_files" else "import json, sys; print(json.dumps([1]))")
    assert again.status == "ok", again
    assert again.stdout == ("NONE\n" if name == "read_other_job_files" else "[1]\n")
    assert again.retries == 0


# Of our own: what the shared programs leave untried. Each prints LEAK where it reached something.
ATTACKS = sorted(Path(__file__).with_name("attacks").glob("*.py"))


@pytest.mark.parametrize("path", ATTACKS, ids=lambda path: path.stem)
def test_a_hostile_program_changes_nothing_outside(ground: Ground, path: Path) -> None:
    end = ground.run(path.read_text())
    assert end.status == "ok" or end.signal == "SIGSYS", end
    assert "LEAK" not in end.stdout, end.stdout
    assert ground.run("print(1)").stdout == "1\n"


def test_deep_folders_are_gone_for_the_next_job(ground: Ground) -> None:
    deep = next(path for path in ATTACKS if path.stem == "deep_folders")
    assert ground.run(deep.read_text()).stdout == "made\n"
    look = "import os; print([os.listdir(path) for path in ('/box', '/tmp', '/dev/shm')])"
    assert ground.run(look).stdout == "[[], [], []]\n"


@pytest.mark.parametrize(
    "end", ["os.kill(os.getpid(), 19)", "time.sleep(60)", "os.close(1); os.close(2); time.sleep(60)"]
)
def test_a_job_that_does_nothing_ends_at_its_time(ground: Ground, end: str) -> None:
    assert ground.run(f"import os, time; {end}").status == "timeout"


def test_the_canary_is_out_of_reach_by_any_path(ground: Ground) -> None:
    source = f"""
import os
path = {str(ground.canary)!r}
for prefix in ("", "/proc/1/root", "/proc/self/root", "/proc/self/cwd/../../..", "/.."):
    try:
        print("LEAK", open(prefix + path).read())
    except OSError:
        pass
    try:
        open(prefix + path, "w").write("spoilt")
        print("LEAK", prefix)
    except OSError:
        pass
"""
    assert harmless(ground.run(source))
    assert ground.canary.read_text() == SECRET
