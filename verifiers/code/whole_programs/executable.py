"""Programs that are ready to run as jobs: compiled if their language needs it, with the files that they need."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...errors import ConfigError, SandboxLost
from ...sandbox.job import MIB, Execution, Job, Level, Limits
from ...sandbox.protocol import CHANNEL_IN, CHANNEL_OUT, Sandbox
from ...verdict import Status
from ..budget import Budget
from ..tally import describe_end, status_of_job
from .languages import LANGUAGES, Language
from .once import Once

COMPILATION = Limits(wall=30.0, cpu=30.0, memory=1 << 30, file_size=32 * MIB, disk=128 * MIB, output=32 * MIB)
"""Limits of the job that compiles a program; they do not depend on those of the program."""
CRASHED = 99
"""Exit code of a Python program that raised an exception, if it was started with ``catch``."""
_PROGRAM = "program.py"
_SHOWN_LINES = 3
_STACK = 256 * MIB
"""Bytes of the stack of a program that is not Python: such programs recurse deeply, and judges allow that."""

_JOIN = f"""\
import os
os.dup2({CHANNEL_IN}, 0)
os.dup2({CHANNEL_OUT}, 1)
os.close({CHANNEL_IN})
os.close({CHANNEL_OUT})
"""
_PYTHON = """\
import sys
sys.argv[:] = {argv!r}
with open(sys.argv[0], encoding="utf-8") as _source:
    _source = _source.read()
try:
    exec(compile(_source, sys.argv[0], "exec", dont_inherit=True), globals())
except Exception:  # whatever the program raises: this is the last frame of its own process
    if not {catch}:
        raise
    import traceback
    traceback.print_exc()
    sys.exit({code})
"""
_EXEC = """\
import _signal, os, resource
for number in (_signal.SIGPIPE, _signal.SIGXFSZ):  # Python ignores them, and a program would inherit that
    _signal.signal(number, _signal.SIG_DFL)
hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
resource.setrlimit(resource.RLIMIT_STACK, ({stack} if hard < 0 else min({stack}, hard), hard))
argv, made = {argv!r}, {made!r}
if not made:
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        raise SystemExit(f"{{argv[0]}}: {{error.strerror}}")
memory = os.memfd_create("program")  # in a container, no file can be executed
with open(made, "rb") as file:
    while os.sendfile(memory, file.fileno(), None, 1 << 24):
        pass
os.execve(memory, argv, os.environ)
"""


class DoesNotCompile(Exception):
    """The program cannot be run because of its source; ``status`` is that of the verdict."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Executable:
    """A program that is ready to run.

    Attributes:
        language: its language.
        name: the file that it is started from.
        files: name → content of the files that it needs; with that one, unless it is Python.
        code: its source, if it is Python.
    """

    language: Language
    name: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    code: str = ""

    def job(
        self,
        budget: Budget,
        *arguments: str,
        stdin: bytes = b"",
        files: Mapping[str, bytes] | None = None,
        output: int = 0,
        seconds: float = 0.0,
        wait: float = 0.0,
        joined: bool = False,
        catch: bool = False,
    ) -> Job:
        """Return a job that runs the program with ``arguments``.

        Args:
            budget: the limits.
            arguments: the command-line arguments.
            stdin: the standard input.
            files: name → content of further files.
            output: bytes of output that it may have, but at least 1 MiB.
            seconds: seconds that it may take; those of a test if 0.
            wait: further seconds that it may take without using the CPU.
            joined: whether its standard input and output are the channel of a conversation.
            catch: whether Python ends with the code ``CRASHED`` after an exception, and not with 1.
        """
        given = {**self.files, **(files or {})}
        if self.language.run:
            command = _filled(self.language.run, self.name, budget.memory)
            code = _exec((*command, *arguments), self.language.made)
        elif arguments or joined or catch:
            given[self.name] = self.code.encode(errors="replace")
            code = _PYTHON.format(argv=[self.name, *arguments], catch=catch, code=CRASHED)
        else:
            code = self.code
        job = budget.job(_JOIN + code if joined else code, seconds or budget.timeout, output, stdin, wait)
        return _with_files(job, given)


