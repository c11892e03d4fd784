"""Choices by name: built-in ones, which are imported on first use, and those of users, given as ``module:name``."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Generic, TypeVar

from pydantic import AfterValidator

from .boundary import fault_of
from .errors import ConfigError, nearest

Thing = TypeVar("Thing")


class Plugins(Generic[Thing]):
    """The choices for one setting.

    Args:
        kind: the word for a choice in error messages, such as "engine".
        package: the package that built-in modules are relative to; ``__package__`` of the caller.
        built_in: name → ``module:attribute``, the module relative to ``package``.
        keywords: other values of the setting, such as "auto", which the caller handles and ``load`` refuses.
    """

    def __init__(self, kind: str, package: str, built_in: Mapping[str, str], keywords: Sequence[str] = ()) -> None:
        self.kind = kind
        self._package = package
        self._built_in = dict(built_in)
        self.keywords = tuple(keywords)

    @property
    def names(self) -> tuple[str, ...]:
        """The built-in names, in the order in which they were given."""
        return tuple(self._built_in)

    def load(self, name: str) -> Thing:
        """Import the object that ``name`` stands for.

        Raises:
            ConfigError: the name is unknown, or its module or attribute cannot be imported.
        """
        module, attribute = self._target(name)
        try:
            home = import_module(module, self._package)
        except ImportError as error:
            raise ConfigError(f"{self.kind} {name!r}: {error}; install its package or check the spelling") from error
        except (Exception, SystemExit) as error:
            raise ConfigError(f"{self.kind} {name!r}: {module} does not import: {fault_of(error)}") from error
        if not hasattr(home, attribute):
            raise ConfigError(f"{self.kind} {name!r}: {module} has no {attribute!r}; check the spelling")
        found: Thing = getattr(home, attribute)
        return found

    def check_own(self, name: str) -> None:
        """Import what ``module:name`` stands for, so that a mistake in it is known now; built-in names are right.

        Raises:
            ConfigError: as ``load``.
        """
        if name not in self._built_in and name not in self.keywords:
            self.load(name)

    @property
    def setting(self) -> Any:
        """A validator for a settings field: ``Annotated[str, ENGINES.setting]`` refuses unknown names."""
        return AfterValidator(self._check)

    def _check(self, name: str) -> str:
        if name in self.keywords:
            return name
        try:
            self._target(name)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return name

    def _target(self, name: str) -> tuple[str, str]:
        if name in self._built_in:
            module, _, attribute = self._built_in[name].partition(":")
            return f".{module}", attribute
        module, colon, attribute = name.partition(":")
        if not (colon and module and attribute):
            cure = f"{nearest(name, (*self.keywords, *self._built_in))}; your own goes by module:name"
            raise ConfigError(f"no {self.kind} is named {name!r}; {cure}")
        return module, attribute
