"""Environments by name: a shipped one, ``module:Class``, ``file.py[:Class]``, or a package's entry point."""

import hashlib
import inspect
import linecache
import sys
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from ..verifiers.errors import ConfigError, nearest
from .environment import Environment

ENTRY_POINTS = "lachesis.environments"
"""The entry-point group in which a package offers environment classes."""

BUILT_IN = {
    "aime": "suites.mathematics:Aime",
    "answer_format": "answer_format:AnswerFormat",
    "arc": "suites.multiple_choice:Arc",
    "arithmetic": "arithmetic:Arithmetic",
    "bfcl": "suites.bfcl:Bfcl",
    "calculator": "calculator.environment:Calculator",
    "code": "code:Code",
    "decomposition": "decomposition.environment:Decomposition",
    "gpqa": "suites.multiple_choice:Gpqa",
    "gsm8k": "gsm8k:Gsm8k",
    "humaneval": "suites.programs:HumanEval",
    "ifeval": "suites.ifeval:IfEval",
    "livecodebench": "suites.live_code_bench:LiveCodeBench",
    "long_dialogue": "long_dialogue:LongDialogue",
    "math": "math:MathProblems",
    "math_500": "suites.mathematics:Math500",
    "mbpp": "suites.programs:Mbpp",
    "mmlu": "suites.multiple_choice:Mmlu",
    "paraphrases": "paraphrases:Paraphrases",
    "puzzles": "puzzles.environment:Puzzles",
    "reasoning_gym": "reasoning_gym.environment:ReasoningGym",
    "schema_repair": "schema_repair.environment:SchemaRepair",
    "skill_distillation": "skill_distillation.environment:SkillDistillation",
    "sql": "sql.environment:Sql",
    "tic_tac_toe": "tic_tac_toe.environment:TicTacToe",
    "tool_calling": "tool_calling:ToolCalling",
}
"""Name → module and class in ``shipped/``."""

FOREIGN = {
    "gymnasium": "gymnasium:Gymnasium",
    "nemo_gym": "nemo_gym:NemoGym",
    "openenv": "openenv:OpenEnv",
    "verifiers": "verifiers.environment:Verifiers",
}
"""The same in ``interop/``: adapters to environments of other frameworks."""

FROM_OUTSIDE = {"service": "service:Service"}
"""The same, for environments that are not played here: only ``lachesis train`` can use them."""


@dataclass(frozen=True)
class EnvironmentSpec:
    """Everything that a worker on another machine needs to build the environment.

    Attributes:
        use: its name.
        config: its settings.
        weights: weights of the rubric by label.
        label: its name in logs; unique in a run.
        source: the text of its file, if ``use`` names a file.
    """

    use: str
    config: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    label: str = ""
    source: str = ""

    def build(self) -> Environment:
        """The environment with these settings and weights."""
        environment = self.environment_class()(**self.config)
        environment.label = self.label or self.use
        environment.rubric = environment.rubric.with_weights(self.weights)
        return environment

    def environment_class(self) -> type[Environment]:
        """The class that ``use`` names."""
        target, _, class_name = self.use.partition(":")
        if target.endswith(".py"):
            return _pick(_module_of(self.source, target), class_name, self.use)
        return find_environment(self.use)


def describe(use: str, **fields: Any) -> EnvironmentSpec:
    """A spec for the environment named ``use``; if that is a file, its text is read here and travels with the spec.

    Raises:
        ConfigError: the file cannot be read.
    """
    target = use.partition(":")[0]
    source = ""
    if target.endswith(".py"):
        try:
            source = Path(target).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"cannot read the environment {target}: {getattr(error, 'strerror', None) or error}; check the path"
            ) from None
    return EnvironmentSpec(use, source=source, **fields)


def known_environments() -> list[str]:
    """The names of shipped and installed environments."""
    return sorted({*BUILT_IN, *FOREIGN, *FROM_OUTSIDE, *(entry.name for entry in entry_points(group=ENTRY_POINTS))})


def find_environment(name: str) -> type[Environment]:
    """The class behind a shipped name, an entry point or ``module:Class``.

    Raises:
        ConfigError: nothing has that name, or it does not import; the message names the nearest name.
    """
    for folder, entries in (("shipped", BUILT_IN | FROM_OUTSIDE), ("interop", FOREIGN)):
        if name in entries:
            module, _, class_name = entries[name].partition(":")
            return _pick(import_module(f".{folder}.{module}", __package__), class_name, name)
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            return _checked(entry.load(), name)
    module_name, colon, class_name = name.partition(":")
    if colon:
        try:
            return _pick(import_module(module_name), class_name, name)
        except ModuleNotFoundError as error:
            raise ConfigError(f"environment {name!r}: {error}; install the package or check the spelling") from None
        except (ImportError, SyntaxError) as error:
            raise ConfigError(f"environment {name!r} does not import: {type(error).__name__}: {error}") from error
    raise ConfigError(f"no environment is named {name!r}; {nearest(name, known_environments())}")


def _module_of(source: str, filename: str) -> ModuleType:
    """The module made from ``source``; equal texts are imported once."""
    name = f"lachesis_file_{hashlib.blake2b(source.encode(), digest_size=8).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = filename
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    sys.modules[name] = module
    try:
        exec(compile(source, filename, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ConfigError(
            f"the environment file {filename} does not import: {type(error).__name__}: {error}"
        ) from error
    return module


def _pick(module: ModuleType, class_name: str, name: str) -> type[Environment]:
    if class_name:
        if not hasattr(module, class_name):
            classes = [known for known, value in vars(module).items() if _is_environment(value)]
            raise ConfigError(f"environment {name!r}: its module has no {class_name!r}; {nearest(class_name, classes)}")
        return _checked(getattr(module, class_name), name)
    own = [value for value in vars(module).values() if _is_environment(value) and value.__module__ == module.__name__]
    if len(own) != 1:
        found = ", ".join(cls.__name__ for cls in own) or "none"
        raise ConfigError(f"{name} defines {len(own)} environments ({found}); name one as {name}:Class")
    return own[0]  # type: ignore[no-any-return]


def _checked(value: Any, name: str) -> type[Environment]:
    if not _is_environment(value):
        raise ConfigError(f"{name!r} is {value!r}, not a subclass of lachesis.Environment")
    return value  # type: ignore[no-any-return]


def _is_environment(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, Environment) and value is not Environment
