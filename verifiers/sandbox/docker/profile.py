"""The system calls of a sandbox's container, as the seccomp profile that Docker takes."""

import json

from ..seccomp import FAMILIES, MACHINES, NEW_NAMESPACES, allowed_calls

AGENT = ("capset", "seccomp", "setgid", "setgroups", "setregid", "setresgid", "setresuid", "setreuid", "setuid")
"""What the agent calls beside what jobs may: to become another user, and to give up what a job must not have."""

_ARCHITECTURES = ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")
_ENOSYS = 38


def docker_profile() -> str:
    """The profile that allows what jobs and their agent call, and answers EPERM to all else.

    It is the job's own list with the agent's added: jobs are then filtered once more. ``clone`` makes no namespace, and
    ``clone3``, whose flags no filter can see, answers ENOSYS, upon which libc takes ``clone``. Calls of other
    architectures (32-bit ones on a 64-bit machine) end the process.
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
