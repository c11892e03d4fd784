"""The system calls that a job may use, as a BPF program for seccomp.

This is an allow-list: any other call fails with ENOSYS, so that a C library falls back to an allowed one. Besides all
calls that need privileges, it leaves out io_uring, keyrings, ptrace and similar calls, bpf, perf, userfaultfd,
namespaces, System V and POSIX queues, which would outlive a job, and clone3, whose flags a filter cannot read.
Numbers: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux.
"""

import struct

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""Machine → its architecture number in the audit system."""

_CALLS = """
    accept=43,202 accept4=288,242 access=21,-1 alarm=37,-1 arch_prctl=158,-1 bind=49,200 brk=12,214 capget=125,90
    chdir=80,49 chmod=90,-1 chown=92,-1 clock_getres=229,114 clock_gettime=228,113 clock_nanosleep=230,115
    clone=56,220 close=3,57 close_range=436,436 connect=42,203 copy_file_range=326,285 creat=85,-1 dup=32,23
    dup2=33,-1 dup3=292,24 epoll_create=213,-1 epoll_create1=291,20 epoll_ctl=233,21 epoll_pwait=281,22
    epoll_pwait2=441,441 epoll_wait=232,-1 eventfd=284,-1 eventfd2=290,19 execve=59,221 execveat=322,281 exit=60,93
    exit_group=231,94 faccessat=269,48 faccessat2=439,439 fadvise64=221,223 fallocate=285,47 fchdir=81,50
    fchmod=91,52 fchmodat=268,53 fchown=93,55 fchownat=260,54 fcntl=72,25 fdatasync=75,83 fgetxattr=193,10
    flistxattr=196,13 flock=73,32 fork=57,-1 fstat=5,80 fstatfs=138,44 fsync=74,82 ftruncate=77,46 futex=202,98
    futex_waitv=449,449 futimesat=261,-1 get_robust_list=274,100 getcpu=309,168 getcwd=79,17 getdents=78,-1
    getdents64=217,61 getegid=108,177 geteuid=107,175 getgid=104,176 getgroups=115,158 getitimer=36,102
    getpeername=52,205 getpgid=121,155 getpgrp=111,-1 getpid=39,172 getppid=110,173 getpriority=140,141
    getrandom=318,278 getresgid=120,150 getresuid=118,148 getrlimit=97,163 getrusage=98,165 getsid=124,156
    getsockname=51,204 getsockopt=55,209 gettid=186,178 gettimeofday=96,169 getuid=102,174 getxattr=191,8
    inotify_add_watch=254,27 inotify_init=253,-1 inotify_init1=294,26 inotify_rm_watch=255,28 ioctl=16,29
    kill=62,129 lchown=94,-1 lgetxattr=192,9 link=86,-1 linkat=265,37 listen=50,201 listxattr=194,11
    llistxattr=195,12 lseek=8,62 lstat=6,-1 madvise=28,233 membarrier=324,283 memfd_create=319,279 mincore=27,232
    mkdir=83,-1 mkdirat=258,34 mknod=133,-1 mknodat=259,33 mmap=9,222 mprotect=10,226 mremap=25,216 msync=26,227
    munmap=11,215 nanosleep=35,101 newfstatat=262,79 open=2,-1 openat=257,56 openat2=437,437 pause=34,-1
    pidfd_open=434,434 pidfd_send_signal=424,424 pipe=22,-1 pipe2=293,59 poll=7,-1 ppoll=271,73 prctl=157,167
    pread64=17,67 preadv=295,69 preadv2=327,286 prlimit64=302,261 pselect6=270,72 pwrite64=18,68 pwritev=296,70
    pwritev2=328,287 read=0,63 readahead=187,213 readlink=89,-1 readlinkat=267,78 readv=19,65 recvfrom=45,207
    recvmmsg=299,243 recvmsg=47,212 rename=82,-1 renameat=264,38 renameat2=316,276 restart_syscall=219,128
    rmdir=84,-1 rseq=334,293 rt_sigaction=13,134 rt_sigpending=127,136 rt_sigprocmask=14,135 rt_sigqueueinfo=129,138
    rt_sigreturn=15,139 rt_sigsuspend=130,133 rt_sigtimedwait=128,137 rt_tgsigqueueinfo=297,240
    sched_get_priority_max=146,125 sched_get_priority_min=147,126 sched_getaffinity=204,123 sched_getparam=143,121
    sched_getscheduler=145,120 sched_rr_get_interval=148,127 sched_setaffinity=203,122 sched_yield=24,124
    select=23,-1 sendfile=40,71 sendmmsg=307,269 sendmsg=46,211 sendto=44,206 set_robust_list=273,99
    set_tid_address=218,96 setitimer=38,103 setpgid=109,154 setpriority=141,140 setrlimit=160,164 setsid=112,157
    setsockopt=54,208 shutdown=48,210 sigaltstack=131,132 signalfd=282,-1 signalfd4=289,74 socket=41,198
    socketpair=53,199 splice=275,76 stat=4,-1 statfs=137,43 statx=332,291 symlink=88,-1 symlinkat=266,36
    sync_file_range=277,84 sysinfo=99,179 tee=276,77 tgkill=234,131 time=201,-1 timer_create=222,107
    timer_delete=226,111 timer_getoverrun=225,109 timer_gettime=224,108 timer_settime=223,110 timerfd_create=283,85
    timerfd_gettime=287,87 timerfd_settime=286,86 times=100,153 tkill=200,130 truncate=76,45 umask=95,166
    uname=63,160 unlink=87,-1 unlinkat=263,35 utime=132,-1 utimensat=280,88 utimes=235,-1 vfork=58,-1 wait4=61,260
    waitid=247,95 write=1,64 writev=20,66
