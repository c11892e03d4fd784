"""A folder of Harbor tasks as an environment: an agent program works on them, and their tests judge in another job."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Self

from pydantic import model_validator

from ...verifiers.case import Case
from ...verifiers.errors import ConfigError, DataError
from ...verifiers.rubric import reward
from ...verifiers.sandbox.protocol import Sandbox
from ...verifiers.sandbox.shared import shared_sandbox
from ...verifiers.task import Task
from ...verifiers.verdict import Verdict, passed, wrong
from ..agent_program.environment import VARIABLES, AgentProgram, as_json, read_files, strong
from ..agent_program.program import Program, Ran, run_program
from ..audit.finding import Finding
from ..dataset import Examples
from ..rows.column import Row
from .audit import TaskAudit
from .docker.requirements import Requirements
from .docker.task import DockerTask, Left
from .task_folder import LOGS, SOLUTION, TESTS, WORK, is_task, read_task

_REWARDS = f"{LOGS}/verifier/reward.json", f"{LOGS}/verifier/reward.txt"
_MOST_SECONDS = 86_000.0


class Harbor(AgentProgram):
    """Tasks in Harbor's format: an agent program in a container of the task's image, or in a sandbox with its files.

    The tests run in another one, into which the task's artifacts are copied; if a task lets its tests share the
    agent's container, its whole working folder is copied. An attempt is a success if the tests give a reward of 1.
    """

    example_rows: ClassVar[Examples] = {}
    """Its tasks are folders."""

    class Config(AgentProgram.Config):
        """Which tasks to use; ``path`` is a task, or a folder of tasks."""

        docker: bool = False
        """Whether tasks are played in Docker containers of their images; otherwise in the sandbox, without images."""
        skip_run: bool = False
        """Without Docker: whether to play tasks although the RUN instructions of their Dockerfile are left out."""

        @model_validator(mode="after")
        def _has_no_image(self) -> Self:
            if self.image:
                raise ValueError("Harbor tasks name their images themselves; leave image out, and set docker = true")
            return self

    def source_of(self, name: str) -> tuple[Path, ...]:
        """The folders of the tasks."""
        if self.config.path is None:
            raise ConfigError(f"{self.label}: give path, a folder of Harbor tasks")
        top = self.config.path.expanduser()
        found = (top,) if is_task(top) else tuple(sorted(path for path in _folders(top) if is_task(path)))
        if not found:
            raise ConfigError(f"{top} has no Harbor task, which is a folder with a task.toml")
        return found

    def rows(self, source: Any) -> Iterator[tuple[str, Row]]:
        """A row for each task."""
        for folder in source:
            yield str(folder), {"folder": str(folder)}

    def task_of(self, row: Row) -> Task:
        """The task in a folder; everything that an attempt needs goes into its ``info``."""
        found = read_task(Path(row["folder"]), self.config.docker)
        if found.prepared.left_out and not self.config.skip_run:
            raise DataError(
                f"its Dockerfile runs {found.prepared.left_out[0]!r:.60}, which a sandbox without containers does not; "
                "if the task works without it, set skip_run = true"
            )
        agent, verifier, solution = (_plain_variables(variables) for variables in found.variables)
        info = {
            "folder": found.prepared.folder,
            "files": _packed(found.prepared.files),
            "tests": _packed(found.tests),
            "solution": _packed(found.solution),
            "artifacts": list(found.artifacts),
            "seconds": [found.agent_seconds, found.verifier_seconds],
            "variables": [{**found.prepared.variables, **agent}, verifier, solution],
        }
        if found.docker is not None:
            info["docker"] = found.docker.to_json()
        return Task(found.instruction, info=info, id=found.name)

    @reward()
    async def solved(self, case: Case) -> Verdict:
        """Whether the task's tests give a reward of 1, in another container or sandbox."""
        artifacts = case.artifacts
        return await self.verdict(
            case.task, Left(read_files(artifacts.get("files", {})), tuple(artifacts.get("removed", ())))
        )

    async def verdict(self, task: Task, left: Left) -> Verdict:
        """Run the tests over what an agent left.

        Raises:
            SandboxLost: the sandbox or the Docker daemon failed.
        """
        info = task.info
        tests = {**self._unchanged(task), **read_files(info["tests"]), f"{LOGS}/verifier/.keep": b""}
        left = replace(left, files={name: content for name, content in left.files.items() if name not in _REWARDS})
        program = Program(
            ("bash", f"{TESTS}/test.sh"),
            {**info["variables"][0], **info["variables"][1]},
            files={name: content for name, content in tests.items() if name not in _REWARDS},
            keep=_REWARDS,
            folder=info["folder"],
            seconds=min(info["seconds"][1], self.config.grading_seconds),
            limits=self._job_limits(),
        )
        if in_docker := self.in_docker(task):
            ran = await in_docker.judge(program, left)
        else:
            program = replace(program, files={**left.files, **program.files})
            ran = await run_program(self._own_sandbox(task, {}), program)
        return read_reward(ran.files, ran.execution.stdout[-2000:] + ran.execution.stderr[-2000:])

    def in_docker(self, task: Task) -> DockerTask | None:
        """The task in Docker; None if it is played without containers."""
        if "docker" not in task.info:
            return None
        top = (self.config.path or Path()).expanduser()
        return DockerTask(
            top if is_task(top) else top / task.id,
            Requirements.from_json(task.info["docker"]),
            self.config.parallel or max(2, os.cpu_count() or 2),
            self.config.network == "open",
            self.config.folders,
        )

    def _unchanged(self, task: Task) -> dict[str, bytes]:
        """The agent's files that are given to the tests as they were, because what it left of them is not copied."""
        if WORK in task.info["artifacts"]:
            return {}
        replaced = tuple(f"{path}/" for path in task.info["artifacts"])
        return {name: text for name, text in read_files(task.info["files"]).items() if not name.startswith(replaced)}

    def program(self, task: Task, **values: str) -> Program:
        """The agent's program, in the working folder of the task, without tests and solution."""
        config, info = self.config, task.info
        files = read_files(info["files"])
        if config.task_file:
            files[config.task_file] = str(task.prompt).encode()
        return Program(
            config.command,
            {**VARIABLES, **info["variables"][0], **config.variables},
            config.templates,
            {"task": str(task.prompt), **values},
            files,
            _patterns(info["artifacts"]),
            info["folder"],
            min(info["seconds"][0], config.seconds),
            self._job_limits(),
        )

    def oracle(self, task: Task) -> Program:
        """The task's own solution as a program.

        Raises:
            DataError: it has none.
        """
        info = task.info
        solution = read_files(info["solution"])
        if f"{SOLUTION}/solve.sh" not in solution:
            raise DataError(f"task {task.id} has no solution/solve.sh")
        return Program(
            ("bash", f"{SOLUTION}/solve.sh"),
            {**info["variables"][0], **info["variables"][2]},
            files={**read_files(info["files"]), **solution},
            keep=_patterns(info["artifacts"]),
            folder=info["folder"],
            seconds=min(info["seconds"][0], self.config.seconds),
            limits=self._job_limits(),
        )

    async def left_by(self, task: Task, program: Program) -> Left:
        """What ``program`` leaves, without a model."""
        in_docker = self.in_docker(task)
        ran = await (in_docker.work(program) if in_docker else run_program(self._own_sandbox(task, {}), program))
        return Left(ran.files, ran.removed)

    async def audit_task(self, task: Task) -> list[Finding]:
        """What is wrong with the task, for ``lachesis check``."""
        return await TaskAudit(self, task).findings()

    async def _ran(self, task: Task, program: Program, url: str) -> Ran:
        in_docker = self.in_docker(task)
        return await (in_docker.work(program, url) if in_docker else super()._ran(task, program, url))

    def _sandbox(self, task: Task) -> Sandbox:
        return self._own_sandbox(task, self._changes())

    def _own_sandbox(self, task: Task, changes: Mapping[str, Any]) -> Sandbox:
        """A sandbox in which a job can write to the folders that the format names."""
        tops = {_top(path) for path in (task.info["folder"], *task.info["files"], *task.info["artifacts"])}
        writable = tuple(sorted(tops | {LOGS, TESTS, SOLUTION} - {""}))
        return strong(shared_sandbox(**{**changes, "backend": "process", "writable": writable}))


