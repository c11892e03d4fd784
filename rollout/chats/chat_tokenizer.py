"""A model's tokenizer and chat template as plain data, which travel to processes without transformers and torch."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ...verifiers.errors import ConfigError
from ..models.tokenizer import load_tokenizer
from . import chat_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class ChatTokenizer:
    """What a renderer needs of a model.

    Attributes:
        name: the model's folder or Hub id, for messages.
        definition: the tokenizer as JSON, as the package ``tokenizers`` reads it.
        template: the chat template.
        tools_template: the chat template of conversations with tools; most models have one for both.
        special_tokens: the special tokens that the template may ask for by name, such as ``bos_token``.
        eos: the id of the tokenizer's end token, if it has one.
        vocabulary: number of ids.
        begin: the ids that the tokenizer itself puts before a text; often none.
        stop_ids: ids that end a turn beside those of the template and the tokenizer.
    """

    name: str
    definition: str = field(repr=False)
    template: str = field(repr=False)
    tools_template: str = field(repr=False)
    special_tokens: dict[str, str]
    eos: int | None
    vocabulary: int
    begin: tuple[int, ...] = ()
    stop_ids: tuple[int, ...] = ()

    @classmethod
    def load(cls, model: str) -> "ChatTokenizer":
        """That of a model's folder or Hub name, with the stop ids of its generation config; imports transformers.

        Raises:
            ConfigError: there is no tokenizer, or it cannot be used.
        """
        return replace(cls.of(load_tokenizer(model)), stop_ids=generation_stops(model))

    @classmethod
    def of(cls, tokenizer: "PreTrainedTokenizerBase") -> "ChatTokenizer":
        """The data of a fast tokenizer with a chat template.

        Raises:
            ConfigError: the tokenizer cannot be used.
        """
        if not tokenizer.is_fast:
            raise ConfigError(f"{tokenizer.name_or_path!r} has no fast tokenizer (tokenizer.json); convert it first")
        if not tokenizer.chat_template:
            raise ConfigError(f"tokenizer {tokenizer.name_or_path!r} has no chat template; choose an instruct model")
        try:
            template, tools_template = tokenizer.get_chat_template(), tokenizer.get_chat_template(tools=[])
        except ValueError as error:
            raise ConfigError(f"tokenizer {tokenizer.name_or_path!r}: {error!s:.300}") from None
        return cls(
            str(tokenizer.name_or_path),
            tokenizer.backend_tokenizer.to_str(),
            template,
            tools_template,
            dict(tokenizer.special_tokens_map),
            tokenizer.eos_token_id,
            len(tokenizer),
            tuple(_put_before(tokenizer)),
        )

    def render(self, messages: list[dict[str, Any]], tools: list[Any], ask: bool, options: dict[str, Any]) -> str:
        """The text of a conversation; with ``ask`` it ends with the beginning of a reply.

        Raises:
            TemplateError, TypeError: as ``chat_template.render``.
        """
        template = self.tools_template if tools else self.template
        variables = {**self.special_tokens, **options}
        return chat_template.render(template, messages, tools or None, add_generation_prompt=ask, **variables)


def generation_stops(model: str) -> tuple[int, ...]:
    """The ids at which a model's generation config ends replies; none if it has no such config."""
    from transformers import GenerationConfig  # imports torch

    try:
        eos = GenerationConfig.from_pretrained(model).eos_token_id
    except OSError:
        return ()
    return tuple(eos) if isinstance(eos, list) else () if eos is None else (eos,)


def _put_before(tokenizer: Any) -> list[int]:
    """The special tokens that the tokenizer puts before a text by itself."""
    bare, whole = (tokenizer("x", add_special_tokens=special)["input_ids"] for special in (False, True))
    return whole[: whole.index(bare[0])] if bare and bare[0] in whole else []
