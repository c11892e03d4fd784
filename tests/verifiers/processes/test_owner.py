"""Owners: what a process owns may be removed only if that process is known to be dead."""

import os
import signal
import subprocess
import sys

import pytest

from lachesis.verifiers.processes.owner import is_abandoned, owner_label


def test_what_a_living_process_owns_is_in_use() -> None:
    assert not is_abandoned(owner_label(os.getpid()))
    assert not is_abandoned(owner_label(1))


def test_what_a_dead_process_owned_is_abandoned_also_before_it_was_waited_for() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    label = owner_label(process.pid)
    assert not is_abandoned(label)
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_abandoned(label)
    process.communicate()
    assert is_abandoned(label)


def test_a_reused_process_id_is_another_owner() -> None:
    host, pid, started = owner_label(os.getpid()).split(":")
    assert is_abandoned(f"{host}:{pid}:{int(started) - 1}")


@pytest.mark.parametrize("label", ["", "x", ":::", "elsewhere:999999999:5", "elsewhere:1:5"])
def test_what_another_host_owns_is_left_alone(label: str) -> None:
    assert not is_abandoned(label)


@pytest.mark.parametrize("pid", ["-1", "x", ""])
def test_a_label_that_names_no_process_is_left_alone(pid: str) -> None:
    host = owner_label(os.getpid()).partition(":")[0]
    assert not is_abandoned(f"{host}:{pid}:5")
