"""The languages in which programs may be written: how each is recognised in a reply, checked, and run."""

import re
from dataclasses import dataclass

from ...plugins import Plugins


@dataclass(frozen=True)
class Language:
    """A language of programs.

    Its commands may contain ``{file}``, the name of the source file, and ``{heap}``, three quarters of the job's memory
    in MiB. Python has no commands: its programs run in the sandbox's own interpreter.

    Attributes:
        title: the name in prompts and messages.
        fence: the word after the fence of a code block, as prompts ask for it.
        fences: a regular expression for all such words, in lower case.
        statement: a regular expression that tells its programs from other text in blocks without such a word.
        files: (pattern, name): the source file has the first name whose pattern is found in the source.
        check: the command that checks or compiles the source. If it fails, the program does not compile.
        made: the name of the file that ``check`` makes, and that runs in place of the source; empty if it makes none.
        run: the command that runs the program.
        trial: a program that prints the line that it reads, in upper case.
        cure: how to get its tools.
    """

    title: str
    fence: str
    fences: str
    statement: str
    files: tuple[tuple[str, str], ...] = ()
    check: tuple[str, ...] = ()
    made: str = ""
    run: tuple[str, ...] = ()
    trial: str = ""
    cure: str = ""

    def file_of(self, source: str) -> str:
        """Return the name of the file for ``source``."""
        return next(name for pattern, name in self.files if re.search(pattern, source, re.MULTILINE))

    def owns(self, info: str) -> bool:
        """Return whether ``info``, the word after a fence, stands for this language."""
        return bool(re.fullmatch(self.fences, info.lower()))


PYTHON = Language(
    title="Python",
    fence="python",
    fences=r"(?:c?python|i?py|ipython|pypy|tool_code)[\d.]*",
    statement=r"^[ \t]*+(?:import|from|def|class|for|while|if|with|try|async|@)\b|[^=!<>]=[^=]|\w\(",
)
CPP = Language(
    title="C++",
    fence="cpp",
    fences=r"(?:c|cc|cpp|cxx|c\+\+|g\+\+|gnu\+\+)[\d.]*",
    statement=r"#[ \t]*include\b|\bmain[ \t]*\(",
    files=(("", "main.cpp"),),
    check=("g++", "-O2", "-std=gnu++20", "-w", "-pipe", "-s", "-o", "main", "{file}"),
    made="main",
    run=("./main",),
    trial="#include <bits/stdc++.h>\n"
    "int main() { std::string s; std::cin >> s; for (auto &c : s) c = toupper(c); std::cout << s << std::endl; }\n",
    cure="install g++ 10 or later (apt install g++)",
)
JAVASCRIPT = Language(
    title="JavaScript",
    fence="javascript",
    fences=r"(?:js|javascript|node|nodejs|mjs|cjs|ecmascript|jsx)[\d.]*",
    statement=r"\b(?:const|let|var|function|require|console|process)\b|=>",
    files=((r"^[ \t]*(?:import\b(?!\s*\()|export\b)", "main.mjs"), ("", "main.js")),
    check=("node", "--check", "{file}"),
    run=("node", "--stack-size=100000", "--max-old-space-size={heap}", "{file}"),
    trial="console.log(require('fs').readFileSync(0, 'utf8').trim().toUpperCase());\n",
    cure="install Node.js under /usr (apt install nodejs)",
)
BASH = Language(
    title="Bash",
    fence="bash",
    fences=r"bash[\d.]*|sh|shell|shellscript|zsh",
    statement=r"^#!|\$[\w({]|^[ \t]*(?:read|echo|printf|for|while|if|awk|sed)\b",
    files=(("", "main.sh"),),
    check=("bash", "-n", "{file}"),
    run=("bash", "{file}"),
    trial="read -r line\necho \"$line\" | tr '[:lower:]' '[:upper:]'\n",
    cure="install Bash and coreutils (apt install bash coreutils)",
)
LANGUAGES = Plugins[Language](
    "language",
    __package__ or "",
    {
        "python": "languages:PYTHON",
        "cpp": "languages:CPP",
        "javascript": "languages:JAVASCRIPT",
        "bash": "languages:BASH",
    },
)
"""Your own language is a ``Language`` named ``module:name``."""
