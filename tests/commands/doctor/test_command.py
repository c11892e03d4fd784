"""The doctor: it looks at everything, and every fault has a cure."""

import json
import os

import pytest

from lachesis.commands.doctor import command as doctor
from lachesis.commands.doctor.command import examine, print_findings
from lachesis.commands.doctor.finding import Finding
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.sandbox.job import Level
from lachesis.verifiers.sandbox.layers import Layer


@pytest.fixture(scope="module")
def examined() -> list[Finding]:
    return examine()


def test_everything_is_looked_at_and_every_lack_has_its_cure(examined: list[Finding]) -> None:
    findings = {finding.what: finding for finding in examined}
    assert {"Python", "torch", "Ray", "vLLM", "CPU", "memory", "disk", "shared memory", "sandbox"} <= set(findings)
    assert any(name.startswith("GPU") for name in findings)
    assert all(finding.found for finding in findings.values())
    assert all(finding.cure for finding in findings.values() if finding.state == "missing")
    assert findings["torch"].state == "ok"
    if hasattr(os, "sched_getaffinity"):
        assert findings["CPU"].found.startswith(f"{len(os.sched_getaffinity(0))} cores")


def test_programs_get_json(examined: list[Finding], capsys: pytest.CaptureFixture[str]) -> None:
    print_findings(examined, as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert [row["what"] for row in rows] == [finding.what for finding in examined]
    assert all(set(row) == {"what", "state", "found", "cure"} for row in rows)


def test_people_get_a_table_that_keeps_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings([Finding("vLLM", "warn", "not installed", "pip install 'lachesis-rl[vllm]'")])
    assert "lachesis-rl[vllm]" in capsys.readouterr().out


class Backend:
    """A sandbox that was seen to hold ``level``."""

    def __init__(self, level: Level, layers: list[Layer]) -> None:
        self.level, self.layers, self.closed = level, layers, False

    def close(self) -> None:
        self.closed = True


def sandboxes(monkeypatch: pytest.MonkeyPatch, **backends: Backend) -> dict[str, Finding]:
    def open_backend(name: str, _settings: object) -> Backend:
        if name not in backends:
            raise ConfigError("Docker does not answer: no daemon; start it")
        return backends[name]

    monkeypatch.setattr(doctor, "open_backend", open_backend)
    findings = {finding.what: finding for finding in doctor._sandboxes()}
    assert all(backend.closed for backend in backends.values())
    return findings


HELD = [Layer("files", True, "a file of the host: out of reach"), Layer("network", True, "a listener: out of reach")]
LACKS = Layer("memory", False, "160 MiB at a limit of 96: ok", "run as root")


def test_one_backend_that_holds_enough_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = sandboxes(monkeypatch, process=Backend(Level.CONTAINED, [*HELD, LACKS]))
    assert found["sandbox"].state == "ok"
    assert found["sandbox"].found.startswith("process at level contained")
    assert found["sandbox process"] == Finding("sandbox process", "warn", "contained; held: files, network")
    assert found["sandbox process: memory"] == Finding("sandbox process: memory", "warn", LACKS.found, "run as root")
    assert found["sandbox docker"].found == "Docker does not answer: no daemon"
    assert found["sandbox docker"].cure == "start it"


def test_the_backend_of_the_higher_level_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    backends = {"process": Backend(Level.ACCIDENT, [LACKS]), "docker": Backend(Level.STRONG, HELD)}
    found = sandboxes(monkeypatch, **backends)
    assert found["sandbox"].found.startswith("docker at level strong")
    assert found["sandbox docker"].state == "ok"


def test_without_one_that_holds_enough_runs_do_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    found = sandboxes(monkeypatch, process=Backend(Level.ACCIDENT, [LACKS]))
    assert (found["sandbox"].state, bool(found["sandbox"].cure)) == ("missing", True)
