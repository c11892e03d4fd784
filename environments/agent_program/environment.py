"""An agent program that nobody changed, as an environment: it works in a sandbox, and the policy is its model."""

import base64
import binascii
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, field_validator

from ...verifiers.case import Case
from ...verifiers.errors import ConfigError, DataError
from ...verifiers.registry import make_verifier
from ...verifiers.rubric import Rubric, reward
from ...verifiers.sandbox.job import MIB, MOST_SECONDS, Level
from ...verifiers.sandbox.job import Limits as JobLimits
from ...verifiers.sandbox.protocol import Sandbox
from ...verifiers.sandbox.shared import shared_sandbox
from ...verifiers.secrets import REDACTED, without_secrets
from ...verifiers.task import Task
from ...verifiers.trajectory import POLICY, Trajectory
from ...verifiers.verdict import Verdict, wrong
from ..audit.finding import Finding
from ..dataset import DatasetConfig, DatasetEnvironment, Examples
from ..episode import Episode
from ..limits import Limits
from ..rows.column import Row, column, prompt_column
from .grading import Grading
from .program import Program, Ran, check_name, run_program

Names = TypeVar("Names")
VARIABLES = {
    "OPENAI_BASE_URL": "{url}/v1",
    "OPENAI_API_BASE": "{url}/v1",
    "OPENAI_API_KEY": "{key}",
    "ANTHROPIC_BASE_URL": "{url}",
    "ANTHROPIC_API_KEY": "{key}",
}
"""The environment variables from which programs usually take the URL and the key of their model."""


