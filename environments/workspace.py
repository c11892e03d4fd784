"""The files of one episode in the sandbox: programs run one after another, and keep what they write."""

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
    files.extractall(".", **({{"filter": "data"}} if hasattr(tarfile, "data_filter") else {{}}))  # Python 3.11.4
os.remove({_FILES!r})
sys.argv = [{_PROGRAM!r}]
sys.path.insert(0, ".")
runpy.run_path({_PROGRAM!r}, run_name="__main__")
"""


class Workspace:
    """Files, and the programs that work on them. Each program is a job of its own; only the files are kept.

    An environment that uses it declares ``needs_sandbox = True``, so that training is refused without a sandbox.

    Args:
        files: name → content at the start; names are plain, without folders.
        limits: limits of each program.

    Attributes:
        files: name → content now.
    """

    def __init__(self, files: Mapping[str, bytes] | None = None, limits: Limits | None = None) -> None:
        self.files = dict(files or {})
        self.limits = limits or Limits()

    async def run(self, code: str, stdin: str = "") -> Execution:
        """Run a Python program. The next program sees its changes to the files, even if this one failed.

        Raises:
            SandboxLost: the program could not be run; the files are as before.
            DataError: the files exceed the limits, or a name is a path.
        """
        for name in self.files:
            if not is_plain_name(name):
                raise DataError(f"a workspace's file must have a plain name without folders, found {name!r:.80}")
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, content in {**self.files, _PROGRAM: code.encode("utf-8", "replace")}.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        job = Job(_START, stdin.encode(), {_FILES: packed.getvalue()}, limits=self.limits)
        execution = await shared_sandbox().run(job)
        if execution.status == "infra_error":
            raise SandboxLost(f"a program in the episode's workspace could not be run: {execution.reason}")
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
