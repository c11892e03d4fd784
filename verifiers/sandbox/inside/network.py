"""The network of an agent's jobs, which holds a loopback interface only, and is replaced after a job has used it."""

import _socket
import fcntl
import os
import struct

from . import kernel

TCP_BUFFERS = f"4096 65536 {256 << 10}"
"""Least, default and largest bytes of a buffer of a TCP connection within a sandbox."""
SETTINGS = {
    "tcp_max_tw_buckets": "0",  # the address of a closed connection is free at once
    "tcp_rmem": TCP_BUFFERS,  # no cgroup may count this memory of the kernel
    "tcp_wmem": TCP_BUFFERS,
}
"""The settings of a network namespace, in ``/proc/sys/net/ipv4``."""
_SIOCSIFFLAGS, _IFF_UP_AND_RUNNING = 0x8914, 0x41
_TRACES = ("snmp", "snmp6", "ip6_flowlabel")


def renew() -> None:
    """Move this process to a new network namespace with a loopback interface."""
    kernel.unshare(kernel.CLONE_NEWNET)
    any_socket = _socket.socket()
    fcntl.ioctl(any_socket.fileno(), _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP_AND_RUNNING))
    any_socket.close()
    for name, value in SETTINGS.items():
        with open(f"/proc/sys/net/ipv4/{name}", "w") as file:
            file.write(value)


def traces() -> bytes:
    """What the kernel remembers of the packets and flow labels in this network; each use of it changes this.

    A job could leave a message for the next one in these numbers.
    """
    return b"".join(_read(f"/proc/net/{name}") for name in _TRACES)


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # a kernel without IPv6
        return b""
    try:
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)