class AgentProgram(DatasetEnvironment):
    """A program with a task, files and a model behind a URL, which is the policy; graded in another sandbox.

    A row has a prompt, and either ``answer`` or ``tests`` (Python source, see ``Grading``). It may have ``files``,
    ``keep``, and ``solution``: files that pass, for ``lachesis check``. An attempt is a success if the tests pass, or
    if the verifier accepts the answer.
    """

    example_rows: ClassVar[Examples] = {
        'command = "agent {task}"': {
            "prompt": "Write add.py, which adds the numbers on its standard input.",
            "keep": ["add.py"],
            "tests": "assert run('python3', 'add.py', stdin='1 2').stdout.strip() == '3'",
            "solution": {"add.py": "print(sum(map(int, input().split())))"},
        }
    }

    class Config(DatasetConfig):
        """How the program is started, what it may use, and what of it is judged."""

        command: tuple[str, ...] = Field(min_length=1)
        """The program and its arguments; a text is split as by a shell.

        {task}, {url}, {key}, {model}, {python} and {home} are replaced.
        """
        variables: dict[str, str] = Field(default_factory=dict)
        """Environment variables, besides those with the URL and the key that OpenAI's and Anthropic's clients read."""
        templates: dict[str, str] = Field(default_factory=dict)
        """Files such as ``"~/.hermes/config.yaml"``: name → text, in which the same words are replaced."""
        task_file: str = ""
        """A file into which the task is written, for programs that do not take it as an argument."""
        folders: tuple[Path, ...] = ()
        """Folders that the program may read at their own paths: its virtual environment. Not with ``image``."""
        image: str = ""
        """A Docker image with the program and Python 3.11 or later; the program then runs in a container."""
        network: Literal["off", "gateway", "open"] = "gateway"
        """``gateway``: only the model can be reached. ``off``: nothing. ``open``: the machine's network too."""
        keep: tuple[str, ...] = ()
        """Files that are judged, and nothing else: names or patterns such as ``answer.txt``, ``src/**/*.py``."""
        answer_from: str = "reply"
        """What the verifier judges: the last ``reply``, what the program ``printed``, or the name of a kept file."""
        verifier: str = "exact"
        """The verifier of tasks with an answer."""
        parameters: dict[str, Any] = Field(default_factory=dict)
        """Parameters of this verifier."""
        seconds: float = Field(300.0, gt=0, le=86_000)
        """How long the program may run. What it has written until then is judged."""
        grading_seconds: float = Field(60.0, gt=0, le=3600)
        """How long a task's tests may take."""
        memory: int = Field(1024, ge=16)
        """Memory of the program, all its processes and files together, in MiB."""
        disk: int = Field(256, ge=1)
        """Files that the program may write, in MiB."""
        processes: int = Field(128, ge=1)
        """Processes and threads of the program at one time."""
        parallel: int = Field(0, ge=0)
        """How many programs run at one time in one process of Lachesis; others wait. 0 means one for each CPU."""
        limits: Limits = Limits(turns=64, seconds=1800.0)
        """Limits of an episode; ``seconds`` includes the time for which a program waits for a free sandbox."""

        @field_validator("command", mode="before")
        @classmethod
        def _split(cls, command: Any) -> Any:
            return tuple(shlex.split(command)) if isinstance(command, str) else command

        @field_validator("keep", "templates")
        @classmethod
        def _relative(cls, names: Names) -> Names:
            try:
                _check_names(names)
            except DataError as error:
                raise ValueError(str(error)) from None
            return names

    rubric = Rubric(success="solved", deadline=120.0)
    needs_sandbox = True

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if self.config.image and self.config.folders:
            raise ConfigError(f"{self.label}: folders {self.config.folders} are not shown in an image; give only one")
        self._verifier = make_verifier(self.config.verifier, self.config.parameters)

    @reward()
    async def solved(self, case: Case) -> Verdict:
        """Whether the task's tests pass in another sandbox, or the verifier accepts the answer."""
        tests = case.task.info.get("tests")
        files = read_files(case.artifacts.get("files", {}))
        printed = str(case.artifacts.get("program", {}).get("stdout", ""))
        if tests is not None:
            given = read_files(case.task.info.get("given", {}))
            return await Grading(tests, files, given, printed, self.config.grading_seconds).verdict(case.sandbox)
        source = self.config.answer_from
        if source == "reply":
            text: str | None = case.completion
        elif source == "printed":
            text = printed
        else:
            text = files[source].decode(errors="replace") if source in files else None
        if text is None:
            return wrong(f"the program left no file {source!r}")
        verdict: Verdict = await self._verifier.verify(replace(case, trajectory=_saying(case, text)))
        return verdict

    def task_of(self, row: Row) -> Task | None:
        """The row as a task; its files and tests go into ``info``."""
        tests = row.get("tests")
        if tests is not None and not isinstance(tests, str):
            raise DataError(f"'tests' is the source of a Python program, found {tests!r:.80}")
        if tests is None and row.get("answer") is None:
            raise DataError("the row has neither 'tests' nor 'answer', so nothing can be judged")
        keep = row.get("keep") or []
        if isinstance(keep, str) or not isinstance(keep, Sequence):
            raise DataError(f"'keep' is a list of names, found {keep!r:.80}")
        info: dict[str, Any] = {"keep": list(keep)}
        _check_names(info["keep"])
        for name in ("files", "given", "solution"):
            files = row.get(name) or {}
            if not files:
                continue
            if not isinstance(files, Mapping):
                raise DataError(f"'{name}' is an object of names and texts, found {files!r:.80}")
            _check_names(files)
            info[name] = dict(files)
            read_files(info[name])
        if tests is not None:
            info["tests"] = tests
        answer = None if tests is not None else column(row, "answer")
        return Task(prompt_column(row, "prompt"), answer=answer, info=info, id=str(row.get("id") or ""))

    async def run(self, episode: Episode) -> None:
        """Run the program, with the policy as its model.

        A script, which plays the demonstrations of a warm start, only answers the task: it is not served to a program.
        """
        if self.config.network != "off" and not episode.can_serve():
            await super().run(episode)
            return
        if self.config.network == "off":
            ran = await self._ran(episode.task, self.program(episode.task), "")
            self._leave(episode, ran, "")
            return
        async with episode.model_server() as server:
            program = self.program(episode.task, key=server.key, model=server.model)
            ran = await self._ran(episode.task, program, server.url)
        self._leave(episode, ran, server.key)
        said = episode.artifacts["model"][POLICY]
        if not said["calls"] and not said["refused"] and (ran.ended == "not started" or ran.exit_code):
            printed = episode.artifacts["program"]
            raise ConfigError(
                f"the program ended with exit code {ran.exit_code} before it asked the model; it said: "
                f"{(printed['stderr'] or printed['stdout']).strip()[-600:]}"
            )

    async def audit_task(self, task: Task) -> list[Finding]:
        """What is wrong with the task, for ``lachesis check``: nothing must not pass, and the solution must."""
        findings = []
        nothing = replace(self.program(task), command=("{python}", "-c", ""))
        ran = await run_program(self._sandbox(task), nothing)
        if (await self._judged(task, ran.files)).passed:
            findings.append(Finding("empty", "a program that does nothing passes", tasks=(task.id,)))
        solution = task.info.get("solution")
        if solution is not None:
            verdict = await self._judged(task, read_files(solution))
            if not verdict.passed:
                findings.append(Finding("gold", f"its solution does not pass: {verdict.reason}", tasks=(task.id,)))
            given = read_files(task.info.get("files", {}))
            for name in sorted(name for name, content in read_files(solution).items() if content in given.values()):
                findings.append(Finding("leak", f"{name!r} of the solution is among its files", tasks=(task.id,)))
        return findings

    async def _judged(self, task: Task, files: Mapping[str, bytes]) -> Verdict:
        artifacts = {"files": {name: as_json(content) for name, content in files.items()}}
        return await self.solved(Case(Trajectory(task, artifacts=artifacts)))

    def program(self, task: Task, **values: str) -> Program:
        """The program for ``task``; ``values`` are the key and the model's name."""
        config = self.config
        text = "\n\n".join(message["content"] for message in task.messages)
        files = read_files(task.info.get("files", {}))
        if config.task_file:
            files[config.task_file] = text.encode(errors="replace")
        return Program(
            config.command,
            {**VARIABLES, **config.variables},
            config.templates,
            {"task": text, **values},
            files,
            (*config.keep, *task.info.get("keep", ())),
            seconds=config.seconds,
            limits=self._job_limits(),
        )

    def _job_limits(self) -> JobLimits:
        config = self.config
        return JobLimits(
            cpu=min(config.seconds * 4, MOST_SECONDS),
            memory=config.memory * MIB,
            processes=config.processes,
            file_size=config.disk * MIB,
            disk=config.disk * MIB,
            output=16 * MIB,
        )

    async def _ran(self, task: Task, program: Program, url: str) -> Ran:
        """Run ``program``, which reaches the model's server at ``url``, and nothing if it is empty."""
        return await run_program(self._sandbox(task), program, url)

    def _sandbox(self, task: Task) -> Sandbox:
        """The sandbox of the programs. Grading has another one, so that it never waits for them."""
        return strong(shared_sandbox(**self._changes()))

    def _changes(self) -> dict[str, Any]:
        """How that sandbox differs from the configured one."""
        config = self.config
        size = config.parallel or max(2, os.cpu_count() or 2)
        changes: dict[str, Any] = {"folders": config.folders, "network": config.network == "open", "size": size}
        changes |= {"backend": "docker", "image": config.image} if config.image else {}
        changes |= {"backend": "process"} if config.folders else {}
        return changes

    def _leave(self, episode: Episode, ran: Ran, key: str) -> None:
        """Leave what is judged in the artifacts, without the key."""
        execution = ran.execution
        said = {"stdout": execution.stdout, "stderr": execution.stderr}
        episode.artifacts["program"] = {
            "exit_code": ran.exit_code,
            "ended": ran.ended,
            "refused": dict(ran.refused),
            "status": execution.status,
            "reason": execution.reason,
            **{name: without_secrets(text[-200_000:], key) for name, text in said.items()},
        }
        episode.artifacts["files"] = {name: as_json(content, key) for name, content in ran.files.items()}
        if ran.removed:
            episode.artifacts["removed"] = list(ran.removed)
        episode.metric("program/seconds", execution.usage.wall)
        episode.metric("program/failed", float(ran.exit_code != 0))


