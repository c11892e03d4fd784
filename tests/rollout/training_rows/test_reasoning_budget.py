"""A budget of reasoning: at most so many tokens of the model's own tokenizer, and no torn character."""

import pytest

from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.models.tokenizer import load_tokenizer
from lachesis.rollout.training_rows.reasoning_budget import ReasoningBudget


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tokenizer")
    build_tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("text", ["", "one two three four five", "1234567890", "\U0001f600" * 4, "a\ud800b" * 3])
@pytest.mark.parametrize("tokens", [1, 4, 9, 1000])
def test_the_beginning_within_the_budget_stays(model: str, text: str, tokens: int) -> None:
    cut = ReasoningBudget(tokens, model).shorten(text)
    clean = text.replace("\ud800", "\N{REPLACEMENT CHARACTER}")
    assert cut == text or clean.startswith(cut)
    if cut != text:
        assert len(load_tokenizer(model)(cut, add_special_tokens=False)["input_ids"]) <= tokens
