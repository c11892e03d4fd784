"""The seccomp profile for Docker, with the system calls that a sandbox's container may use."""

import json

from ..seccomp import FAMILIES, MACHINES, NEW_NAMESPACES, allowed_calls

AGENT = ("capset", "seccomp", "setgid", "setgroups", "setregid", "setresgid", "setresuid", "setreuid", "setuid")
"""The calls that only the agent may use: to change its user, and to give up privileges."""

_ARCHITECTURES = ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")
_ENOSYS = 38


def docker_profile() -> str:
    """The profile that allows the calls of jobs and of their agent; all other calls fail with EPERM.

    Jobs get their own, stricter filter in addition. ``clone`` may not make a namespace. ``clone3`` fails with ENOSYS,
    because a filter cannot read its flags; libc then uses ``clone``. Calls of another architecture, such as 32-bit
    calls on a 64-bit machine, end the process.
    """
    names = {name for machine in MACHINES for name in allowed_calls(machine)}.union(AGENT) - {"clone", "socket"}
    no_namespace = {"index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    rules: list[dict[str, object]] = [
        {"names": sorted(names), "action": "SCMP_ACT_ALLOW"},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [no_namespace]},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
    ]
    for family in FAMILIES:
        equal = {"index": 0, "value": family, "op": "SCMP_CMP_EQ"}
        rules.append({"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [equal]})
    return json.dumps(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "archMap": [{"architecture": name, "subArchitectures": []} for name in _ARCHITECTURES],
            "syscalls": rules,
        }
    )