def strong(sandbox: Sandbox) -> Sandbox:
    """``sandbox``, if a program in it may start others.

    Raises:
        ConfigError: it may not.
    """
    if sandbox.level < Level.STRONG:
        raise ConfigError(
            f"an agent program starts other processes, which needs a sandbox of level strong; {sandbox.name} holds "
            f"{sandbox.level.name.lower()} only: run as root, or use Docker (see lachesis doctor)"
        )
    return sandbox


def _saying(case: Case, text: str) -> Trajectory:
    """The case's trajectory, as if its agent had said ``text`` last."""
    last = {"role": "assistant", "content": text}
    return replace(case.trajectory, messages={**case.trajectory.messages, case.agent: (*case.messages, last)})  # type: ignore[arg-type]


def _check_names(names: Any) -> None:
    for name in names:
        if not isinstance(name, str):
            raise DataError(f"a file's name is text, found {name!r:.80}")
        check_name(name)


def as_json(content: bytes, key: str = "") -> Any:
    """A file's content as text, or in base64 if it is none."""
    if key:
        content = content.replace(key.encode(), REDACTED.encode())
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def read_files(files: Mapping[str, Any]) -> dict[str, bytes]:
    """Name → content of files that are texts, or objects with ``base64``.

    Raises:
        DataError: one is neither.
    """
    read = {}
    for name, content in files.items():
        try:
            if isinstance(content, str):
                read[name] = content.encode(errors="surrogatepass")
            else:
                read[name] = base64.b64decode(content["base64"], validate=True)
        except (TypeError, KeyError, binascii.Error, ValueError):
            raise DataError(f'file {name!r:.80} is a text or {{"base64": …}}, found {content!r:.80}') from None
    return read