"""
"""Each entry is name=number on x86_64,number on aarch64; -1 if the machine does not have the call."""

_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _EINVAL, _ENOSYS, _EAFNOSUPPORT = 1, 22, 38, 97
_LOAD, _EQUAL, _GREATER, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x06
_NUMBER, _MACHINE, _FIRST_ARGUMENT, _SECOND_ARGUMENT, _THIRD_ARGUMENT = 0, 4, 16, 24, 32
_X32 = 0x40000000
NEW_NAMESPACES = 0x7E020000
"""Flags of ``clone`` that make a namespace."""
_THREAD = 0x00010000
FAMILIES = (1, 2, 10)
"""The allowed socket families AF_UNIX, AF_INET and AF_INET6; each job has a network namespace."""
_WITHOUT_EFFECT = ("sched_setaffinity", "setpriority")
"""Calls that succeed without effect: with them, a job could wait for a busy CPU on purpose, and exceed its time."""
_SOCKET_LEVEL = 1
_SOCKET_BUFFERS = (7, 8, 32, 33)
"""SO_SNDBUF, SO_RCVBUF and their FORCE forms, which succeed without effect: kernel memory may count for no job."""
_TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX."""
_FILE_WATCHES = (1024, 1026)
"""F_SETLEASE and F_NOTIFY of ``fcntl``, which fail as on a file system without them."""
_FILE_LOCKS = (6, 7, 37, 38)
"""F_SETLK, F_SETLKW, F_OFD_SETLK and F_OFD_SETLKW of ``fcntl``."""


def allowed_calls(machine: str) -> dict[str, int]:
    """Name → number of every call that a job may use on ``machine``."""
    column = list(MACHINES).index(machine)
    pairs = (entry.split("=") for entry in _CALLS.split())
    numbers = {name: int(numbers.split(",")[column]) for name, numbers in pairs}
    return {name: number for name, number in numbers.items() if number >= 0}


