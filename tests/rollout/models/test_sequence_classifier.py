"""Sequence classifiers: the outputs of transformers, alone and in a batch, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

from lachesis.rollout.models.sequence_classifier import SequenceClassifier, TooLong
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.verifiers.errors import ConfigError, DataError

TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello you"}]


@pytest.fixture(scope="module")
def classifier(tiny_reward_model: Path) -> SequenceClassifier:
    return SequenceClassifier(str(tiny_reward_model))


def test_outputs_are_those_of_transformers_and_the_same_in_a_batch(classifier: SequenceClassifier) -> None:
    talks = [TALK, [TALK[0], {"role": "assistant", "content": "x " * 30}], TALK[:1]]
    tokens = [classifier.encode(talk) for talk in talks]
    text = classifier.tokenizer.apply_chat_template(TALK, tokenize=False)
    assert tokens[0] == classifier.tokenizer(text)["input_ids"]
    with torch.inference_mode():
        expected = [classifier.model(input_ids=torch.tensor([each])).logits[0].tolist() for each in tokens]
    for found, right in zip(classifier.outputs(tokens), expected, strict=True):
        assert found == pytest.approx(right, abs=1e-5)
    assert len({output[0] for output in expected}) == 3
    assert classifier.labels == ["LABEL_0"]


def test_a_model_without_a_padding_token_computes_one_by_one(classifier: SequenceClassifier) -> None:
    tokens = [classifier.encode(TALK), classifier.encode(TALK[:1])]
    expected = classifier.outputs(tokens)
    pad, classifier.model.config.pad_token_id = classifier.model.config.pad_token_id, None
    try:
        assert [each[0] for each in classifier.outputs(tokens)] == pytest.approx(
            [each[0] for each in expected], abs=1e-5
        )
    finally:
        classifier.model.config.pad_token_id = pad


def test_without_a_chat_template_the_prompt_and_the_reply_are_a_pair(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hi", "hello", "you"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = BertConfig(
        vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=3
    )
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    made = SequenceClassifier(str(tmp_path))
    assert [words[token] for token in made.encode(TALK)] == "[CLS] hi [SEP] hello you [SEP]".split()  # noqa: SIM905
    (outputs,) = made.outputs([made.encode(TALK)])
    assert len(outputs) == len(made.labels) == 3


def test_what_is_too_long_or_no_conversation_is_refused(classifier: SequenceClassifier) -> None:
    long: list[dict[str, Any]] = [{"role": "user", "content": "x " * 2000}]
    with pytest.raises(TooLong, match=r"has \d+ tokens, and the maximum context length is 512"):
        classifier.encode(long)
    with pytest.raises(DataError, match="the chat template refuses"):
        classifier.encode([{"role": "user"}])


def test_a_language_model_is_refused_because_its_outputs_would_be_random(tmp_path: Path) -> None:
    build_tiny_model(tmp_path, hidden=32, layers=1)
    with pytest.raises(ConfigError, match=r"has no weights for score.weight, so its outputs would be random"):
        SequenceClassifier(str(tmp_path))
    with pytest.raises(ConfigError, match=r"holds no (tokenizer|sequence classifier)"):
        SequenceClassifier(str(tmp_path / "gone"))
