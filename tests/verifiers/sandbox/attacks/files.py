"""Try to read, write and plant what is not the job's."""

import glob
import os
import stat


def attempt(what, act):
    try:
        act()
        print("LEAK", what)
    except OSError:
        pass


for path in ("/usr/bin", "/usr/lib", "/etc", "/", "/dev", "/proc/sys/kernel", os.path.dirname(os.__file__)):
    attempt(path, lambda: open(path + "/planted", "w"))
attempt("core_pattern", lambda: open("/proc/sys/kernel/core_pattern", "w"))
attempt("sysrq", lambda: open("/proc/sysrq-trigger", "w"))
attempt("oom", lambda: os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-1000"))
attempt("kcore", lambda: open("/proc/kcore", "rb").read(1))
attempt("kmsg", lambda: open("/dev/kmsg", "rb").read(1))
attempt("disk", lambda: os.mknod("/tmp/disk", 0o600 | stat.S_IFBLK, os.makedev(254, 0)))
attempt("root of init", lambda: os.listdir("/proc/1/root"))
attempt("folder of init", lambda: os.readlink("/proc/1/cwd"))
attempt("hard link", lambda: os.link(os.__file__, "/tmp/linked"))
attempt("remove", lambda: os.unlink(os.__file__))
attempt("mode", lambda: os.chmod("/", 0o777))
attempt("sparse", lambda: os.truncate(os.open("/tmp/sparse", os.O_CREAT | os.O_RDWR), 1 << 40))
print("open", sorted(os.listdir("/proc/self/fd"))[:4], len(os.listdir("/proc/self/fd")))
print("environment", sorted(os.environ))
for name in ("LACHESIS_CANARY", "PYTHONHASHSEED"):
    if name in os.environ:
        print("LEAK", name)
print("hosts" if glob.glob("/sys/fs/cgroup/*/lachesis*") + glob.glob("/run/docker*") else "tried")
