"""A budget for reasoning: text beyond so many tokens of a model's tokenizer is cut off."""

from dataclasses import dataclass
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from ...verifiers.errors import ConfigError
from ..models.tokenizer import load_tokenizer


@dataclass(frozen=True)
class ReasoningBudget:
    """Cuts reasoning at a number of tokens.

    Attributes:
        tokens: the budget, at least 1.
        model: whose tokenizer counts: a folder or a Hub id.
    """

    tokens: int
    model: str

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        tokenizer = load_tokenizer(self.model)
        if not tokenizer.is_fast:
            raise ConfigError(f"{self.model!r} has no fast tokenizer (tokenizer.json); name another --tokenizer")
        return tokenizer

    def shorten(self, reasoning: str) -> str:
        """``reasoning`` up to the budget, without white space at a cut; a character is never cut apart."""
        clean = reasoning.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # lone surrogates have no bytes
        offsets = self._tokenizer(clean, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return reasoning if len(offsets) <= self.tokens else clean[: offsets[self.tokens][0]].rstrip()
