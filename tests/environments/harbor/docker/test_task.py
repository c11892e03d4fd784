"""Programs in containers of their task's image: what they reach, what stops them, and that nothing of them is left."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.agent_program.program import Program, Ran
from lachesis.environments.harbor.docker.task import DockerTask
from lachesis.environments.harbor.environment import Harbor
from lachesis.rollout.cluster.leftovers import clean
from lachesis.verifiers.errors import DataError, SandboxLost
from lachesis.verifiers.sandbox.docker.containers import OWNER
from lachesis.verifiers.sandbox.docker.daemon import connect

from .conftest import BASE, attempt, total

MakeTask = Callable[..., Path]
SORT = "python3 -c \"import json; json.dump(sorted(json.load(open('numbers.json'))), open('out.json', 'w'))\""


@contextmanager
def server(answer: bytes) -> Iterator[str]:
    """A server in this process, as the gateway is one, which answers everything with ``answer``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_address[1]}"
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def ran(folder: Path, script: str, url: str = "", **changes: Any) -> Ran:
    """A shell program in the task's container."""
    environment = Harbor(path=folder, command=["x"], held_out=0.0, docker=True)
    (task,) = environment.tasks("train", 0)
    in_docker = environment.in_docker(task)
    assert in_docker is not None
    program = Program(("/bin/bash", "-c", script), **{"seconds": 60.0, **changes})
    return asyncio.run(in_docker.work(program, url))


def owned_by(pid: int) -> list[str]:
    """The running containers of a process."""
    found = connect().containers(filters={"label": OWNER})
    return [one["Id"] for one in found if f":{pid}:" in one["Labels"][OWNER]]


async def until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - it is Docker that changes it
            await asyncio.sleep(0.1)


def test_work_in_the_tasks_container_passes_its_tests_and_idleness_does_not(make_task: MakeTask) -> None:
    folder = make_task()
    look = "cat /built; echo $A; pwd; ls /tests /solution"

    async def both() -> tuple[Any, Any]:
        return await asyncio.gather(attempt(folder, f"{SORT}; {look}"), attempt(folder, ":"))

    worked, idle = asyncio.run(both())
    assert (total(worked), total(idle)) == (1.0, 0.0)
    program = worked.artifacts["program"]
    assert program["stdout"] == "built\nb\n/app\n"  # neither tests nor solution are there
    assert worked.artifacts["files"] == {"/app/out.json": "[1, 2, 3, 7, 12, 40, 1000000]"}


def test_a_program_reaches_the_model_and_nothing_else(make_task: MakeTask) -> None:
    program = """
import os, socket, urllib.request
print(urllib.request.urlopen("{url}/v1/models").read().decode())
large = urllib.request.urlopen("{url}/large").read()
print(len(large), os.listdir("/sys/class/net"))
for address in (("10.255.255.1", 80), ("172.17.0.1", 22), ("8.8.8.8", 53)):
    try:
        socket.create_connection(address, timeout=1)
        print("reached", address)
    except OSError:
        pass
"""
    with server(b"x" * 300_000) as url:
        done = ran(make_task(), 'python3 -c "$PROGRAM"', url, environment={"PROGRAM": program})
    assert done.exit_code == 0, done.execution
    assert done.execution.stdout == f"{'x' * 300_000}\n300000 ['lo']\n"


@pytest.mark.slow
def test_a_program_is_ended_by_its_limits_and_what_it_wrote_until_then_is_kept(make_task: MakeTask) -> None:
    folder = make_task()
    slow = ran(folder, "echo 1 > out.json; echo said; sleep 100", seconds=3.0, keep=("/app/out.json",))
    assert (slow.ended, slow.exit_code, slow.files) == ("seconds", None, {"/app/out.json": b"1\n"})
    assert slow.execution.stdout == "said\n"
    greedy = ran(folder, "python3 -c 'x = bytearray(1 << 30); x[:] = bytes(1 << 30)'")
    assert (greedy.exit_code, greedy.execution.status) == (137, "oom")
    huge = ran(folder, "dd if=/dev/zero of=one bs=1M count=100; ls -l one", keep=("/app/one",))
    assert "File size limit exceeded" in huge.execution.stderr or huge.exit_code
    many = ran(folder, "for i in {1..40}; do dd if=/dev/zero of=f$i bs=1M count=8 2>&1; done; sleep 60")
    assert (many.ended, many.execution.status) == ("killed", "limit")
    forks = ran(folder, "for i in {1..2000}; do sleep 60 & done; wait", seconds=5.0)
    assert forks.ended in ("seconds", "exit")


@pytest.mark.slow
def test_output_is_bounded_and_a_program_that_closes_it_goes_on(make_task: MakeTask) -> None:
    flood = ran(make_task(), "exec python3 -c 'import os\nwhile True: os.write(1, bytes(1 << 20))'", seconds=5.0)
    assert flood.ended == "seconds"
    assert len(flood.execution.stdout) <= 1 << 20
    silent = ran(make_task(), "exec 1>&- 2>&-; sleep 2; echo 1 > out.json", keep=("/app/out.json",))
    assert (silent.ended, silent.files) == ("exit", {"/app/out.json": b"1\n"})


@pytest.mark.slow
def test_files_links_and_folders_come_out_as_the_format_allows(make_task: MakeTask) -> None:
    script = """
        rm numbers.json; mkdir -p deep/er; echo 1 > deep/er/a; ln -s /etc/passwd link; ln -s /etc folder
        echo no > /etc/other; python3 -c 'open(b"\\xff.txt", "w"); import os; os.mkfifo("pipe")'
        echo ü > 'ü {x} [y].txt'
    """
    done = ran(make_task(), script, keep=("{work}", "{work}/**/*"))
    assert dict(done.files) == {"/app/deep/er/a": b"1\n", "/app/ü {x} [y].txt": "ü\n".encode()}
    assert done.removed == ("/app/numbers.json",)
    assert set(done.refused) >= {"/app/link", "/app/folder", "/app/pipe"}


