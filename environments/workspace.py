"""A folder of an episode's own in the sandbox: programs run in it one after the other, and what they write stays."""

import io
import tarfile
from collections.abc import Mapping

from ..verifiers.errors import DataError, SandboxLost
from ..verifiers.sandbox.job import Execution, Job, Limits, is_plain_name
from ..verifiers.sandbox.shared import shared_sandbox

_PROGRAM, _FILES = "__program__.py", "__files__.tar"
_START = f"""
import os, runpy, sys, tarfile
with tarfile.open({_FILES!r}) as files:
    files.extractall(".", filter="data")
os.remove({_FILES!r})
sys.argv = [{_PROGRAM!r}]
sys.path.insert(0, ".")
runpy.run_path({_PROGRAM!r}, run_name="__main__")
"""


class Workspace:
    """Files, and the programs that make them. Each program is a job of its own: only files last.

    An environment that uses it says ``needs_sandbox = True``, so that training is refused where nothing holds programs.

    Args:
        files: name → content, at first; plain names, no folders.
        limits: of each program.

    Attributes:
        files: as they are now.
    """

    def __init__(self, files: Mapping[str, bytes] | None = None, limits: Limits | None = None) -> None:
        self.files = dict(files or {})
        self.limits = limits or Limits()

    async def run(self, code: str, stdin: str = "") -> Execution:
        """How a Python program went. What it wrote, changed and removed is so for the next, also where it failed.

        Raises:
            SandboxLost: it could not be run; the files are as before.
            DataError: the files are more than the limits allow, or one has a path for a name.
        """
        for name in self.files:
            if not is_plain_name(name):
                raise DataError(f"a workspace's file has a plain name, found {name!r:.80}")
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, content in {**self.files, _PROGRAM: code.encode("utf-8", "replace")}.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        job = Job(_START, stdin.encode(), {_FILES: packed.getvalue()}, limits=self.limits)
        execution = await shared_sandbox().run(job)
        if execution.status == "infra_error":
            raise SandboxLost(f"a program of the episode's could not be run: {execution.reason}")
        if "files" not in execution.truncated:
            self.files = {name: content for name, content in execution.files.items() if name not in (_PROGRAM, _FILES)}
        return execution

    async def python(self, code: str) -> str:
        """Run a Python program and return what it printed. Files in the working directory stay; variables do not."""
        done = await self.run(code)
        said = done.stdout + done.stderr
        if "files" in done.truncated:
            said += "\n(it wrote too much: its files were not kept)"
        return said.strip() or ("(no output)" if done.status == "ok" else f"({done.reason})")