async def build(
    sandbox: Sandbox, language: Language, source: str, headers: Mapping[str, str] | None = None
) -> Executable:
    """Return ``source`` as an executable, after its language's check, in a job of its own.

    ``headers`` are name → content of further files for that job and for the program.

    Raises:
        DoesNotCompile: the source is at fault.
        SandboxLost: the sandbox failed.
    """
    extra = {name: text.encode(errors="replace") for name, text in (headers or {}).items()}
    if not language.files:
        return Executable(language, _PROGRAM, extra, source)
    name = language.file_of(source)
    files = {**extra, name: source.encode(errors="replace")}
    if not language.check:
        return Executable(language, name, files)
    command = _filled(language.check, name, COMPILATION.memory)
    done = await sandbox.run(_with_files(Job(_exec(command), limits=COMPILATION), files))
    _check_compiled(language, done)
    return Executable(language, name, {**extra, language.made: done.files[language.made]} if language.made else files)


def _check_compiled(language: Language, done: Execution) -> None:
    status, reason = status_of_job(done)
    if status == "infra_error":
        raise SandboxLost(reason)
    if done.status == "runtime_error" and status == "wrong":
        raise DoesNotCompile("unparseable", f"the program does not compile: {first_lines(done)}")
    if done.status != "ok":
        raise DoesNotCompile(status, f"compiling the program: {reason}")
    if language.made and language.made not in done.files:
        raise DoesNotCompile("limit", f"the compiled program is missing: {'; '.join(done.refused.values()) or 'none'}")


def first_lines(done: Execution) -> str:
    """Return the first line that a compiler printed, and those from its first error on; or how it ended."""
    lines = [line.strip() for line in done.stderr[:20_000].splitlines() if line.strip()]
    first = next((number for number, line in enumerate(lines) if "error" in line.lower()), 0)
    shown = [*lines[: min(first, 1)], *lines[first : first + _SHOWN_LINES]]
    return ascii("; ".join(shown)[:300])[1:-1] or describe_end(done)


_tried = Once[None](16)
"""(sandbox, language) of the trials that succeeded."""


async def check_language(sandbox: Sandbox, name: str) -> Language:
    """Return the language after a trial program has succeeded in ``sandbox``, once for each language.

    Raises:
        ConfigError: the name is unknown, or the sandbox lacks the tools; the message has the cure.
        SandboxLost: the sandbox failed.
    """
    language = LANGUAGES.load(name)
    if language.run:
        await _tried.get((id(sandbox), sandbox.name, name), lambda: _try(sandbox, language))
    return language


async def _try(sandbox: Sandbox, language: Language) -> None:
    problem = await _problem_with(sandbox, language)
    if problem:
        level = await asyncio.to_thread(lambda: sandbox.level)
        cure = f"{language.cure}, for Docker in the image that sandbox.image names"
        if level != Level.STRONG:
            cure += f"; compilers and shells start processes, which only level strong allows, not {level.name.lower()}"
        raise ConfigError(f"the sandbox {sandbox.name!r} cannot run {language.title} programs: {problem}. Cure: {cure}")


async def _problem_with(sandbox: Sandbox, language: Language) -> str:
    """Return why the language's trial program does not work in the sandbox; empty if it does."""
    try:
        program = await build(sandbox, language, language.trial)
    except DoesNotCompile as error:
        return error.reason
    done = await sandbox.run(program.job(Budget(), stdin=b"works\n"))
    if done.status == "infra_error":
        raise SandboxLost(done.reason)
    if done.status == "ok" and done.stdout.strip() == "WORKS":
        return ""
    return f"a trial program ended with {done.status}: {first_lines(done)}"


def _exec(argv: Sequence[str], made: str = "") -> str:
    """Return code that becomes the command ``argv``, or the program in the file ``made``."""
    return _EXEC.format(stack=_STACK, made=made, argv=list(argv))


def _filled(command: Sequence[str], file: str, memory: int) -> list[str]:
    heap = str(max(1, memory * 3 // 4 // MIB))
    return [part.replace("{file}", file).replace("{heap}", heap) for part in command]


def _with_files(job: Job, files: Mapping[str, bytes]) -> Job:
    """Return the job with files; its limits leave room for them."""
    size, largest = sum(map(len, files.values())), max(map(len, files.values()), default=0)
    limits = job.limits
    room = replace(limits, file_size=max(limits.file_size, largest), disk=limits.disk + size)
    return replace(job, files=files, limits=room)
