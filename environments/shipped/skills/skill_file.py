"""Skill files in the form of Hermes Agent: a header with name and description, then instructions."""

import re
from dataclasses import dataclass

_HEADER = re.compile(r"---\r?\n(.*?)\r?\n---\r?\n(.*)", re.DOTALL)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Skill:
    """One skill: its name, the line by which it is chosen, and its instructions."""

    name: str
    description: str
    instructions: str

    @property
    def content(self) -> str:
        """The file."""
        return f"---\nname: {self.name}\ndescription: {self.description}\n---\n\n{self.instructions}\n"


def read_skill(name: str, content: str) -> Skill:
    """The skill in the text of a file.

    Raises:
        ValueError: the name or the file has not the right form; the message says why, for the model.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("a skill's name has 1 to 64 lower-case letters, digits, dots, '_' and '-'")
    found = _HEADER.fullmatch(content.strip())
    if found is None:
        raise ValueError("the content begins with a header between two lines '---', and the instructions follow it")
    header = dict(line.split(":", 1) for line in found[1].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in header.items()}
    if not fields.get("description") or not found[2].strip():
        raise ValueError("the header has a description, and the instructions are not empty")
    if fields.get("name", name) != name:
        raise ValueError(f"the header says that the name is {fields['name']:.80}, and the call says {name}")
    return Skill(name, fields["description"], found[2].strip())


class Library:
    """The skills of one episode, and the tools that Hermes Agent has for them.

    Args:
        skills: at the beginning.
        characters: the most characters of a new skill's file.
    """

    def __init__(self, skills: list[Skill], characters: int) -> None:
        self._skills = {skill.name: skill for skill in skills}
        self._given = frozenset(self._skills)
        self._characters = characters
        self.written: Skill | None = None
        self.viewed: list[str] = []

    @property
    def index(self) -> str:
        """A line for each skill, in the order of their names."""
        return "\n".join(f"- {skill.name}: {skill.description}" for _, skill in sorted(self._skills.items()))

    def skill_manage(self, action: str, name: str, content: str) -> str:
        """Write a skill file, with action "create". Its header has the keys name and description."""
        if action != "create":
            raise ValueError("the only action here is 'create'")
        if name in self._given:
            raise ValueError(f"there is a skill {name:.80} already; choose another name")
        if len(content) > self._characters:
            raise ValueError(f"the file has {len(content)} characters, and at most {self._characters} are allowed")
        skill = read_skill(name, content)
        if self.written is not None:
            del self._skills[self.written.name]
        self.written = self._skills[name] = skill
        return "created"

    def skills_list(self) -> str:
        """List the names and descriptions of all skills."""
        return self.index

    def skill_view(self, name: str) -> str:
        """Read a skill file."""
        if name not in self._skills:
            raise ValueError(f"there is no skill {name:.80}; call skills_list")
        self.viewed.append(name)
        return self._skills[name].content
