"""A Docker image that is built without a registry, from this machine's Python and the libraries that it loads."""

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
from ...processes.temporary import own_prefix
from .containers import FOLDERS, ContainerLimits, Containers
from .daemon import connect, translate_errors

NAME = "lachesis-sandbox"

_PREFIX = "usr"
_EXCLUDED = shutil.ignore_patterns(
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "turtle.py", "lib2to3", "ensurepip", "venv", "pydoc_data"),
    *("site-packages", "dist-packages", "__pycache__", "config-*", "sitecustomize.py", "usercustomize.py", "*.a"),
    *("_sysconfigdata_*", "EXTERNALLY-MANAGED", "_test*.so", "_ctypes_test*.so", "_tkinter*.so", "xxlimited*.so"),
)
_LOADED_BY_NAME = ("libgcc_s.so.1", "libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")
"""Libraries that libc opens by name, to end threads and to look up users and hosts; ``ldd`` does not list them."""
_ETC_FILES = {
    "etc/passwd": "root:x:0:0::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_ZONES = Path("/usr/share/zoneinfo")
_MODIFIED = 315532800
"""The modification time of every file: 1 January 1980, the earliest that all archive formats support."""
_IMPORT_ALL = """
import json, sys
failed = []
for name in sys.argv[1:]:
    try:
        __import__(name)
    except Exception:  # for whatever reason, the module cannot be used
        failed.append(name)
print(json.dumps(failed), flush=True)
"""
_MODULES = (
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
    """Build the image ``tag:<hash of its content>``, tag it ``tag:latest`` too, test it, and return its name.

    Args:
        tag: a repository name, without a colon.
        report: called with a line of text at each step.

    Raises:
        ConfigError: there is no daemon, or this Python cannot be put into an image; the message says how to fix it.
    """
    client = connect()
    try:
        with tempfile.TemporaryDirectory(prefix=own_prefix("image")) as folder:
            report(f"collecting Python {platform.python_version()} and its libraries ...")
            archive = Path(folder) / "root.tar"
            root = Path(folder) / "root"
            collect(root)
            modules = sorted({*_MODULES, *(path.name.partition(".")[0] for path in root.rglob("lib-dynload/*.so"))})
            pack(root, archive)
            with archive.open("rb") as file:
                name = f"{tag}:{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"
            if client.images(name):
                report(f"{name} exists already")
            else:
                report(f"importing {archive.stat().st_size / 1e6:.0f} MB as {name} ...")
                _import(client, archive, name)
        report("testing it ...")
        _check_imports(name, modules, report)
        with translate_errors(ConfigError, f"Docker cannot call {name} the latest"):
            client.tag(name, tag, "latest")
    finally:
        client.close()
    report(f"{name} is ready, and tagged {tag}:latest")
    return name


def collect(root: Path) -> None:
    """Copy the root file system of the image into the new folder ``root``."""
    if sys.platform != "linux":
        raise ConfigError(
            f"an image cannot be made from the Python of {platform.system()}; pull one "
            '(`docker pull python:3.12-slim`) and set sandbox.image = "python:3.12-slim"'
        )
    interpreter = Path(sys.executable).resolve()
    with interpreter.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            raise ConfigError(f"{interpreter} is a script and not a program; use another Python")
    programs = root / _PREFIX / "bin"
    programs.mkdir(parents=True)
    shutil.copy(interpreter, programs / f"python{sys.version_info.major}.{sys.version_info.minor}")
    (programs / "python3").symlink_to(f"python{sys.version_info.major}.{sys.version_info.minor}")
    (programs / "python").symlink_to("python3")
    _copy_library(root)
    _copy_shared_objects(root, interpreter)
    for path, text in _ETC_FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for name in (*FOLDERS, "/proc", "/sys"):
        (root / name[1:]).mkdir(parents=True, exist_ok=True)
    for name in FOLDERS:
        (root / name[1:]).chmod(0o1777)  # a file system that is mounted on it gets this mode


def pack(root: Path, archive: Path) -> None:
    """Write ``root`` to the tar file ``archive``; equal content gives equal bytes, independent of user and time."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = _MODIFIED
        entry.mode = 0o1777 if entry.mode & 0o1000 else 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with tarfile.open(archive, "w") as tar:
        for path in sorted(root.rglob("*")):
            tar.add(path, str(path.relative_to(root)), recursive=False, filter=plain)


def _import(client: Any, archive: Path, name: str) -> None:
    repository, _, tag = name.partition(":")
    with translate_errors(ConfigError, f"Docker cannot import {name}"):
        changes = ["ENV PATH=/usr/bin", "USER 0:0"]
        answer = client.import_image(str(archive), repository=repository, tag=tag, changes=changes)
        if '"error"' in answer:
            raise ConfigError(f"Docker cannot import {name}: {answer.strip()}")


def _copy_library(root: Path) -> None:
    """Copy the standard library, compiled, to the place where the interpreter looks for it."""
    library = Path(os.__file__).resolve().parent
    try:
        inside = root / _PREFIX / library.relative_to(Path(sys.base_prefix).resolve())
    except ValueError:
        raise ConfigError(f"{library} is not below {sys.base_prefix}; use another Python") from None
    shutil.copytree(library, inside, ignore=_EXCLUDED, ignore_dangling_symlinks=True)
    for name, text in _build_settings(library).items():
        (inside / name).write_text(text)
    done = subprocess.run(
        # The compiled code must not depend on times of files, which would differ from one image to the next.
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
    """Name → text of the modules that ``sysconfig`` reads, without the paths of the machine that built Python."""
    values = {name: value for name, value in sysconfig.get_config_vars().items() if "/" not in str(value)}
    values["TZPATH"] = str(_ZONES)
    text = f"build_time_vars = {dict(sorted(values.items()))!r}\n"
    return {path.name: text for path in library.glob("_sysconfigdata_*.py")}


def _copy_shared_objects(root: Path, interpreter: Path) -> None:
    """Copy the libraries of the interpreter and its modules to libc's folder, which the loader always searches."""
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
    for name in _LOADED_BY_NAME:
        if os.path.exists(f"{folder}/{name}"):
            named.setdefault(name, f"{folder}/{name}")
    loaders = {path: path for path in re.findall(r"^\s+(/\S+) \(0x", listed, re.MULTILINE)}
    _copy_all(root, loaders | {f"{folder}/{name}": path for name, path in named.items() if not name.startswith("/")})


def _copy_all(root: Path, sources: dict[str, str]) -> None:
    for place, source in sources.items():
        target = root / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def _check_imports(name: str, modules: Iterable[str], report: Callable[[str], None]) -> None:
    """Import ``modules`` in a container, and report those that can be imported on the host only."""
    program = ["-I", "-S", "-B", "-c", _IMPORT_ALL, *modules]
    on_host = subprocess.run([sys.executable, *program], capture_output=True, check=False).stdout
    containers = Containers(name, ["python3", *program], ContainerLimits(memory=512 << 20, disk=16 << 20))
    try:
        connection = containers.start()
        try:
            in_image = connection.receive(60.0)
        finally:
            connection.close()
    except (SandboxLost, OSError) as error:
        raise ConfigError(f"Python does not start in {name}: {error}") from error
    finally:
        containers.close()
    for module in sorted(set(json.loads(in_image or "[]")) - set(json.loads(on_host or "[]"))):
        report(f"not in the image: {module}")
