"""Untrusted programs: what needs a sandbox is found, and a run that would not have it is refused before it begins."""

import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from lachesis.environments.environment import Environment
from lachesis.environments.loading import describe
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.workers.pool import InlinePool, PoolSpec
from lachesis.trainer.run import sandbox_check
from lachesis.trainer.run.sandbox_check import SandboxCheck, check_sandbox, needs_sandbox, warn_if_weak
from lachesis.verifiers.code.whole_programs import languages
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.rubric import Rubric, use
from lachesis.verifiers.sandbox import shared
from lachesis.verifiers.sandbox.job import Level
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.task import Task

DEFAULT = SandboxSettings()


class Plain(Environment):
    rubric = Rubric(use("number"))

    def tasks(self, split: str, seed: int) -> Iterator[Task]:
        while True:
            yield Task("1?", answer="1")


class Code(Plain):
    rubric = Rubric(use("code"))


class InBash(Plain):
    rubric = Rubric(use("code", language="bash"))


class Declared(Plain):
    needs_sandbox: ClassVar[bool] = True


class ByRow(Plain):
    def tasks(self, split: str, seed: int) -> Iterator[Task]:
        yield Task("1?", answer="1")
        yield Task("print 1", answer="1", verify=({"verifier": "code", "answer": []},))


class Held:
    """A sandbox of one level."""

    def __init__(self, level: Level) -> None:
        self.level = level

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def own_sandbox() -> Iterator[None]:
    shared.close_sandbox()
    yield
    shared.configure_sandbox(DEFAULT)
    shared.close_sandbox()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Level], None]:
    """``machine(level)``: a machine whose sandbox holds just that."""

    def has(level: Level) -> None:
        def opened(settings: SandboxSettings) -> Held:
            if level < Level[settings.require.upper()]:
                raise ConfigError(f"none is here of level {settings.require!r}. Cure: another machine")
            return Held(level)

        monkeypatch.setattr("lachesis.verifiers.sandbox.backends.open_sandbox", opened)

    return has


@pytest.mark.parametrize(("environment", "needs"), [(Plain, False), (Code, True), (Declared, True), (ByRow, True)])
def test_verifiers_environments_and_rows_say_that_they_run_programs(environment: type[Plain], needs: bool) -> None:
    assert needs_sandbox(environment(), seed=0) is needs


def test_where_nothing_runs_programs_no_sandbox_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_check, "shared_sandbox", lambda: pytest.fail("it was opened"))
    assert check_sandbox(DEFAULT, [Plain()], seed=0) is None


def test_a_level_below_what_is_required_is_refused_with_the_environment_and_the_cure(
    machine: Callable[[Level], None],
) -> None:
    machine(Level.ACCIDENT)
    with pytest.raises(
        ConfigError,
        match=r"^Code runs programs that the model writes: none is here of level 'contained'\. Cure: another machine$",
    ):
        check_sandbox(DEFAULT, [Plain(), Code()], seed=0)


@pytest.mark.parametrize("level", [Level.CONTAINED, Level.STRONG])
def test_what_is_held_is_said_without_a_warning(
    machine: Callable[[Level], None], level: Level, caplog: pytest.LogCaptureFixture
) -> None:
    machine(level)
    found = check_sandbox(DEFAULT, [Plain(), Code()], seed=0)
    assert found == SandboxCheck(level, Level.CONTAINED, ("Code",))
    warn_if_weak(found)
    warn_if_weak(None)
    assert not caplog.records


def test_a_lower_level_that_somebody_chose_is_warned_about_and_on_record(
    machine: Callable[[Level], None], caplog: pytest.LogCaptureFixture
) -> None:
    machine(Level.ACCIDENT)
    found = check_sandbox(SandboxSettings(require="accident"), [Code()], seed=0)
    with caplog.at_level(logging.WARNING, "lachesis"):
        warn_if_weak(found)
    assert "Code: programs that the model writes run at level accident" in caplog.text
    assert found is not None
    assert found.to_json() == {"level": "accident", "require": "accident", "needed_by": ["Code"]}


@pytest.mark.skipif(shutil.which("bash", path="/usr/bin") is None, reason="bash is not installed")
def test_a_language_without_its_tool_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SandboxSettings(require="accident")
    assert check_sandbox(settings, [InBash()], seed=0) is not None
    shared.close_sandbox()
    monkeypatch.setattr(languages, "BASH", replace(languages.BASH, check=("no-such-tool",)))
    with pytest.raises(ConfigError, match=r"^InBash runs .* no-such-tool: No such file .*Cure: install Bash"):
        check_sandbox(settings, [Plain(), InBash()], seed=0)


def test_the_workers_process_uses_the_runs_sandbox(tmp_path: Any) -> None:
    model = build_tiny_model(tmp_path / "model", hidden=32, layers=1, context=64)
    settings = SandboxSettings(backend="docker", size=3)
    rollout = RolloutConfig(inline=True, slots=4)
    InlinePool(PoolSpec(ModelConfig(path=str(model), context=64), rollout, (describe("arithmetic"),), sandbox=settings))
    assert shared._settings == settings