def bpf(machine: str, *, processes: bool = True, locks: bool = True) -> bytes:
    """The filter for ``machine``.

    Args:
        machine: one of ``MACHINES``.
        processes: whether a job may start processes; it may start threads in any case.
        locks: whether a job may lock and watch files. Without it, locks have no effect, because a file of the host
            could be locked.
    """
    numbers = allowed_calls(machine)
    code = [(_LOAD, 0, 0, _MACHINE), (_EQUAL, 1, 0, MACHINES[machine]), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    if machine == "x86_64":  # the x32 numbers of the same calls
        code += [(_AT_LEAST, 0, 1, _X32), _refuse(_ENOSYS)]
    if processes:
        code += _for_call(
            numbers.pop("clone"), [(_LOAD, 0, 0, _FIRST_ARGUMENT), *_refuse_if(_ANY_BIT, NEW_NAMESPACES, _EPERM)]
        )
    else:
        threads = [(_LOAD, 0, 0, _FIRST_ARGUMENT), (_ANY_BIT, 1, 0, _THREAD), _refuse(_EPERM)]
        code += _for_call(numbers.pop("clone"), [*threads, *_refuse_if(_ANY_BIT, NEW_NAMESPACES, _EPERM)])
        for name in ("fork", "vfork", "memfd_create"):  # memory that the limit of one process does not count
            if name in numbers:
                code += _for_call(numbers.pop(name), [_refuse(_EPERM)])
    code += _for_call(
        numbers.pop("socket"), [(_LOAD, 0, 0, _FIRST_ARGUMENT), *_refuse_unless_in(FAMILIES, _EAFNOSUPPORT)]
    )
    terminal = [step for value in _TERMINAL_INPUT for step in ((_EQUAL, 0, 1, value), _refuse(_EPERM))]
    code += _for_call(numbers.pop("ioctl"), [(_LOAD, 0, 0, _SECOND_ARGUMENT), *terminal, (_RETURN, 0, 0, _ALLOW)])
    buffers = [step for value in _SOCKET_BUFFERS for step in ((_EQUAL, 0, 1, value), _refuse(0))]
    level = [(_LOAD, 0, 0, _SECOND_ARGUMENT), (_EQUAL, 1, 0, _SOCKET_LEVEL), (_RETURN, 0, 0, _ALLOW)]
    size = [(_LOAD, 0, 0, _THIRD_ARGUMENT), *buffers, (_RETURN, 0, 0, _ALLOW)]
    code += _for_call(numbers.pop("setsockopt"), [*level, *size])
    commands = [step for value in _FILE_WATCHES for step in ((_EQUAL, 0, 1, value), _refuse(_EINVAL))]
    if not locks:
        commands += [step for value in _FILE_LOCKS for step in ((_EQUAL, 0, 1, value), _refuse(0))]
        for name in [name for name in numbers if name.startswith("inotify_")]:
            del numbers[name]
    code += _for_call(numbers.pop("fcntl"), [(_LOAD, 0, 0, _SECOND_ARGUMENT), *commands, (_RETURN, 0, 0, _ALLOW)])
    for name in (*_WITHOUT_EFFECT, *(() if locks else ("flock",))):
        code += _for_call(numbers.pop(name), [_refuse(0)])
    for first, last in _ranges(sorted(numbers.values())):
        code += [(_AT_LEAST, 0, 2, first), (_GREATER, 1, 0, last), (_RETURN, 0, 0, _ALLOW)]
    code.append(_refuse(_ENOSYS))
    return b"".join(struct.pack("=HBBI", *step) for step in code)


_Step = tuple[int, int, int, int]
"""(operation, instructions to skip if it is true, instructions to skip if it is false, value)."""


def _refuse(error: int) -> _Step:
    return (_RETURN, 0, 0, _ERROR | error)


def _for_call(number: int, steps: list[_Step]) -> list[_Step]:
    """Run ``steps``, which all end with a return, for the call ``number`` only."""
    return [(_EQUAL, 0, len(steps), number), *steps]


def _refuse_if(operation: int, value: int, error: int) -> list[_Step]:
    return [(operation, 0, 1, value), _refuse(error), (_RETURN, 0, 0, _ALLOW)]


def _refuse_unless_in(values: tuple[int, ...], error: int) -> list[_Step]:
    checks: list[_Step] = [(_EQUAL, len(values) - at, 0, value) for at, value in enumerate(values)]
    return [*checks, _refuse(error), (_RETURN, 0, 0, _ALLOW)]


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    """The sorted ``numbers`` as ranges (first, last)."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
