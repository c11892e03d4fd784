"""Linux system calls that the standard library lacks; each raises ``OSError`` if it fails."""

import ctypes
import os

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE = 16384, 1 << 18
MNT_DETACH = 2

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 1, 4, 22, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 36, 38, 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE = 442, -100, 0x8000
_CAPABILITY_VERSION = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, result: int) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    """Move to new namespaces, which ``flags`` name; the first process of a new PID namespace is the next child."""
    _call("unshare", _libc.unshare(flags))


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount the file system of ``kind``, or bind ``source``, at ``target``."""
    words = [word.encode() if word else None for word in (source, target, kind)]
    _call(f"mount {target}", _libc.mount(*words, ctypes.c_ulong(flags), data.encode() if data else None))


def mount_private(folder: str, target: str, empty: str) -> None:
    """Show ``folder`` read-only at ``target`` with inodes of its own, so that locks and watches do not reach it.

    An overlay that cannot be written needs two folders, and ``empty`` is the other one.
    """
    flags = MS_RDONLY | MS_NOSUID | MS_NODEV
    mount("overlay", target, "overlay", flags, f"lowerdir={folder}:{empty}")


def unmount(target: str) -> None:
    """Detach the mount at ``target``."""
    _call(f"umount {target}", _libc.umount2(target.encode(), MNT_DETACH))


def pivot_root(new: str, old: str) -> None:
    """Make ``new`` the root, and move the old root to ``old``."""
    _call("pivot_root", _libc.syscall(_PIVOT_ROOT[os.uname().machine], new.encode(), old.encode()))


def make_read_only(target: str) -> None:
    """Make the mount at ``target`` and all mounts below it read-only, without set-uid bits and devices."""
    attributes = (ctypes.c_uint64 * 4)(MS_RDONLY | MS_NOSUID | MS_NODEV, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    result = _libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, target.encode(), _AT_RECURSIVE, ctypes.byref(attributes), size)
    if result < 0:  # Linux before 5.12
        mount("", target, "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def set_host_name(name: str) -> None:
    """Set the host name; needs a UTS namespace."""
    _call("sethostname", _libc.sethostname(name.encode(), len(name)))


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that forked it ends."""
    _call("prctl", _libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0))


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends."""
    _call("prctl", _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def forbid_new_privileges() -> None:
    """Forbid this process and its children to gain privileges by executing a program."""
    _call("prctl", _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def show_in_proc(own_user: bool) -> None:
    """Set whether this process's user, and not only root, may read its details in /proc."""
    _call("prctl", _libc.prctl(_PR_SET_DUMPABLE, int(own_user), 0, 0, 0))


def drop_capabilities() -> None:
    """Give up every capability permanently."""
    for number in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) < 0:
            break  # no such capability, or no right left to drop it
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _call("capset", _libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())))


def filter_system_calls(program: bytes) -> None:
    """Install a BPF ``program`` of 8-byte instructions as the filter of this process and its descendants."""
    code = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    described = Program(len(program) // 8, ctypes.addressof(code))
    _call("seccomp", _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(described), 0, 0))
