"""Secrets in text: what to hide of addresses, headers and settings before anything is written or shown."""

import re

REDACTED = "<redacted>"
"""The text that replaces a secret."""

_USER = re.compile(r"(?<=://)[^/?#@\s]*@(?=[^\s])")
_NAME = r"(?:token|password|passwd|secret|credentials?|authorization|cookie|(?:api|access|private)[_-]?key)"
_SETTING = re.compile(rf"(?:^|[_-]){_NAME}$", re.IGNORECASE)
_PARAMETER = re.compile(rf"([?&;](?:[\w-]*[_-])?(?:{_NAME}|sig|signature|key)=)[^&#\s]+", re.IGNORECASE)
_HEADER = re.compile(r"(\b(?:Bearer|Basic)\s+)[\w.~+/=-]{4,}", re.IGNORECASE)
_SHORTEST = 4


def is_secret(setting: str) -> bool:
    """Whether the name of a setting says that its value is a secret, such as ``api_key`` or ``hub-token``."""
    return bool(_SETTING.search(setting))


def without_secrets(text: str, *known: str) -> str:
    """Return ``text`` without the user and keys of addresses, ``Authorization`` values, and ``known`` secrets."""
    for secret in known:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, REDACTED)
    text = _USER.sub(f"{REDACTED}@", text)
    return _HEADER.sub(rf"\1{REDACTED}", _PARAMETER.sub(rf"\1{REDACTED}", text))
