"""Containers: how they confine, how bytes pass through, and that none is left behind."""

import asyncio
import contextlib
import io
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from docker.errors import NotFound
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.errors import ConfigError, SandboxLost
from lachesis.verifiers.processes.owner import owner_label
from lachesis.verifiers.sandbox.docker.connection import OVERHEAD, DockerConnection
from lachesis.verifiers.sandbox.docker.containers import OWNER, ContainerLimits, Containers, DockerLauncher
from lachesis.verifiers.sandbox.docker.daemon import connect
from lachesis.verifiers.sandbox.job import Execution, Job, Level, Limits
from lachesis.verifiers.sandbox.pool import AgentPool

MIB = 1 << 20
ROOM = ContainerLimits(memory=128 * MIB, disk=8 * MIB, files=100, processes=20)
ECHO = "import os\nwhile data := os.read(0, 65536): os.write(1, data)"


@contextlib.contextmanager
def containers(image: str, program: str, limits: ContainerLimits = ROOM, **more: Any) -> Iterator[Containers]:
    made = Containers(image, ["python3", "-I", "-S", "-B", "-c", textwrap.dedent(program)], limits, **more)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def running(image: str, program: str, limits: ContainerLimits = ROOM, **more: Any) -> Iterator[DockerConnection]:
    with containers(image, program, limits, **more) as made:
        connection = made.start()
        try:
            yield connection
        finally:
            connection.close()


def everything(connection: DockerConnection) -> bytes:
    return b"".join(iter(lambda: connection.receive(30), b""))


def output_of(image: str, program: str, limits: ContainerLimits = ROOM, **more: Any) -> str:
    with running(image, program, limits, **more) as connection:
        return everything(connection).decode()


def is_there(container: str) -> bool:
    try:
        connect().inspect_container(container)
    except NotFound:
        return False
    return True


