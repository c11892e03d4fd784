"""A folder of Harbor tasks as an environment: an agent program works on them, and their tests judge in another job."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from ...verifiers.case import Case
from ...verifiers.errors import ConfigError, DataError
from ...verifiers.rubric import reward
from ...verifiers.sandbox.protocol import Sandbox
from ...verifiers.sandbox.shared import shared_sandbox
from ...verifiers.task import Task
from ...verifiers.verdict import Verdict, passed, wrong
from ..agent_program.environment import VARIABLES, AgentProgram, as_json, read_files, strong
from ..agent_program.program import Program, run_program
from ..audit.finding import Finding
from ..dataset import Examples
from ..rows.column import Row
from .audit import TaskAudit
from .task_folder import LOGS, SOLUTION, TESTS, is_task, read_task

_REWARDS = f"{LOGS}/verifier/reward.json", f"{LOGS}/verifier/reward.txt"
_MOST_SECONDS = 86_000.0


class Harbor(AgentProgram):
    """Tasks in Harbor's format, played without containers: an agent program in a sandbox with the task's files.

    The tests run in another sandbox, into which the task's artifacts are copied; if a task lets its tests share the
    agent's container, its whole working folder is copied. An attempt is a success if the tests give a reward of 1.
    """

    example_rows: ClassVar[Examples] = {}
    """Its tasks are folders."""

    class Config(AgentProgram.Config):
        """Which tasks to use; ``path`` is a task, or a folder of tasks."""

        skip_run: bool = False
        """Whether to play tasks although the RUN instructions of their Dockerfile are left out."""

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
        found = read_task(Path(row["folder"]))
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
        return Task(found.instruction, info=info, id=found.name)

    @reward()
    async def solved(self, case: Case) -> Verdict:
        """Whether the task's tests give a reward of 1, in another sandbox."""
        return await self.verdict(case.task, read_files(case.artifacts.get("files", {})))

    async def verdict(self, task: Task, artifacts: Mapping[str, bytes]) -> Verdict:
        """Run the tests over the files that an agent left.

        Raises:
            SandboxLost: the sandbox failed.
        """
        info = task.info
        replaced = tuple(f"{path}/" for path in info["artifacts"])
        files = {name: content for name, content in read_files(info["files"]).items() if not name.startswith(replaced)}
        files |= {**artifacts, **read_files(info["tests"])}
        files = {name: content for name, content in files.items() if name not in _REWARDS}
        program = Program(
            ("bash", f"{TESTS}/test.sh"),
            {**info["variables"][0], **info["variables"][1]},
            files={**files, f"{LOGS}/verifier/.keep": b""},
            keep=_REWARDS,
            folder=info["folder"],
            seconds=min(info["seconds"][1], self.config.grading_seconds),
            limits=self._job_limits(),
        )
        ran = await run_program(self._own_sandbox(task, {}), program)
        return _verdict(ran.files, ran.execution.stdout[-2000:] + ran.execution.stderr[-2000:])

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

    async def left_by(self, task: Task, program: Program) -> dict[str, bytes]:
        """The artifacts that ``program`` leaves, without a model."""
        return dict((await run_program(self._own_sandbox(task, {}), program)).files)

    async def audit_task(self, task: Task) -> list[Finding]:
        """What is wrong with the task, for ``lachesis check``."""
        return await TaskAudit(self, task).findings()

    def _sandbox(self, task: Task) -> Sandbox:
        return self._own_sandbox(task, self._changes())

    def _own_sandbox(self, task: Task, changes: Mapping[str, Any]) -> Sandbox:
        """A sandbox in which a job can write to the folders that the format names."""
        if self.config.image:
            raise ConfigError(f"{self.label}: Harbor tasks are played without containers; leave image out")
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


def _verdict(files: Mapping[str, bytes], printed: str) -> Verdict:
    """The reward that the tests wrote, as Harbor reads it: reward.json first, then reward.txt."""
    as_object, as_text = (files.get(name) for name in _REWARDS)
    try:
        if as_object is not None:
            said = json.loads(as_object)
            values = said if isinstance(said, dict) else {"reward": said}
            numbers = {str(name): float(value) for name, value in values.items()}
            score = numbers.get("reward", sum(numbers.values()) / len(numbers))
        elif as_text is not None:
            score = float(as_text.decode())
        else:
            return wrong("the tests wrote no reward", printed=printed)
    except (ValueError, TypeError, ZeroDivisionError, RecursionError):
        return wrong("the tests wrote a reward that is no number", printed=printed)
    if not math.isfinite(score):
        return wrong(f"the tests wrote the reward {score}", printed=printed)
    return passed(score=score) if score >= 1 else wrong(f"the tests gave {score:g}", score=score, printed=printed)
