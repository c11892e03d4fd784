"""A Docker image made without a registry: the Python of this machine, the libraries that it loads, and nothing else."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ...errors import ConfigError, SandboxLost
from .containers import FOLDERS, Containers, Room
from .daemon import connect, failures

NAME = "lachesis-sandbox"

_PREFIX = "usr"
_LEFT_OUT = shutil.ignore_patterns(
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "turtle.py", "lib2to3", "ensurepip", "venv", "pydoc_data"),
    *("site-packages", "dist-packages", "__pycache__", "config-*", "sitecustomize.py", "usercustomize.py", "*.a"),
    *("_sysconfigdata_*", "EXTERNALLY-MANAGED", "_test*.so", "_ctypes_test*.so", "_tkinter*.so", "xxlimited*.so"),
)
_LOADED_LATER = ("libgcc_s.so.1", "libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")
"""Libraries that libc opens by name: for the end of a thread, and for names of users and hosts."""
_FILES = {
    "etc/passwd": "root:x:0:0::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_ZONES = Path("/usr/share/zoneinfo")
_TIME = 315532800
"""Of every file: 1 January 1980, the first that all archives know."""
_CHECK = """
import json, sys
failed = []
for name in sys.argv[1:]:
    try:
        __import__(name)
    except Exception:  # whatever it is, the module is of no use
        failed.append(name)
print(json.dumps(failed), flush=True)
"""
_ALWAYS = (
    "asyncio",
    "collections",
    "ctypes",
    "decimal",
    "json",
    "math",
    "random",
    "re",
    "sqlite3",
    "sysconfig",
    "typing",
)


def build_image(tag: str = NAME, report: Callable[[str], None] = print) -> str:
    """Make the image ``tag:<hash of its content>``, call it ``tag:latest`` too, and try it; its name.

    Args:
        tag: a repository name, without a colon.
        report: is told what is being done, line by line.

    Raises:
        ConfigError: there is no daemon, or this Python cannot be put into an image; the message says the cure.
    """
    client = connect()
    try:
        with tempfile.TemporaryDirectory(prefix="lachesis-image-") as folder:
            report(f"collecting Python {platform.python_version()} and its libraries ...")
            archive = Path(folder) / "root.tar"
            root = Path(folder) / "root"
            collect(root)
            modules = sorted({*_ALWAYS, *(path.name.partition(".")[0] for path in root.rglob("lib-dynload/*.so"))})
            pack(root, archive)
            with archive.open("rb") as file:
                name = f"{tag}:{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"
            if client.images(name):
                report(f"{name} is there already")
            else:
                report(f"importing {archive.stat().st_size / 1e6:.0f} MB as {name} ...")
                _import(client, archive, name)
        report("trying it ...")
        _try(name, modules, report)
        with failures(ConfigError, f"Docker cannot call {name} the latest"):
            client.tag(name, tag, "latest")
    finally:
        client.close()
    report(f"{name} is ready, and is {tag}:latest")
    return name


def collect(root: Path) -> None:
    """Put the root file system into the new folder ``root``."""
    if sys.platform != "linux":
        raise ConfigError(
            f"an image cannot be made from the Python of {platform.system()}; pull one "
            '(`docker pull python:3.12-slim`) and set sandbox.image = "python:3.12-slim"'
        )
    interpreter = Path(sys.executable).resolve()
    with interpreter.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            raise ConfigError(f"{interpreter} is no program but a script that starts one; use another Python")
    programs = root / _PREFIX / "bin"
    programs.mkdir(parents=True)
    shutil.copy(interpreter, programs / f"python{sys.version_info.major}.{sys.version_info.minor}")
    (programs / "python3").symlink_to(f"python{sys.version_info.major}.{sys.version_info.minor}")
    (programs / "python").symlink_to("python3")
    _copy_library(root)
    _copy_shared_objects(root, interpreter)
    for path, text in _FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for name in (*FOLDERS, "/proc", "/sys"):
        (root / name[1:]).mkdir(parents=True, exist_ok=True)
    for name in FOLDERS:
        (root / name[1:]).chmod(0o1777)  # what is mounted there takes over the mode


def pack(root: Path, archive: Path) -> None:
    """Write ``root`` to the tar file ``archive``: the same bytes for the same content, whoever packs it when."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = _TIME
        entry.mode = 0o1777 if entry.mode & 0o1000 else 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with tarfile.open(archive, "w") as tar:
        for path in sorted(root.rglob("*")):
            tar.add(path, str(path.relative_to(root)), recursive=False, filter=plain)