@pytest.mark.slow
def test_what_an_agent_removed_is_not_there_for_the_tests_of_a_task_that_shares_its_container(
    make_task: MakeTask,
) -> None:
    spy = "#!/bin/sh\n[ -e /app/numbers.json ] || [ ! -e /app/new ] || echo 1 > /logs/verifier/reward.txt\n"
    folder = make_task(**{"task.toml": "", "tests__test.sh": spy})
    assert total(asyncio.run(attempt(folder, "rm numbers.json; echo > new"))) == 1.0
    assert total(asyncio.run(attempt(folder, "echo > new"))) == 0.0


@pytest.mark.slow
def test_a_task_in_the_root_folder_that_shares_its_container_is_refused(make_task: MakeTask) -> None:
    folder = make_task(**{"task.toml": "", "environment__Dockerfile": f"FROM {BASE}\n"})
    with pytest.raises(DataError, match="WORKDIR"):
        ran(folder, ":", keep=("{work}/**/*",))


@pytest.mark.slow
def test_an_agent_and_tests_run_as_the_users_that_the_task_names(make_task: MakeTask) -> None:
    toml = (
        '[agent]\nuser = "nobody"\n[verifier]\nuser = 0\nenvironment_mode = "separate"\n'
        '[environment]\nworkdir = "/tmp"\n'
    )
    tests = "#!/bin/sh\npython3 -c 'import os; print(int(os.getuid() == 0))' > /logs/verifier/reward.txt\n"
    done = asyncio.run(
        attempt(
            make_task(**{"task.toml": toml, "tests__test.sh": tests}),
            "python3 -c 'import os; print(os.getuid(), os.getcwd())'; cat task.md; echo x > /app/x",
            task_file="task.md",
        )
    )
    assert total(done) == 1.0
    assert done.artifacts["program"]["stdout"].startswith("65534 /tmp\nSort /app/numbers.json")
    assert "Permission denied" in done.artifacts["program"]["stderr"]


@pytest.mark.slow
def test_a_named_image_gets_the_files_of_the_environment_and_tests_may_have_their_own_image(
    make_task: MakeTask,
) -> None:
    toml = f'[environment]\ndocker_image = "{BASE}"\nworkdir = "/srv/work"\n'
    named = make_task("a", **{"task.toml": toml, "environment__Dockerfile": None})
    assert total(asyncio.run(attempt(named, "ls; [ -e numbers.json ] && exit 3"))) == 0.0
    own = make_task(
        "b",
        **{
            "tests__Dockerfile": f"FROM {BASE}\nCOPY test.sh check.py /tests/\nCOPY numbers.json /app/\n",
            "tests__numbers.json": "[3, 1, 2, 40, 7, 1000000, 12]",
        },
    )
    assert total(asyncio.run(attempt(own, SORT))) == 1.0


@pytest.mark.slow
def test_nothing_is_left_of_a_driver_that_was_killed(make_task: MakeTask) -> None:
    folder = make_task()
    program = f"""
import asyncio, sys
from lachesis.environments.agent_program.program import Program
from lachesis.environments.harbor.environment import Harbor
environment = Harbor(path={str(folder)!r}, command=["x"], held_out=0.0, docker=True)
(task,) = environment.tasks("train", 0)
asyncio.run(environment.in_docker(task).work(Program(("/bin/sh", "-c", "sleep 300")), "http://127.0.0.1:9"))
"""
    volumes = {row["Name"] for row in connect().volumes()["Volumes"] or []}
    driver = subprocess.Popen([sys.executable, "-c", program])
    asyncio.run(until(lambda: len(owned_by(driver.pid)) == 2))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    clean()  # as the next start does
    assert not owned_by(driver.pid)
    assert {row["Name"] for row in connect().volumes()["Volumes"] or []} <= volumes


@pytest.mark.slow
def test_an_episode_that_is_cancelled_leaves_no_container(make_task: MakeTask) -> None:
    environment = Harbor(path=make_task(), command=["x"], held_out=0.0, docker=True)
    (task,) = environment.tasks("train", 0)
    in_docker = environment.in_docker(task)
    assert isinstance(in_docker, DockerTask)

    def owned() -> int:
        return len(owned_by(os.getpid()))

    before = owned()

    async def cancelled() -> None:
        play = asyncio.ensure_future(in_docker.work(Program(("/bin/sh", "-c", "sleep 300"), seconds=300.0)))
        await until(lambda: owned() > before)
        play.cancel()
        with pytest.raises(asyncio.CancelledError):
            await play
        await until(lambda: owned() == before)

    asyncio.run(asyncio.wait_for(cancelled(), 120))


@pytest.mark.slow
def test_who_never_got_a_container_is_played_again(make_task: MakeTask) -> None:
    folder = make_task(**{"environment__Dockerfile": f"FROM {BASE}\nRUN sleep 30\n"})
    environment = Harbor(path=folder, command=["x"], held_out=0.0, docker=True)
    (task,) = environment.tasks("train", 0)
    in_docker = environment.in_docker(task)
    assert in_docker is not None

    async def late() -> None:
        await asyncio.wait_for(in_docker.work(Program(("/bin/true",))), 2.0)

    with pytest.raises(SandboxLost, match="no container was ready"):
        asyncio.run(late())
