"""Try every system call that a job must not have."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
here = ctypes.addressof(buffer)
calls = {
    "ptrace": (101, 16, os.getppid(), 0, 0),
    "syslog": (103, 3, here, 4096),
    "personality": (135, 0x0040000),
    "pivot_root": (155, b"/tmp", b"/tmp"),
    "chroot": (161, b"/tmp"),
    "acct": (163, b"/tmp/acct"),
    "mount": (165, b"none", b"/tmp", b"tmpfs", 0, 0),
    "umount2": (166, b"/proc", 2),
    "swapon": (167, b"/tmp/s", 0),
    "reboot": (169, 0xFEE1DEAD, 672274793, 0),
    "sethostname": (170, b"owned", 5),
    "iopl": (172, 3),
    "init_module": (175, here, 10, here),
    "quotactl": (179, 0x800002, 0, 0, here),
    "shmget": (29, 7, 4096, 0o1666),
    "semget": (64, 7, 1, 0o1666),
    "msgget": (68, 7, 0o1666),
    "mq_open": (240, b"q", 0o102, 0o600, 0),
    "add_key": (248, b"user", b"name", b"data", 4, -3),
    "keyctl": (250, 0, -3, 1),
    "unshare": (272, 0x10000000),
    "vmsplice": (278, 0, here, 1, 0),
    "perf_event_open": (298, here, 0, -1, -1, 0),
    "fanotify_init": (300, 0, 0),
    "open_by_handle_at": (304, 5, here, 0),
    "setns": (308, 5, 0),
    "process_vm_readv": (310, os.getppid(), here, 1, here, 1, 0),
    "kcmp": (312, 1, 1, 0, 0, 0),
    "finit_module": (313, 5, b"", 0),
    "seccomp": (317, 1, 0, here),
    "kexec_file_load": (320, 5, 5, 0, here, 0),
    "bpf": (321, 0, here, 48),
    "userfaultfd": (323, 0),
    "io_uring_setup": (425, 8, here),
    "open_tree": (428, -100, b"/", 1),
    "fsopen": (430, b"tmpfs", 0),
    "pidfd_getfd": (438, 5, 0, 0),
    "mount_setattr": (442, -100, b"/", 0, here, 32),
    "memfd_secret": (447, 0),
    "clone3": (435, here, 88),
    "setuid": (105, 0),
    "setresuid": (117, 0, 0, 0),
    "settimeofday": (164, here, 0),
    "name_to_handle_at": (303, -100, b"/", here, here + 64, 0),
    "mlock": (149, here, 4096),
    "sched_setscheduler": (144, 0, 1, here),
    "io_setup": (206, 8, here),
    "lookup_dcookie": (212, 1, here, 8),
}
if os.uname().machine == "x86_64":
    for name, arguments in calls.items():
        if libc.syscall(*arguments) != -1:
            print("LEAK", name)
print("tried", len(calls))
