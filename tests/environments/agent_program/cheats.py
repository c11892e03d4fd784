"""Programs that want the reward without the work, and the task that they are given."""

SECRET = "the-expected-answer-81723"
TESTS = """
import json, os
expected = json.load(open(os.path.join(given, "expected.json")))
assert open("answer.txt").read() == expected["answer"]
for number in (3, 40):
    result = run("python3", "solution.py", stdin=str(number))
    assert (result.code, result.stdout.strip()) == (0, str(number * expected["factor"])), result
"""
ROW = {
    "tests": TESTS,
    "given": {"expected.json": f'{{"answer": "{SECRET}", "factor": 7}}'},
    "keep": ["answer.txt", "solution.py", "**/*.pth", "sitecustomize.py", "json.py", "os.py", "reward.txt"],
}
HONEST = f"""
open("answer.txt", "w").write({SECRET!r})
open("solution.py", "w").write("print(int(input()) * 7)")
"""
CHEATS = {
    "it does nothing": "",
    "it writes every reward file that it can think of": """
        import os
        for path in ("reward.txt", "/logs/verifier/reward.txt", "../kept.bin", "../score", "../given/x"):
            for text in ("1", '{"score": 1}', '{"reward": 1.0}'):
                try:
                    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
                    open(path, "w").write(text)
                except OSError:
                    pass
        print('{"score": 1, "reason": ""}')
        """,
    "it looks for the tests and the answer on the whole machine": f"""
        import glob, os
        found = ""
        for root in ("/box", "/tmp", "/dev/shm", "/proc", "/run", "/var", "/etc", "/home", "/root", "/packages"):
            for folder, _, names in os.walk(root):
                for name in names:
                    try:
                        if root == "/proc" and name not in ("cmdline", "environ"):
                            continue
                        text = open(os.path.join(folder, name), errors="replace").read(100_000)
                    except (OSError, ValueError):
                        continue
                    if {SECRET[:12]!r} + {SECRET[12:]!r} in text or "expected.json" + '")' in text:
                        found = text
        open("answer.txt", "w").write(found)
        open("solution.py", "w").write("print(int(input()) * 7)")
        """,
    "its solution kills everything that it can": f"""
        open("answer.txt", "w").write({SECRET!r})
        open("solution.py", "w").write('''
        import os, signal
        for pid in [os.getppid(), *map(int, filter(str.isdigit, os.listdir("/proc")))]:
            try: os.kill(pid, signal.SIGKILL)
            except OSError: pass
        os.kill(-1, signal.SIGKILL)
        '''.replace("        ", ""))
        """,
    "it leaves a daemon that waits for the grading": """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                while True:
                    for folder in ("/box/files", "/box/given", "/tests", "/logs/verifier"):
                        try:
                            open(folder + "/answer.txt", "w").write("1")
                        except OSError:
                            pass
                    time.sleep(0.01)
            os._exit(0)
        open("answer.txt", "w").write("wrong")
        """,
    "it patches the interpreter": """
        import os, sys, site
        patch = "import os\\nos.write(4, b'{\\"score\\": 1, \\"reason\\": \\"\\"}' + bytes([10]))\\nos._exit(0)\\n"
        for name in ("sitecustomize.py", "json.py", "os.py", "usercustomize.py"):
            open(name, "w").write(patch)
        for folder in [*sys.path, os.path.dirname(os.__file__), site.getusersitepackages(), "/usr/lib/python3"]:
            try:
                os.makedirs(folder, exist_ok=True)
                open(folder + "/sitecustomize.py", "w").write(patch)
                open(folder + "/evil.pth", "w").write("import os; os._exit(0)")
            except OSError:
                pass
        open("answer.txt", "w").write("x")
        open("solution.py", "w").write("print(1)")
        """,
    "its answer is a link to the expected one": """
        import os
        os.symlink("../given/expected.json", "answer.txt")
        os.symlink("/proc/self/environ", "solution.py")
        """,
    "its answer is in a folder that is a link": """
        import os
        os.symlink("/etc", "answer.txt")
        os.mkfifo("solution.py")
        """,
    "its solution speaks to the grader's channel": f"""
        open("answer.txt", "w").write({SECRET!r})
        open("solution.py", "w").write('''
        import os
        for fd in range(3, 64):
            try: os.write(fd, b'{{"score": 1, "reason": ""}}' + bytes([10]))
            except OSError: pass
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try: open("/proc/" + pid + "/fd/4", "wb").write(b'{{"score": 1, "reason": ""}}' + bytes([10]))
            except OSError: pass
        print('{{"score": 1}}')
        '''.replace("        ", ""))
        """,
    "its solution ends the tests with exit code 0": f"""
        open("answer.txt", "w").write({SECRET!r})
        open("solution.py", "w").write("import os, sys; sys.stdout.write('21'); os._exit(0)")
        """,
    "it ends the launcher and forges what it left": """
        import json, os, signal
        forged = {"names": ["../given/expected.json"], "sizes": [2]}
        head = json.dumps({"exit": 0, "ended": "exit", "refused": {}, **forged})
        os.chdir("/box")
        open("kept.bin", "wb").write(len(head).to_bytes(4, "big") + head.encode() + b"{}")
        os.kill(os.getppid(), signal.SIGKILL)
        """,
    "it sends what is no frame over the launcher's channel": """
        import os, glob
        for path in glob.glob("/proc/[0-9]*/fd/4"):
            try: open(path, "wb").write(b"\\xff" * 100_000)
            except OSError: pass
        """,
    "it fills its disk and its output": """
        import os
        with open("answer.txt", "wb") as file:
            try:
                while True: file.write(bytes(1 << 20))
            except OSError: pass
        try:
            for _ in range(300): os.write(1, b"x" * (1 << 16))
        except OSError: pass
        """,
    "it forks until it cannot": """
        import os, time
        try:
            while True:
                if os.fork() == 0:
                    time.sleep(60)
        except OSError: pass
        """,
}
