import json
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from lachesis.rollout.models.loading import load_model
from lachesis.rollout.models.tiny import build_tiny_model, build_tiny_tokenizer
from lachesis.verifiers.errors import ConfigError

TOKENIZER = build_tiny_tokenizer()


def ids_of(text: str) -> list[int]:
    return list(TOKENIZER.encode(text, add_special_tokens=False))


@pytest.mark.parametrize("tied", [False, True])
def test_a_tiny_model_loads_as_any_hugging_face_folder(tmp_path: Path, tied: bool) -> None:
    folder = build_tiny_model(tmp_path / "new" / "model", hidden=32, layers=1, tied=tied, context=64)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
    assert model.config.vocab_size == len(tokenizer) <= 512
    assert model.config.eos_token_id == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    text = tokenizer.apply_chat_template([{"role": "user", "content": "é"}], tokenize=False)
    assert text == "<|im_start|>user\né<|im_end|>\n"
    assert torch.isfinite(model(torch.tensor([tokenizer.encode(text)])).logits).all()


def test_its_tokenizer_is_written_in_names_that_transformers_4_knows_and_is_read_as_it_was(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path, hidden=32, layers=1)
    written = json.loads((folder / "tokenizer_config.json").read_text())
    assert written["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert written["additional_special_tokens"] == ["<|im_start|>"]
    assert "extra_special_tokens" not in written
    read = AutoTokenizer.from_pretrained(folder)
    assert read.get_vocab() == TOKENIZER.get_vocab()
    assert set(read.all_special_tokens) == set(TOKENIZER.all_special_tokens)


def test_equal_seeds_write_equal_files_and_leave_the_global_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    first, again, other = (
        build_tiny_model(tmp_path / name, seed=seed, hidden=32) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert torch.rand(()) == torch.rand((), generator=torch.Generator().manual_seed(7))
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
    assert (first / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()


def test_sizes_that_do_not_divide_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="multiple"):
        build_tiny_model(tmp_path, hidden=100, heads=3)


def test_a_sum_is_a_prompt_of_fourteen_tokens() -> None:
    messages = [{"role": "user", "content": "21+43="}]
    assert len(TOKENIZER.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]) == 14


def test_every_digit_is_one_token() -> None:
    number = str(random.Random(0).randrange(10**60))
    assert [TOKENIZER.decode([token]) for token in ids_of(number)] == list(number)


@given(st.text())
def test_every_text_can_be_encoded_and_comes_back(text: str) -> None:
    assert TOKENIZER.decode(ids_of(text), skip_special_tokens=False) == text


@pytest.mark.parametrize(
    "word", ["user", "assistant", "system", "tool", "\n", "<think>", "</tool_response>", "<|im_end|>"]
)
def test_the_words_of_the_template_cost_one_token(word: str) -> None:
    assert len(ids_of(word)) == 1


def test_a_word_of_ones_own_is_one_token_and_every_other_text_still_comes_back() -> None:
    tokenizer = build_tiny_tokenizer(words=["calculate", '":', ' "'])
    call = '{"name": "calculate"}'
    ids = tokenizer.encode(call, add_special_tokens=False)
    assert [tokenizer.decode([token]) for token in ids if len(tokenizer.decode([token])) > 1] == [
        '":',
        ' "',
        "calculate",
    ]
    assert tokenizer.decode(ids) == call
    assert len(ids) < len(ids_of(call))


@pytest.mark.parametrize("word", ["two words", "x1", ""])
def test_a_word_that_cannot_be_one_token_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="cannot be one token"):
        build_tiny_tokenizer(words=[word])


def test_weights_that_were_cut_off_are_one_clear_refusal(tmp_path: Path) -> None:
    build_tiny_model(tmp_path, hidden=32, layers=1)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ConfigError, match="holds no causal language model that can be loaded"):
        load_model(str(tmp_path), torch.float32, "cpu")
