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


class Traces:
    """What the kernel remembers of the packets and flow labels in the network of this process.

    Each use of the network changes it, so that a job could leave a message there for the next one. The files stay open,
    because opening them costs more than reading them.
    """

    def __init__(self) -> None:
        self._files = [os.open(path, os.O_RDONLY) for name in _TRACES if os.path.exists(path := f"/proc/net/{name}")]
        self._before = self._read()

    def changed(self) -> bool:
        """Whether the network was used since this object was made."""
        return self._read() != self._before

    def close(self) -> None:
        """Close the files."""
        for fd in self._files:
            os.close(fd)

    def _read(self) -> list[bytes]:
        return [os.pread(fd, 1 << 16, 0) for fd in self._files]
