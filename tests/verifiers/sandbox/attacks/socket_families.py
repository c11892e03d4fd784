"""Try sockets that reach the kernel or the host past the network."""

import socket

for family, kind in [(16, 3), (17, 3), (38, 5), (40, 1), (2, 3), (30, 1), (31, 1), (44, 3)]:
    try:
        socket.socket(family, kind)
        print("LEAK", family)
    except OSError:
        pass
print("tried")