def wait_until(true: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


# What goes through


def test_bytes_come_back_as_they_were_sent(docker_image: str) -> None:
    data = random.Random(1).randbytes(3 * MIB)
    with running(docker_image, ECHO) as connection:
        sender = threading.Thread(target=connection._socket.sendall, args=(data,))
        sender.start()
        back = b""
        while len(back) < len(data):
            back += connection.receive(30)
        sender.join()
        assert back == data


def test_nothing_to_receive_is_a_timeout_and_the_end_is_empty(docker_image: str) -> None:
    with running(docker_image, "import os; os.read(0, 1)") as connection:
        for seconds in (0, 0.2):
            with pytest.raises(TimeoutError, match="nothing from the sandbox"):
                connection.receive(seconds)
        connection.send(b"x")
        assert connection.receive(30) == b""
        assert connection.receive(30) == b""


def test_standard_error_is_kept_apart_and_bounded_and_told_at_the_end(docker_image: str) -> None:
    program = "import os; os.write(2, b'x' * 100_000 + b'why'); os.write(1, b'out')"
    with running(docker_image, program) as connection:
        assert connection.receive(30) == b"out"
        with pytest.raises(ConnectionError, match=r"it ended, saying: x+why$"):
            connection.receive(30)
        assert len(connection.diagnosis) < 10_000


@given(
    frames=st.lists(st.tuples(st.sampled_from([0, 1, 2, 3]), st.binary(max_size=20)), max_size=10),
    cuts=st.lists(st.integers(1, 40), max_size=30),
)
def test_frames_are_told_apart_wherever_they_are_cut(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(struct.pack(">BxxxI", kind, len(data)) + data for kind, data in frames)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = DockerConnection("", theirs, lambda *_: None, lambda *_: None)
        output = b""
        for cut in [*cuts, len(stream)]:
            part, stream = stream[:cut], stream[cut:]
            output += connection._stdout_of(part)
        assert output == b"".join(data for kind, data in frames if kind == 1)
        assert connection._errors == b"".join(data for kind, data in frames if kind == 2)


# What they hold

LOOK = """
    import ctypes, json, os, socket, sys

    def status(name):
        with open("/proc/self/status") as file:
            return next(line.split()[1] for line in file if line.startswith(name + ":"))

    def writes(folder):
        try:
            open(folder + "/probe", "w").close()
            return True
        except OSError:
            return False

    def opens(path):
        try:
            with open(path, "rb") as file:
                return len(file.read(1)) > 0
        except OSError:
            return False

    def listens(family, *more):
        try:
            socket.socket(family, *more).close()
            return True
        except OSError as error:
            return error.strerror

    libc = ctypes.CDLL(None, use_errno=True)
    def call(number, *arguments):
        return os.strerror(ctypes.get_errno()) if libc.syscall(number, *arguments) < 0 else "done"

    def look():
        folders = ("/", "/etc", "/usr", "/sys", "/proc/sys/kernel", "/dev/mqueue", "/dev/pts", "/run", "/lib",
                   "/sys/fs/cgroup", "/box", "/tmp", "/var/tmp", "/dev/shm")
        secrets = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/1/environ", "/proc/1/mem", "/proc/1/maps")
        return {
            "capabilities": status("CapEff"), "bounding": status("CapBnd"), "no_new_privileges": status("NoNewPrivs"),
            "filters": status("Seccomp"), "environment": dict(os.environ), "host": socket.gethostname(),
            "writable": [folder for folder in folders if writes(folder)],
            "interfaces": [line.split(":")[0].strip() for line in open("/proc/net/dev").readlines()[2:]],
            "limits": [(there.f_files, there.f_blocks * there.f_frsize) for there in map(os.statvfs, folders[-4:])],
            "leaks": [path for path in secrets if opens(path)],
            "netlink": listens(16, socket.SOCK_RAW), "vsock": listens(40), "unix": listens(1), "inet": listens(2),
        }

    def become(uid):
        os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)

    agent = look()
    for folder in agent["writable"]:
        os.unlink(folder + "/probe")
    if os.uname().machine == "x86_64":
        agent["calls"] = {name: call(*number) for name, number in {
            "io_uring_setup": (425, 8, 0), "unshare": (272, 0x10000000), "bpf": (321, 0, 0, 0), "setns": (308, 0, 0),
            "mount": (165, 0, 0, 0, 0, 0), "pivot_root": (155, 0, 0), "chroot": (161, 0), "reboot": (169, 0),
            "open_by_handle_at": (304, 0, 0, 0), "keyctl": (250, 0, 0), "add_key": (248, 0, 0), "ptrace": (101, 0, 0),
            "process_vm_readv": (310, 1, 0, 0, 0, 0, 0), "perf_event_open": (298, 0, 0, 0, 0, 0),
            "userfaultfd": (323, 0), "mq_open": (240, 0, 0), "shmget": (29, 0, 4096, 0o1600),
            "mknod": (133, b"/tmp/d", 0o20600, 1), "clone with a user namespace": (56, 0x10000011, 0),
        }.items()}
        agent["clone3"] = call(435, 0, 0)
    ours, theirs = os.pipe()
    if not os.fork():
        become(20000)
        with open(theirs, "w") as file:
            json.dump(look(), file)
        for signal in (9, 19):
            try:
                os.kill(1, signal)
            except PermissionError:
                pass
        os._exit(0)
    os.close(theirs)
    with open(ours) as file:
        job = json.load(file)
    os.wait()
    print(json.dumps({"agent": agent, "job": job}))
"""


@pytest.fixture(scope="module")
def seen(docker_image: str) -> dict[str, Any]:
    """What a container's agent and a job of it find when they look around."""
    found: dict[str, Any] = json.loads(output_of(docker_image, LOOK, environment={"PATH": "/usr/bin"}))
    return found


def test_the_agent_can_become_another_user_and_nothing_else(seen: dict[str, Any]) -> None:
    assert int(seen["agent"]["capabilities"], 16) == int(seen["agent"]["bounding"], 16) == 1 << 6 | 1 << 7
    assert int(seen["job"]["capabilities"], 16) == 0
    assert seen["agent"]["no_new_privileges"] == seen["job"]["no_new_privileges"] == "1"
    assert seen["agent"]["filters"] == seen["job"]["filters"] == "2"


@pytest.mark.parametrize("who", ["agent", "job"])
def test_only_the_four_folders_in_memory_can_be_written(seen: dict[str, Any], who: str) -> None:
    assert seen[who]["writable"] == ["/box", "/tmp", "/var/tmp", "/dev/shm"]
    assert seen[who]["limits"] == [[ROOM.files, ROOM.disk]] * 4


@pytest.mark.parametrize("who", ["agent", "job"])
def test_there_is_no_network_but_loopback(seen: dict[str, Any], who: str) -> None:
    assert seen[who]["interfaces"] == ["lo"]
    assert seen[who]["netlink"] is not True
    assert seen[who]["vsock"] is not True
    assert seen[who]["unix"] is True
    assert seen[who]["inet"] is True


def test_the_host_gives_away_neither_its_name_nor_its_environment(seen: dict[str, Any]) -> None:
    assert seen["job"]["host"] == "sandbox"
    assert set(seen["agent"]["environment"]) == {"PATH", "HOSTNAME", "HOME"}


def test_a_job_reads_neither_the_kernel_nor_the_agent(seen: dict[str, Any]) -> None:
    assert seen["job"]["leaks"] == []


def test_calls_that_are_not_on_the_list_are_refused(seen: dict[str, Any]) -> None:
    if "calls" not in seen["agent"]:
        pytest.skip("system call numbers of x86_64")
    assert set(seen["agent"]["calls"].values()) == {"Operation not permitted"}, seen["agent"]["calls"]
    assert seen["agent"]["clone3"] == "Function not implemented"


def test_all_processes_share_one_number_of_processes(docker_image: str) -> None:
    program = """
        import os, time
        number = 0
        try:
            while number < 1000:
                if not os.fork():
                    time.sleep(30)
                    os._exit(0)
                number += 1
        except OSError:
            print(number)
    """
    assert 10 <= int(output_of(docker_image, program)) < ROOM.processes


@pytest.mark.parametrize(
    "take",
    [
        "data = bytearray(100 * MIB)",
        "open(f'/box/{os.getpid()}', 'wb').write(bytes(100 * MIB))",
        "mmap.mmap(-1, 100 * MIB).write(bytes(100 * MIB))",
    ],
)
def test_all_processes_and_their_files_share_one_memory(docker_image: str, take: str) -> None:
    program = f"""
        import mmap, os, signal, time
        MIB = 1 << 20
        children = []
        for _ in range(4):
            child = os.fork()
            if not child:
                open("/proc/self/oom_score_adj", "w").write("1000")
                {take}
                time.sleep(2)
                os._exit(0)
            children.append(child)
        print(sum(os.waitpid(child, 0)[1] == signal.SIGKILL for child in children))
    """
    limits = ContainerLimits(memory=256 * MIB, disk=1024 * MIB)
    assert int(output_of(docker_image, program, limits)) >= 1


def test_memory_can_be_changed_while_it_runs(docker_image: str) -> None:
    program = """
        import os
        while asked := os.read(0, 100):
            child = os.fork()
            if not child:
                open("/proc/self/oom_score_adj", "w").write("1000")
                data = bytearray(int(asked))
                os._exit(0)
            os.write(1, b"killed" if os.waitpid(child, 0)[1] == 9 else b"well")
    """
    with running(docker_image, program) as connection:
        answers = []
        for limit in (256, 64, 256):
            connection.limit_memory(limit * MIB - OVERHEAD)
            connection.send(str(150 * MIB).encode())
            answers.append(connection.receive(30))
        assert answers == [b"well", b"killed", b"well"]


@contextlib.contextmanager
def changed(image: str, *lines: str) -> Iterator[str]:
    """The name of an image that is ``image`` with more lines of a Dockerfile."""
    client, name = connect(), f"lachesis-test:{uuid.uuid4().hex}"
    recipe = "\n".join([f"FROM {image}", *lines])
    answer = "".join(map(str, client.build(fileobj=io.BytesIO(recipe.encode()), tag=name, rm=True)))
    assert "Successfully tagged" in answer, answer
    try:
        yield name
    finally:
        client.remove_image(name)


def test_the_options_of_an_image_are_overridden(docker_image: str) -> None:
    no = '["/no/such"]'
    with changed(docker_image, "USER 65534", f"ENTRYPOINT {no}", "WORKDIR /usr", f"HEALTHCHECK CMD {no}") as image:
        assert output_of(image, "import os; print(os.getuid(), os.getcwd())") == "0 /\n"


# Jobs


@pytest.fixture(scope="module")
def pool(docker_image: str) -> Iterator[AgentPool]:
    made = AgentPool(DockerLauncher(docker_image), 2)
    yield made
    made.close()


def run(pool: AgentPool, code: str, **more: Any) -> Execution:
    return asyncio.run(pool.run(Job(textwrap.dedent(code), **more)))


def test_all_layers_hold(pool: AgentPool) -> None:
    assert pool.level == Level.STRONG, pool.layers


def test_a_job_does_not_see_the_inputs_and_files_of_the_last_one(pool: AgentPool) -> None:
    code = """
        import os
        print([os.listdir(folder) for folder in (".", "/tmp", "/var/tmp", "/dev/shm")])
        for folder in (".", "/tmp", "/var/tmp", "/dev/shm"):
            os.makedirs(folder + "/a/b/c")
            os.chmod(folder + "/a/b", 0)
            open(folder + "/hidden", "w").close()
            os.chmod(folder + "/hidden", 0)
            os.symlink("/proc", folder + "/link")
        for _ in range(3000):
            os.mkdir("deep")
            os.chdir("deep")
    """
    for name in ("one", "two", "one"):
        end = run(pool, code, files={name: b"x"})
        assert (end.stdout, end.retries) == (f"[['{name}'], [], [], []]\n", 0)


def test_a_job_may_change_and_remove_what_it_was_given(pool: AgentPool) -> None:
    end = run(
        pool, "import os; open('a', 'ab').write(b'y'); print(open('a').read()); os.remove('a')", files={"a": b"x"}
    )
    assert (end.status, end.stdout) == ("ok", "xy\n")


@pytest.mark.parametrize("memory", [64, 512, 96])
def test_each_job_has_the_memory_that_it_was_given(pool: AgentPool, memory: int) -> None:
    limits = Limits(memory=memory * MIB)
    assert run(pool, f"data = b'x' * {(memory - 16) * MIB}", limits=limits).status == "ok"
    assert run(pool, f"data = b'x' * {(memory + 64) * MIB}", limits=limits).status == "oom"


def test_jobs_of_two_containers_are_two_users(docker_image: str) -> None:
    """The kernel counts the processes of a user over all containers."""
    users = set()
    for _ in range(2):
        pool = AgentPool(DockerLauncher(docker_image), 1)
        users.add(run(pool, "import os; print(os.getuid())").stdout)
        pool.close()
    assert len(users) == 2


# That none is left behind

PARENT = """
    import os, sys, time
    from lachesis.verifiers.sandbox.docker.containers import Containers, ContainerLimits
    limits = ContainerLimits({memory}, {disk})
    containers = Containers({image!r}, ["python3", "-I", "-S", "-B", "-c", {program!r}], limits)
    {before}
    connection = containers.start()
    {then}
    print(connection.container, flush=True)
    time.sleep(600)
"""


def parent_of(image: str, program: str, **more: str) -> tuple["subprocess.Popen[str]", str]:
    """A process that starts a container, and the first line that it prints: the container's id."""
    gaps = {"memory": ROOM.memory, "disk": ROOM.disk, "before": "", "then": "", **more}
    source = textwrap.dedent(PARENT).format(image=image, program=program, **gaps)
    process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def test_a_container_ends_with_a_parent_that_is_killed(docker_image: str) -> None:
    process, container = parent_of(docker_image, ECHO)
    assert is_there(container)
    kill(process)
    assert wait_until(lambda: not is_there(container))


@pytest.mark.parametrize(
    "job", ["while True: pass", "import os\\nwhile True: os.fork()", "while True: print('x' * 10**6)"]
)
def test_a_container_ends_with_its_parent_in_the_middle_of_a_job(docker_image: str, job: str) -> None:
    source = """
        import threading, time
        from lachesis.verifiers.sandbox.docker.containers import DockerLauncher
        from lachesis.verifiers.sandbox.job import Job, Limits
        from lachesis.verifiers.sandbox.pool import AgentPool
        pool = AgentPool(DockerLauncher({image!r}), 1)
        pool._run(Job("print(1)"))
        print(pool._idle[0]._connection.container, flush=True)
        pool._run(Job({job!r}, limits=Limits(wall=500, cpu=500)))
    """
    code = textwrap.dedent(source).format(image=docker_image, job=job)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    container = process.stdout.readline().strip()
    time.sleep(0.5)
    kill(process)
    assert wait_until(lambda: not is_there(container))


def test_a_child_of_the_killed_parent_keeps_no_container_alive(docker_image: str) -> None:
    fork = "child = os.fork() or time.sleep(60) or os._exit(0)"
    process, container = parent_of(docker_image, ECHO, then=fork)
    assert is_there(container)
    os.kill(process.pid, signal.SIGKILL)
    assert wait_until(lambda: not is_there(container))
    process.wait()


def test_a_parent_killed_at_any_moment_leaves_nothing_that_the_next_one_does_not_remove(docker_image: str) -> None:
    draw = random.Random(0)
    owners = []
    for _ in range(8):
        process, _ = parent_of(docker_image, ECHO, before="print('now', flush=True)")
        owners.append(owner_label(process.pid))
        time.sleep(draw.uniform(0, 0.25))
        kill(process)
    client = connect()

    def left(status: str) -> list[str]:
        ours = client.containers(all=True, filters={"label": OWNER, "status": status})
        return [one["Id"] for one in ours if one["Labels"][OWNER] in owners]

    assert wait_until(lambda: not left("running")), "those that were started end by themselves"
    with containers(docker_image, ECHO):  # another process may be removing them at this moment
        assert wait_until(lambda: left("created") == [])


def test_a_container_whose_agent_is_stuck_is_removed_by_the_next_one(docker_image: str) -> None:
    stuck, container = parent_of(docker_image, "import time; time.sleep(600)")
    with containers(docker_image, ECHO):
        assert is_there(container), "its owner lives"
    kill(stuck)
    with containers(docker_image, ECHO):
        assert wait_until(lambda: not is_there(container))


def test_close_ends_whatever_runs_and_may_be_called_twice(docker_image: str) -> None:
    with containers(docker_image, "import os, time; os.write(1, b'x'); time.sleep(600)") as made:
        connection = made.start()
        assert connection.receive(30) == b"x"
        connection.close()
        assert not is_there(connection.container)
        connection.close()
        assert connection.receive(1) == b""


def test_closing_wakes_a_thread_that_waits_for_an_answer(docker_image: str) -> None:
    with containers(docker_image, "import time; time.sleep(600)") as made:
        connection = made.start()
        closer = threading.Timer(0.3, connection.close)
        closer.start()
        assert connection.receive(60) == b""
        closer.join()


# What is said where it does not work


def test_a_missing_image_is_named_with_the_cure(docker_image: str) -> None:
    with pytest.raises(ConfigError, match=r"no image 'no-such-image'.*lachesis doctor --build-image.*docker pull"):
        Containers("no-such-image", ["true"], ROOM)


def test_an_image_without_our_folders_gets_them(docker_image: str) -> None:
    program = "import os; os.rmdir('/box'); os.rmdir('/tmp'); os.rmdir('/var/tmp')"
    look = """
        import os
        os.setresuid(20000, 20000, 20000)
        print([os.access(folder, os.W_OK) for folder in ("/box", "/tmp", "/var/tmp", "/dev/shm")])
    """
    with changed(docker_image, f'RUN ["python3", "-c", "{program}"]') as image:
        assert output_of(image, look) == "[True, True, True, True]\n"


def test_an_image_whose_python_cannot_run_the_agent_says_so(docker_image: str) -> None:
    program = "import os; os.remove('/usr/bin/python3'); os.symlink('/bin/false', '/usr/bin/python3')"
    with changed(docker_image, f'RUN ["python3", "-c", "{program}"]') as image:
        pool = AgentPool(DockerLauncher(image), 1)
        end = run(pool, "print(1)")
        pool.close()
    assert end.status == "infra_error"
    assert "python3" in end.reason


def test_a_container_that_ended_between_two_jobs_costs_no_verdict(docker_image: str) -> None:
    pool = AgentPool(DockerLauncher(docker_image), 1)
    try:
        for memory in (64, 64, 128):
            assert run(pool, "print(1)", limits=Limits(memory=memory * MIB)).stdout == "1\n"
            connect().kill(pool._idle[0]._connection.container)  # type: ignore[attr-defined]
    finally:
        pool.close()


def test_an_image_with_volumes_is_refused(docker_image: str) -> None:
    with (
        changed(docker_image, "VOLUME /data") as image,
        pytest.raises(ConfigError, match=r"declares volumes \(/data\)"),
    ):
        Containers(image, ["true"], ROOM)


def test_a_command_that_is_not_there_leaves_no_container(docker_image: str) -> None:
    mine = {"label": f"{OWNER}={owner_label(os.getpid())}"}
    before = connect().containers(all=True, filters=mine)
    made = Containers(docker_image, ["/no/such/program"], ROOM)
    with pytest.raises(SandboxLost, match="/no/such/program"):
        made.start()
    made.close()
    assert len(connect().containers(all=True, filters=mine)) == len(before)
