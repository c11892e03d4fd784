"""Texts of token ids, by the fast tokenizer's own file, so that transformers need not be imported."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer


class TokenTexts:
    """Decodes single tokens with the tokenizer of a model.

    Attributes:
        model: a folder, or a name on the Hugging Face Hub, which is looked up in the local cache only.
    """

    def __init__(self, model: str) -> None:
        self.model = model

    def __call__(self, ids: Sequence[int]) -> list[str] | None:
        """Return the text of each token; None if the model has no ``tokenizer.json`` here."""
        tokenizer = _load(self.model)
        if tokenizer is None:
            return None
        known = {number: tokenizer.decode([number], skip_special_tokens=False) for number in set(ids)}
        return [known[number] for number in ids]


@lru_cache(maxsize=8)
def _load(model: str) -> Tokenizer | None:
    path = Path(model) / "tokenizer.json"
    if not Path(model).is_dir():
        from huggingface_hub import try_to_load_from_cache  # only now, because it takes a moment

        try:
            found = try_to_load_from_cache(model, "tokenizer.json")
        except ValueError:  # no name that the Hub allows, such as the path of a folder that is gone
            return None
        if not isinstance(found, str):
            return None
        path = Path(found)
    if not path.is_file():
        return None
    try:
        return Tokenizer.from_file(str(path))
    except Exception:  # noqa: BLE001 - the library raises plain Exception for a missing or damaged file
        return None
