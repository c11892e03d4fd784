"""Signal whoever is above, then try to lift every limit."""

import os
import resource
import signal

for number in (signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM, signal.SIGQUIT):
    for pid in (1, os.getppid()):
        try:
            os.kill(pid, number)
        except OSError:
            pass
for name in ("RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_CPU", "RLIMIT_NOFILE", "RLIMIT_AS"):
    limit = getattr(resource, name)
    try:
        if resource.getrlimit(limit)[1] != resource.RLIM_INFINITY:
            resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            print("LEAK", name)
    except (OSError, ValueError):
        pass
print("tried")
