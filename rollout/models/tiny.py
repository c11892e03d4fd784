"""A tiny, random Qwen3: a few hundred thousand weights and a few hundred tokens, built in a second."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from ...verifiers.errors import ConfigError
from .tokenizer import save_tokenizer

TEMPLATE = Path(__file__).parent / "templates" / "hermes.jinja"
END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
_TAGS = ("think", "tool_call", "tool_response")
_WORDS = ("user", "assistant", "system", "tool")  # words of the chat template, one token each


def build_tiny_model(
    folder: Path,
    *,
    seed: int = 0,
    hidden: int = 128,
    layers: int = 2,
    heads: int = 4,
    kv_heads: int = 2,
    tied: bool = False,
    words: Sequence[str] = (),
    context: int = 1024,
) -> Path:
    """Write weights (float32 safetensors), tokenizer and chat template in Hugging Face's layout, and return ``folder``.

    Args:
        folder: created if it is missing; files of the same names are overwritten.
        seed: of the weights; equal arguments write equal files.
        hidden: width of the residual stream; the MLP is four times as wide.
        layers: decoder layers.
        heads: query heads; they share ``hidden`` evenly.
        kv_heads: key and value heads; each serves as many query heads.
        tied: whether the output layer shares its weights with the embedding.
        words: pieces of text that are one token each.
        context: most tokens that the model can attend to.

    Raises:
        ConfigError: the sizes do not divide evenly.
    """
    if hidden % (2 * heads) or heads % kv_heads:
        raise ConfigError(
            f"hidden must be a multiple of 2 × heads, and heads of kv_heads; found {hidden}, {heads} and {kv_heads}"
        )
    tokenizer = build_tiny_tokenizer(context, words)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=hidden // heads,
        max_position_embeddings=context,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


def build_tiny_tokenizer(context: int = 1024, words: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer: it encodes every text, and each digit and each role of the template is one token.

    Args:
        context: most tokens that the model can attend to.
        words: further pieces of text that are one token each, as frequent words are in a trained tokenizer; a piece
            consists of letters or punctuation, with or without a space before it.

    Raises:
        ConfigError: a piece cannot be one token.
    """
    vocabulary = {symbol: index for index, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: dict[tuple[str, str], None] = {}
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for word in (*_WORDS, *words):
        pieces = splitter.pre_tokenize_str(word)
        if len(pieces) != 1 or any(char.isdigit() for char in word):
            raise ConfigError(f"{word!r} cannot be one token of the tiny tokenizer: give letters or punctuation alone")
        (symbols, _) = pieces[0]
        for end in range(1, len(symbols)):
            merges[symbols[:end], symbols[end]] = None
    for left, right in merges:
        vocabulary.setdefault(left + right, len(vocabulary))
    backend = Tokenizer(BPE(vocab=vocabulary, merges=list(merges)))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(text, normalized=False) for text in (END_OF_TEXT, START, END)])
    tags = [f"<{slash}{tag}>" for tag in _TAGS for slash in ("", "/")]
    backend.add_tokens([AddedToken(text, normalized=False) for text in tags])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        eos_token=END,
        pad_token=END_OF_TEXT,
        extra_special_tokens=[START],
        chat_template=TEMPLATE.read_text(encoding="utf-8"),
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