def _folders(top: Path) -> Iterator[Path]:
    if top.is_dir():
        yield from (path for path in top.iterdir() if path.is_dir())


def _top(path: str) -> str:
    """The first folder of an absolute path; empty for those that every job can write."""
    top = f"/{PurePosixPath(path).parts[1]}" if len(PurePosixPath(path).parts) > 1 else ""
    return "" if top in ("/tmp", "/box") else top


def _packed(files: Mapping[str, bytes]) -> dict[str, Any]:
    return {name: as_json(content) for name, content in files.items()}


def _patterns(artifacts: list[str]) -> tuple[str, ...]:
    """The names of the artifacts, which are files or folders."""
    return tuple(pattern for path in artifacts for pattern in (path, f"{path}/**/*"))


def _plain_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables without those that are taken from the machine (``${NAME}``), which sandboxes never see."""
    return {name: value for name, value in variables.items() if "${" not in value}


def read_reward(files: Mapping[str, bytes], printed: str) -> Verdict:
    """The reward that the tests wrote, as Harbor reads it: reward.json first, then reward.txt."""
    as_object, as_text = (files.get(name) for name in _REWARDS)
    try:
        if as_object is not None:
            said = json.loads(as_object)
            numbers = {name: float(value) for name, value in said.items() if isinstance(value, int | float)}
            if len(numbers) < len(said) or not all(map(math.isfinite, numbers.values())):
                raise ValueError("it is no object of numbers")
            score = numbers.get("reward", sum(numbers.values()) / len(numbers))
        elif as_text is not None:
            score = float(as_text.decode())
        else:
            return wrong("the tests wrote no reward", printed=printed)
    except (ValueError, AttributeError, ArithmeticError, RecursionError):
        return wrong("the tests wrote a reward that is no number", printed=printed)
    if not math.isfinite(score):
        return wrong(f"the tests wrote the reward {score}", printed=printed)
    return passed(score=score) if score >= 1 else wrong(f"the tests gave {score:g}", score=score, printed=printed)
