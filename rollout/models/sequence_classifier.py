"""A sequence classifier, such as a reward model, loaded from a Hugging Face folder."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...verifiers.errors import DataError
from .loading import load_sequence_classifier
from .tokenizer import load_tokenizer

Conversation = Sequence[Mapping[str, Any]]


class TooLong(DataError):
    """A conversation has more tokens than the model takes."""


class SequenceClassifier:
    """Gives its outputs for conversations.

    Args:
        path: folder or Hub id of a sequence classifier of transformers.
        device: where it computes; float32 on a CPU, the stored type elsewhere.
        context: most tokens of a conversation; 0 takes the model's own limit.

    Raises:
        ConfigError: there is no such model, or its outputs have no weights.
    """

    def __init__(self, path: str, device: str = "cpu", context: int = 0) -> None:
        self.tokenizer: Any = load_tokenizer(path)
        self.model: Any = load_sequence_classifier(path, torch.float32 if device == "cpu" else "auto", device)
        self._device = device
        limits = [context, getattr(self.model.config, "max_position_embeddings", 0), self.tokenizer.model_max_length]
        self.context = min(limit for limit in limits if limit and limit > 0)

    @property
    def labels(self) -> list[str]:
        """The names of the outputs."""
        names = self.model.config.id2label
        return [str(names.get(number, number)) for number in range(int(self.model.config.num_labels))]

    def encode(self, messages: Conversation) -> list[int]:
        """The tokens of a conversation: by the chat template, or without one as a pair of prompt and last reply.

        Raises:
            DataError: the template refuses it, or it is too long (``TooLong``).
        """
        if self.tokenizer.chat_template:
            try:
                text = _whole(self.tokenizer.apply_chat_template(list(messages), tokenize=False))
            except Exception as error:  # noqa: BLE001 - a template is a program of the model's author
                raise DataError(f"the chat template refuses the conversation: {error!s:.200}") from None
            tokens = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        else:
            *before, last = (_whole(str(message["content"])) for message in messages)
            tokens = self.tokenizer(*(["\n\n".join(before)] if before else []), last)["input_ids"]
        if len(tokens) > self.context:
            raise TooLong(
                f"the conversation has {len(tokens)} tokens, and the maximum context length is {self.context}"
            )
        if not tokens:
            raise DataError("the conversation has no tokens; give a message with text")
        return [int(token) for token in tokens]

    def outputs(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """The outputs for each sequence of tokens, before sigmoid or softmax.

        Sequences are padded to one length if the model has a padding token, and computed one by one if it has none.
        """
        pad = self.model.config.pad_token_id
        if pad is None and len(batch) > 1:
            return [output for one in batch for output in self.outputs([one])]
        size = max(map(len, batch))
        ids = torch.full((len(batch), size), pad or 0, dtype=torch.long)
        mask = torch.zeros((len(batch), size), dtype=torch.long)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        with torch.inference_mode():
            logits = self.model(input_ids=ids.to(self._device), attention_mask=mask.to(self._device)).logits
        found: list[list[float]] = logits.float().cpu().tolist()
        return found


def _whole(text: str) -> str:
    """The text with question marks for lone surrogates, which tokenizers refuse."""
    return text.encode("utf-8", "replace").decode()
