"""The layers that each level holds, found by trying; the table in the documentation agrees."""

import fcntl
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.sandbox import backends, probe
from lachesis.verifiers.sandbox.backends import open_backend, open_sandbox
from lachesis.verifiers.sandbox.job import Level
from lachesis.verifiers.sandbox.pool import AgentPool
from lachesis.verifiers.sandbox.probe import level_of
from lachesis.verifiers.sandbox.process_backend import ProcessLauncher
from lachesis.verifiers.sandbox.protocol import Sandbox
from lachesis.verifiers.sandbox.settings import SandboxSettings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the process sandbox needs Linux")

DOCUMENT = Path(__file__).parents[3] / "docs" / "sandboxes.md"
WORDS = {"held": True, "allowed": True, "not held": False, "refused": False}


def documented(level: Level) -> dict[str, bool]:
    """Layer → whether the document says that ``level`` holds it."""
    rows = re.findall(r"^\| ([a-z ]+): .* \| (.*) \| (.*) \| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE)
    column = {Level.STRONG: 1, Level.CONTAINED: 2, Level.ACCIDENT: 3}[level]
    return {row[0]: WORDS[row[column]] for row in rows if row[column] in WORDS}


@pytest.fixture(params=["process", "docker", "nobody", "refused"])
def pool(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    request.getfixturevalue("docker_image" if request.param == "docker" else "machine_allows_strong")
    if request.param == "docker":
        made = open_backend("docker", SandboxSettings(image=request.getfixturevalue("docker_image")))
    elif request.param == "process":
        made = open_backend("process", SandboxSettings())
    else:
        made = AgentPool(request.getfixturevalue(f"{request.param}_launcher"), 2)
    yield made
    made.close()


EXPECTED = {"process": Level.STRONG, "docker": Level.STRONG, "nobody": Level.CONTAINED, "refused": Level.ACCIDENT}


def test_each_level_holds_what_the_document_says(pool: Sandbox, request: pytest.FixtureRequest) -> None:
    level = EXPECTED[request.node.callspec.params["pool"]]
    assert pool.level == level, pool.layers
    seen = {layer.name: layer.held for layer in pool.layers if layer.name != "job"}
    assert {name: seen[name] for name in documented(level)} == documented(level)
    assert set(seen) - {"memory"} <= set(documented(level))
    assert all(layer.cure for layer in pool.layers if not layer.held)


def test_a_lock_that_a_program_of_the_machine_keeps_holds_up_no_sandbox(
    machine_allows_strong: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "PATIENCE", 0.05)
    with open("/usr/bin/env", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        pool = open_backend("process", SandboxSettings())
    try:
        assert pool.level == Level.STRONG, pool.layers
    finally:
        pool.close()


def test_a_job_that_shares_the_network_of_the_host_is_not_contained(machine_allows_strong: None) -> None:
    pool = open_backend("process", SandboxSettings(network=True))
    try:
        (network,) = (layer for layer in pool.layers if layer.name == "network")
        assert (pool.level, network.held) == (Level.ACCIDENT, False)
        assert "use Docker" in network.cure
    finally:
        pool.close()


def test_a_missing_layer_lowers_the_level(machine_allows_strong: None) -> None:
    pool = open_backend("process", SandboxSettings())
    try:
        layers = pool.layers
    finally:
        pool.close()
    assert level_of(layers) == Level.STRONG
    for name, level in (("files", 1), ("processes", 1), ("network", 1), ("seccomp", 1), ("file size", 0), ("job", 0)):
        weaker = [_without(layer) if layer.name == name else layer for layer in layers]
        assert level_of(weaker) == Level(level), name
    for name in ("user", "memory"):
        assert level_of([_without(layer) if layer.name == name else layer for layer in layers]) < Level.STRONG


def _without(layer: object) -> object:
    from dataclasses import replace

    return replace(layer, held=False)  # type: ignore[type-var]


def test_a_level_that_no_backend_reaches_is_refused_with_all_attempts(
    monkeypatch: pytest.MonkeyPatch, nobody_launcher: ProcessLauncher, machine_allows_strong: None
) -> None:
    monkeypatch.setattr(backends, "open_backend", lambda name, settings: AgentPool(nobody_launcher, 2))
    with pytest.raises(ConfigError, match=r"process holds contained only, it lacks user .*, child processes .* Cure"):
        open_sandbox(SandboxSettings(require="strong"))
    pool = open_sandbox(SandboxSettings(require="contained"))
    assert pool.level == Level.CONTAINED
    pool.close()