def _import(client: Any, archive: Path, name: str) -> None:
    repository, _, tag = name.partition(":")
    with failures(ConfigError, f"Docker cannot import {name}"):
        changes = ["ENV PATH=/usr/bin", "USER 0:0"]
        answer = client.import_image(str(archive), repository=repository, tag=tag, changes=changes)
        if '"error"' in answer:
            raise ConfigError(f"Docker cannot import {name}: {answer.strip()}")


def _copy_library(root: Path) -> None:
    """The standard library, compiled, under the prefix where the interpreter will look for it."""
    library = Path(os.__file__).resolve().parent
    try:
        inside = root / _PREFIX / library.relative_to(Path(sys.base_prefix).resolve())
    except ValueError:
        raise ConfigError(f"{library} is not below {sys.base_prefix}; use another Python") from None
    shutil.copytree(library, inside, ignore=_LEFT_OUT, ignore_dangling_symlinks=True)
    for name, text in _build_settings(library).items():
        (inside / name).write_text(text)
    done = subprocess.run(
        # Compiled code that nobody checks against its source: times of files would differ from one image to the next.
        [
            *(sys.executable, "-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
            *("-s", str(root), "-p", "/", str(inside)),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONHASHSEED": "0"},
    )
    if done.returncode:
        raise ConfigError(f"the standard library in {library} does not compile: {done.stdout[-500:]}")
    if _ZONES.is_dir():
        skipped = shutil.ignore_patterns("posix", "right", "localtime", "posixrules")
        shutil.copytree(_ZONES, root / _ZONES.relative_to("/"), ignore=skipped, ignore_dangling_symlinks=True)


def _build_settings(library: Path) -> dict[str, str]:
    """The modules that ``sysconfig`` reads, without the paths of the machine where Python was built."""
    values = {name: value for name, value in sysconfig.get_config_vars().items() if "/" not in str(value)}
    values["TZPATH"] = str(_ZONES)
    text = f"build_time_vars = {dict(sorted(values.items()))!r}\n"
    return {path.name: text for path in library.glob("_sysconfigdata_*.py")}


def _copy_shared_objects(root: Path, interpreter: Path) -> None:
    """What the interpreter and its modules load, all in libc's own folder: there the loader always looks."""
    users = [str(interpreter), *map(str, sorted((root / _PREFIX).rglob("lib-dynload/*.so")))]
    try:
        listed = subprocess.run(["ldd", *users], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        raise ConfigError(
            "`ldd`, which lists what Python loads, is not installed; install your system's libc tools"
        ) from None
    named = dict(re.findall(r"^\s+(\S+) => (/\S+) \(0x", listed, re.MULTILINE))
    libc = named.get("libc.so.6", "")
    folder = os.path.dirname(libc) or "/usr/lib"
    for name in _LOADED_LATER:
        if os.path.exists(f"{folder}/{name}"):
            named.setdefault(name, f"{folder}/{name}")
    loaders = {path: path for path in re.findall(r"^\s+(/\S+) \(0x", listed, re.MULTILINE)}
    _copy_all(root, loaders | {f"{folder}/{name}": path for name, path in named.items() if not name.startswith("/")})


def _copy_all(root: Path, sources: dict[str, str]) -> None:
    for place, source in sources.items():
        target = root / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def _try(name: str, modules: Iterable[str], report: Callable[[str], None]) -> None:
    """Import ``modules`` in a container, and tell which can be imported here and not there."""
    program = ["-I", "-S", "-B", "-c", _CHECK, *modules]
    here = subprocess.run([sys.executable, *program], capture_output=True, check=False).stdout
    containers = Containers(name, ["python3", *program], Room(memory=512 << 20, disk=16 << 20))
    try:
        connection = containers.start()
        try:
            there = connection.receive(60.0)
        finally:
            connection.close()
    except (SandboxLost, OSError) as error:
        raise ConfigError(f"Python does not start in {name}: {error}") from error
    finally:
        containers.close()
    for module in sorted(set(json.loads(there or "[]")) - set(json.loads(here or "[]"))):
        report(f"not in the image: {module}")
