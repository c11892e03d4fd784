"""Lists of names in settings: each name is checked against the names that exist."""

from collections.abc import Collection

from pydantic import AfterValidator

from ..verifiers.errors import ConfigError, nearest


def known_names(kind: str, known: Collection[str]) -> AfterValidator:
    """A validator for a setting that is a list of names; an unknown name is an error that names the nearest one."""

    def check(names: list[str]) -> list[str]:
        for name in names:
            if name not in known:
                raise ConfigError(f"no {kind} is named {name!r}; {nearest(name, known)}")
        return names

    return AfterValidator(check)
