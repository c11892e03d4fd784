"""The kind of instruction that asks for a language (IFEval's ``language:response_language``), by the package lingua."""

from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import regex

from .constraint import constraint

MAX_TEXT = 4000
"""Most characters of a text that are looked at."""
SHORT = 200
"""Texts below so many characters are given to lingua's accurate models, which take 0.9 GB; others to its small ones."""
SCRIPTS = {"kn": "Kannada", "ml": "Malayalam"}
"""Languages that lingua does not know, but which are written in a script of their own."""
UNKNOWN = {"ne": "Nepali"}
"""Languages of IFEval that no part of this file can tell from others."""
_LETTER = regex.compile(r"\p{L}")


def as_language(value: Any) -> str:
    """Return a language that can be detected, as its ISO 639-1 code in lower case."""
    if not isinstance(value, str) or not regex.fullmatch("[A-Za-z]{2}", value):
        raise ValueError("must be a language code of two letters")
    code = value.lower()
    if code in SCRIPTS:
        return code
    if find_spec("lingua") is None:
        raise ValueError("needs a language detector: pip install 'lachesis-rl[language]'")
    if code in UNKNOWN or code not in _codes():
        raise ValueError("is not a language that the detector knows; drop such rows")
    return code


@constraint("language:response_language", language=as_language)
def _response_language(text: str, language: str) -> bool:
    """The whole text must be most likely in the language; a text without letters is in none."""
    text = text[:MAX_TEXT]
    letters = _LETTER.findall(text)
    if not letters:
        return False
    if script := SCRIPTS.get(language):
        return 2 * len(regex.findall(rf"\p{{Script={script}}}", text)) > len(letters)
    found = _detector(len(text) < SHORT).detect_language_of(text)
    return found is not None and found.iso_code_639_1.name.lower() == language


@lru_cache(maxsize=1)
def _codes() -> frozenset[str]:
    from lingua import Language

    return frozenset(language.iso_code_639_1.name.lower() for language in Language.all())


@lru_cache(maxsize=2)
def _detector(accurate: bool) -> Any:
    from lingua import LanguageDetectorBuilder

    builder = LanguageDetectorBuilder.from_all_languages()
    return builder.build() if accurate else builder.with_low_accuracy_mode().build()
