"""The root file system of a job: system programs and Python, read-only, and small writable folders in memory."""

import os
import stat
from collections.abc import Iterable

from . import kernel

BOX = "/box"
"""The working directory of a job."""
PACKAGES = "/packages"
"""The folder with the packages; each folder of the host has a number here."""
WRITABLE = {BOX: "box", "/tmp": "tmp", "/dev/shm": "shm"}
"""The folders that a job may write → the name of each in the job's file system in memory."""

_STAGE = "/tmp"
"""Where the new root is built; it could be any existing folder."""
_SYSTEM = (
    *("/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache"),
    *("/usr/include", "/usr/libexec", "/usr/share/nodejs"),  # of compilers, and of Debian's node
)
_LINKED = ("/bin", "/lib", "/lib32", "/lib64")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_MEMORY = "/run/job"
_EMPTY = "/run/empty"
_DISK = 64 << 20
"""Bytes that a job may write by default."""
_FILES = 20_000
"""How many files and folders a job may have at one time."""


def build(folders: Iterable[str], packages: Iterable[str], writable: Iterable[str] = ()) -> str:
    """Move this process to a new root with the system, ``folders``, and ``packages`` in ``PACKAGES``.

    ``writable`` are further folders for ``mount_for_job``.

    Needs a new mount namespace and a new PID namespace. Returns why a job could lock or watch a file of the host there,
    empty if none could. Raises ``OSError`` if the kernel refuses.
    """
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    sources = {path: path for path in _wanted(folders)}
    sources |= {f"{PACKAGES}/{number}": folder for number, folder in enumerate(packages)}
    # Opened now, because the new root may hide some of them.
    opened = {path: os.open(source, os.O_PATH) for path, source in sources.items()}
    divided = {path for path, source in sources.items() if _has_mounts_inside(source)}
    links = {path: os.readlink(path) for path in _LINKED if os.path.islink(path)}
    kernel.mount("tmpfs", _STAGE, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755,size=64m")
    for path, target in links.items():
        os.symlink(target, _STAGE + path)
    shared = _make_devices()
    os.makedirs(_STAGE + _EMPTY)
    for path, fd in opened.items():
        shared = _show(fd, _STAGE + path, path in divided) or shared
        os.close(fd)
    _write_settings()
    for path in ("/proc", _MEMORY, *WRITABLE, *writable):
        os.makedirs(_STAGE + path, exist_ok=True)
    os.symlink("/tmp", _make_parent(_STAGE + "/var/tmp"))
    kernel.mount("proc", _STAGE + "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    os.chdir(_STAGE)
    kernel.pivot_root(".", ".")
    kernel.unmount(".")  # the old root is mounted over the new one
    os.chdir("/")
    for path in ("/", "/dev"):
        kernel.mount("", path, flags=kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID)
    return shared


def mount_for_job(writable: Iterable[str] = ()) -> None:
    """Mount /proc of this PID namespace and the writable folders; needs a new mount namespace."""
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.mount("tmpfs", _MEMORY, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, _options(_DISK))
    for target, name in {**WRITABLE, **{path: f"own-{number}" for number, path in enumerate(writable)}}.items():
        source = f"{_MEMORY}/{name}"
        os.mkdir(source)
        os.chmod(source, 0o1777)
        kernel.mount(source, target, flags=kernel.MS_BIND)


def close_proc() -> None:
    """Make /proc read-only: a job could lower its own priority there on purpose (autogroup)."""
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("", "/proc", flags=kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | flags)


def limit_disk(disk: int) -> None:
    """Limit the files of the job to ``disk`` bytes."""
    if disk != _DISK:
        flags = kernel.MS_REMOUNT | kernel.MS_NOSUID | kernel.MS_NODEV
        kernel.mount("tmpfs", _MEMORY, "tmpfs", flags, _options(disk))


def _options(disk: int) -> str:
    return f"mode=755,size={disk},nr_inodes={_FILES}"


def _wanted(folders: Iterable[str]) -> list[str]:
    """The paths that the new root takes from the old one; none is inside another."""
    wanted = [*_SYSTEM, *(path for path in _LINKED if not os.path.islink(path))]
    wanted += [os.path.realpath(folder) for folder in folders]
    existing = sorted({path for path in wanted if os.path.exists(path)})
    return [path for path in existing if not any(path.startswith(other + "/") for other in existing)]


def _has_mounts_inside(folder: str) -> bool:
    with open("/proc/self/mountinfo") as file:
        return any(line.split()[4].startswith(f"{os.path.realpath(folder)}/") for line in file)


def _make_devices() -> str:
    """Make the devices in /dev; only root can, others bind those of the host. Returns as ``build``."""
    shared = ""
    os.makedirs(_STAGE + "/dev")
    devices = {name: f"{_STAGE}/dev/{name}" for name in _DEVICES}
    sources = {name: os.open(f"/dev/{name}", os.O_PATH) for name in _DEVICES}
    kernel.mount("tmpfs", _STAGE + "/dev", "tmpfs", kernel.MS_NOSUID, "mode=755,size=64k")
    for name, target in devices.items():
        try:
            os.mknod(target, 0o666 | stat.S_IFCHR, os.fstat(sources[name]).st_rdev)
            os.chmod(target, 0o666)
        except OSError as error:
            shared = f"mknod {name}: {error.strerror}"
            _write(target, "")
            kernel.mount(f"/proc/self/fd/{sources[name]}", target, flags=kernel.MS_BIND)
        os.close(sources[name])
    return shared


def _show(source: int, target: str, divided: bool) -> str:
    """Show the file or folder of the descriptor ``source`` read-only at ``target``; returns as ``build``.

    An overlay would not show what is mounted inside a ``divided`` folder.
    """
    path = f"/proc/self/fd/{source}"
    if not stat.S_ISDIR(os.fstat(source).st_mode):
        with open(path, "rb") as file, open(_make_parent(target), "wb") as copy:
            copy.write(file.read())
        return ""
    os.makedirs(target, exist_ok=True)
    shared = f"another file system is mounted in {target.removeprefix(_STAGE)}" if divided else ""
    if not divided:
        try:
            kernel.mount_private(path, target, _STAGE + _EMPTY)
        except OSError as error:
            shared = str(error)
    if shared:
        kernel.mount(path, target, flags=kernel.MS_BIND | kernel.MS_REC)
        kernel.make_read_only(target)
    return shared


def _write_settings() -> None:
    """Write the few files in /etc and /dev that programs need."""
    for path, text in {
        "/etc/passwd": "root:x:0:0::/:/bin/false\njob:x:1000:1000::/box:/bin/sh\n",
        "/etc/group": "root:x:0:\njob:x:1000:\n",
        "/etc/hosts": "127.0.0.1 localhost\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }.items():
        _write(_STAGE + path, text)
    for name, target in {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}.items():
        os.symlink(f"/proc/self/fd{target}", f"{_STAGE}/dev/{name}")


def _write(path: str, text: str) -> None:
    with open(_make_parent(path), "w") as file:
        file.write(text)


def _make_parent(path: str) -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path
