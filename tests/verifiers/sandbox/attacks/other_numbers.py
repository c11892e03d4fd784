"""Call the kernel by the numbers of another architecture."""

import ctypes
import os

if os.uname().machine == "x86_64" and ctypes.CDLL(None).syscall(39 | 0x40000000) != -1:
    print("LEAK x32")
