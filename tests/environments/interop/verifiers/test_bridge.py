import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from lachesis.environments.interop.verifiers import bridge
from lachesis.environments.interop.verifiers.bridge import Bridge, Exchange, Launch, bridge_of
from lachesis.verifiers.errors import ConfigError, InfrastructureError

ECHO = """
import json, os, subprocess, sys, time
def send(message): print(json.dumps(message), flush=True)
for line in sys.stdin:
    told = json.loads(line)
    n, do = told["n"], told.get("do")
    if do == "load" and told.get("fault") == "die": os._exit(7)
    if do == "load" and told.get("fault") == "refuse": send({"n": n, "failed": "ImportError: no such module"})
    elif do == "load": send({"n": n, "ok": {"environ": dict(os.environ), "cwd": os.getcwd(), "argv": sys.argv[1:]}})
    elif do == "child":
        send({"n": n, "ok": subprocess.Popen(["sleep", "60"], start_new_session=told["apart"]).pid})
    elif do == "garbage": print("no message", flush=True)
    elif do == "number": print("7", flush=True)
    elif do == "long": print("x" * told["size"], end="", flush=True)
    elif do == "die": print("out of memory", file=sys.stderr, flush=True); os.abort()
    elif do == "flood": sys.stderr.write("y" * (1 << 20)); sys.stderr.flush(); send({"n": n, "ok": 1})
    elif do == "nothing": pass
    else: send({"n": n, "ok": told})
"""


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A program in the place of another Python."""
    path = tmp_path / "python"
    path.write_text(f"#!{sys.executable}\n{ECHO}")
    path.chmod(0o755)
    return str(path)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ended(pid: int) -> bool:
    for _ in range(1000):
        if not is_running(pid):
            return True
        time.sleep(0.05)
    return False


def test_it_gets_no_environment_variables_but_those_that_are_named(
    python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("JUDGE_KEY", "passed on")
    monkeypatch.setenv("PYTHONPATH", "/ours")
    about = Bridge(Launch(python, "{}", ("JUDGE_KEY", "NOT_SET"))).about
    given = about["environ"]
    assert given["JUDGE_KEY"] == "passed on"
    assert not {"OPENAI_API_KEY", "PYTHONPATH", "NOT_SET"} & given.keys()
    assert not (Path(about["cwd"]) / "verifiers" / "task.py").exists()
    assert about["argv"][0] == "-I"


def test_exchanges_do_not_mix_and_work_from_any_thread(python: str) -> None:
    one, answers = Bridge(Launch(python, "{}")), {}

    def ask(number: int) -> None:
        answers[number] = one.call(10, do="echo", number=number)["number"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: number for number in range(20)}

    async def talk() -> list[int]:
        with Exchange(one) as first, Exchange(one) as second:
            second.send(do="echo", number=2)
            first.send(do="echo", number=1)
            told = [await first.next(10), await second.next(10)]
            assert await first.next(0.01) is None
        return [message["ok"]["number"] for message in told if message]

    assert asyncio.run(talk()) == [1, 2]
    one.close("done")


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"do": "die"}, "it ended with SIGABRT; its last output: out of memory"),
        ({"do": "garbage"}, "a line that is no message"),
        ({"do": "number"}, "a line that is no message"),
        ({"do": "long", "size": 5000}, "a line of more than 4096 bytes"),
    ],
)
def test_a_process_that_dies_or_sends_nonsense_is_an_infrastructure_failure_and_the_next_one_is_new(
    python: str, monkeypatch: pytest.MonkeyPatch, request_: dict[str, object], says: str
) -> None:
    monkeypatch.setattr(bridge, "MAX_LINE", 4096)
    launch = Launch(python, "{}")
    first = bridge_of(launch)
    assert bridge_of(launch) is first
    with pytest.raises(InfrastructureError) as failure:
        first.call(10, **request_)
    assert says in str(failure.value)
    assert ended(first.pid)
    with pytest.raises(InfrastructureError):
        first.call(10, do="echo")
    second = bridge_of(launch)
    assert second.call(10, do="echo", number=1)["number"] == 1
    second.close("done")


def test_a_killed_process_is_told_to_all_that_wait(python: str) -> None:
    one = Bridge(Launch(python, "{}"))

    async def wait() -> list[BaseException | None]:
        async def first() -> None:
            with Exchange(one) as exchange:
                await exchange.next(10)

        waiting = [asyncio.create_task(first()) for _ in range(3)]
        await asyncio.sleep(0)
        os.kill(one.pid, signal.SIGKILL)
        return [*await asyncio.gather(*waiting, return_exceptions=True)]

    failures = asyncio.run(wait())
    assert all("SIGKILL" in str(failure) and isinstance(failure, InfrastructureError) for failure in failures)


def test_its_children_end_with_it(python: str) -> None:
    one = Bridge(Launch(python, "{}"))
    children = [one.call(10, do="child", apart=apart) for apart in (False, True)]
    assert all(map(is_running, children))
    one.close("done")
    assert all(map(ended, children))


def test_what_it_prints_is_bounded(python: str) -> None:
    one = Bridge(Launch(python, "{}"))
    assert one.call(10, do="flood") == 1
    with pytest.raises(InfrastructureError) as failure:
        one.call(10, do="die")
    assert len(str(failure.value)) < 1000


def test_silence_ends_after_the_deadline(python: str) -> None:
    one = Bridge(Launch(python, "{}"))
    with pytest.raises(InfrastructureError, match=r"no answer to 'nothing' within 0\.1 s"):
        one.call(0.1, do="nothing")
    assert one.call(10, do="echo", number=1)["number"] == 1
    one.close("done")


def test_what_cannot_start_says_why(python: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot start .*nowhere: No such file or directory; check config\.python"):
        Bridge(Launch(str(tmp_path / "nowhere"), "{}"))
    with pytest.raises(ConfigError, match="ImportError: no such module"):
        Bridge(Launch(python, '{"fault": "refuse"}'))
    with pytest.raises(InfrastructureError, match="exit code 7"):
        Bridge(Launch(python, '{"fault": "die"}'))
