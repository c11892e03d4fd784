"""The start of an agent: its command, the program that it reads, and its set-up."""

import base64
import json
import os
from functools import lru_cache
from pathlib import Path

from .inside import wire
from .seccomp import MACHINES, bpf

_MODULES = (
    "wire",
    "kernel",
    "network",
    "cgroup",
    "root",
    "program",
    "files",
    "usage",
    "init_process",
    "channel",
    "supervisor",
    "agent",
)
"""The modules in ``inside``, in the order in which they import each other."""

ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "PATH": "/usr/local/bin:/usr/bin:/bin"}
"""All of an agent's environment variables; with a fixed hash seed, equal programs behave equally."""

_BOOTSTRAP = """\
import json, os, sys, types
size, text = int.from_bytes(os.read(0, 8), "big"), b""
while len(text) < size:
    text += os.read(0, size - len(text)) or sys.exit("no program came")
package = types.ModuleType("inside")
package.__path__ = []
sys.modules["inside"] = package
for name, source in json.loads(text):
    module = types.ModuleType("inside." + name)
    module.__package__ = "inside"
    sys.modules[module.__name__] = module
    setattr(package, name, module)
    exec(compile(source, module.__name__, "exec"), module.__dict__)
program = module.main()
del json, os, sys, types, size, text, package, name, source, module
program.run()
"""


def command(python: str) -> list[str]:
    """The command that starts an agent, which reads ``program`` and then ``setup`` from its standard input."""
    return [python, "-P", "-s", "-S", "-B", "-c", _BOOTSTRAP]


@lru_cache(maxsize=1)
def program() -> bytes:
    """The source of the agent, with its length."""
    folder = Path(__file__).with_name("inside")
    text = json.dumps([(name, (folder / f"{name}.py").read_text()) for name in _MODULES]).encode()
    return len(text).to_bytes(8, "big") + text


def setup(
    *,
    container: bool,
    network: bool,
    packages: tuple[Path, ...] = (),
    folders: tuple[Path, ...] = (),
    writable: tuple[str, ...] = (),
) -> bytes:
    """The frame that tells an agent how to confine its jobs."""
    filters = {
        machine: {
            "full": base64.b64encode(bpf(machine)).decode(),
            "unlocked": base64.b64encode(bpf(machine, locks=False)).decode(),
            "single": base64.b64encode(bpf(machine, locks=False, processes=False)).decode(),
        }
        for machine in MACHINES
    }
    path = [os.path.realpath(folder) for folder in packages]  # as a job sees them
    told = {
        "container": container,
        "network": network,
        "path": path,
        "folders": [str(folder) for folder in folders],
        "writable": list(writable),
        "filters": filters,
    }
    return wire.frame(wire.SETUP, json.dumps(told).encode())
