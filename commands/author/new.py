"""``lachesis new``: a new environment as an installable package, with its test and its README."""

import keyword
import re
import sys
from pathlib import Path
from string import Template

import click

from ...environments.loading import ENTRY_POINTS, known_environments
from ...verifiers.errors import ConfigError

_ENVIRONMENT = Template('''\
"""$title: an environment for Lachesis."""

import random
from collections.abc import Iterator

from lachesis import Environment, EnvironmentConfig, Rubric, Task, use


class $cls(Environment):
    """The largest of some numbers."""

    class Config(EnvironmentConfig):
        """How hard it is."""

        count: int = 3
        """Numbers of one task."""

    rubric = Rubric(use("exact"))

    def tasks(self, split: str, seed: int) -> Iterator[Task]:
        """Endless; a tenth of all tasks is held out, the same for every seed."""
        rng = random.Random(f"{split} {seed}")
        while True:
            numbers = [rng.randrange(100, 1000) for _ in range(self.config.count)]
            if (sum(numbers) % 10 == 0) == (split == "test"):
                prompt = f"Which is the largest of {', '.join(map(str, numbers))}? Reply with the number alone."
                yield Task(prompt, answer=str(max(numbers)))
''')

_TEST = Template("""\
from itertools import islice

import pytest
from $name import $cls

ENVIRONMENT = $cls()
TASKS = list(islice(ENVIRONMENT.tasks("train", seed=0), 20))


@pytest.mark.parametrize("task", TASKS[:5], ids=lambda task: task.id)
def test_the_answer_alone_is_rewarded(task):
    assert ENVIRONMENT.score(task, ENVIRONMENT.demonstration(task)).total == 1.0
    assert ENVIRONMENT.score(task, "").total == 0.0
    assert ENVIRONMENT.score(task, task.prompt).total == 0.0


def test_the_seed_decides_the_tasks_and_no_held_out_task_is_trained_on():
    assert TASKS == list(islice($cls().tasks("train", seed=0), 20))
    held_out = {task.hash for task in islice(ENVIRONMENT.tasks("test", seed=0), 200)}
    assert not held_out & {task.hash for task in islice(ENVIRONMENT.tasks("train", seed=1), 1000)}
""")

_PROJECT = Template("""\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "$name-environment"
version = "0.1.0"
description = "$title: an environment for Lachesis"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["lachesis-rl"]

[project.entry-points."$group"]
$name = "$name:$cls"

[tool.setuptools]
py-modules = ["$name"]

[tool.pytest.ini_options]
testpaths = ["test_$name.py"]
""")

_README = Template("""\
# $title

An environment for Lachesis. Describe the tasks and the rewards here.

Run these commands in this folder, and give `lachesis eval` a model folder for `MODEL`:

```bash
pytest
lachesis check $name.py
lachesis eval $name.py --model MODEL --inline
```

Once it is installed, its name `$name` is enough, in any folder, and `lachesis envs` lists it:

```bash
pip install -e .
lachesis check $name
```

In a run's TOML:

```toml
[[environments]]
use = "$name"

[environments.config]
count = 3
```
""")


@click.command("new")
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path), default=".", help="Folder to create it in.  [default: the current one]"
)
def command(name: str, out: Path) -> None:
    """Create an environment in the folder NAME, as an installable package.

    Its test passes at once; change it from there. Its README shows the next commands.
    """
    for path in scaffold(name, out):
        click.echo(path)


def scaffold(name: str, folder: Path) -> list[Path]:
    """Write a new environment into the new folder ``folder/name``, and return its files.

    Raises:
        ConfigError: the name is not possible, or something of that name exists already.
    """
    check_name(name)
    target = folder / name
    cls = "".join(part.capitalize() for part in name.split("_") if part)
    title = name.replace("_", " ").strip().capitalize()
    values = {"name": name, "cls": cls, "title": title, "group": ENTRY_POINTS}
    texts = {f"{name}.py": _ENVIRONMENT, f"test_{name}.py": _TEST, "pyproject.toml": _PROJECT, "README.md": _README}
    try:
        target.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{target} exists already and nothing was written; choose another name") from None
    except OSError as error:
        raise ConfigError(f"cannot create {target}: {error.strerror}; choose another folder with --out") from None
    for file, text in texts.items():
        (target / file).write_text(text.substitute(values))
    return [target / file for file in texts]


def check_name(name: str) -> None:
    """Check that a module may be called ``name``.

    Raises:
        ConfigError: it may not; the message says why.
    """
    cure = "choose a name such as 'word_chain'"
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise ConfigError(
            f"a name consists of lower-case letters, digits and _, and begins with a letter; found {name!r:.80}; {cure}"
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise ConfigError(f"{name!r} is a Python keyword; {cure}")
    if name in sys.stdlib_module_names or name in ("lachesis", "pytest") or name.startswith("test_"):
        raise ConfigError(f"{name!r} would hide another module of that name; {cure}")
    if name in known_environments():
        raise ConfigError(f"there is already an environment named {name!r}; {cure}")
