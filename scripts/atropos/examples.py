"""Environments of the Atropos repository, with what each needs to be played by a tiny model without a download."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Example:
    """An environment of the repository.

    Attributes:
        file: under ``environments/``.
        calls: how it samples.
        replies: what the warm start teaches.
        options: further options of its command.
        installs: what it needs from PyPI.
        data: writes what it reads, into the folder in which it is started.
        context: tokens of prompt and reply together.
        earlier: how many turns a conversation may have before the one that is asked for.
        in_file: whether the engine is named in a file: its ``config_init`` returns one server that is not in a list,
            and atroposlib 0.4.0 then asks localhost:9004 to 9007, whatever the command says.
    """

    file: str
    calls: str
    replies: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)
    installs: tuple[str, ...] = ()
    data: Callable[[Path], None] | None = None
    context: int = 768
    earlier: tuple[int, ...] = (0,)
    in_file: bool = False


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """One JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def dataset(name: str, config: str, rows: list[dict[str, Any]]) -> Callable[[Path], None]:
    """Writes a folder that ``datasets.load_dataset(name, config)`` takes for the dataset of this name on the Hub."""

    def write(folder: Path) -> None:
        splits = ("train", "test")
        for split in splits:
            write_rows(folder / name / f"{split}.jsonl", rows)
        files = "".join(f"  - split: {split}\n    path: {split}.jsonl\n" for split in splits)
        card = f"---\nconfigs:\n- config_name: {config}\n  data_files:\n{files}---\n"
        (folder / name / "README.md").write_text(card)

    return write


def word_corpus(folder: Path) -> None:
    """A corpus of made-up words, where NLTK looks for the one that it would download."""
    rng = random.Random(0)
    words = {"".join(rng.choices("abcde", k=rng.randrange(3, 9))) for _ in range(2000)}
    path = folder / "nltk_data" / "corpora" / "words" / "en"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(sorted(words)) + "\n")


def dictionary(folder: Path) -> None:
    """Words of three letters."""
    letters = "ABCDEGHILMNOPRST"
    (folder / "words.txt").write_text("\n".join(a + b + c for a in letters for b in "AEIO" for c in letters))


def call(**arguments: str) -> str:
    """A call of blackjack's one tool."""
    return f"<tool_call>\n{json.dumps({'arguments': arguments, 'name': 'take_action'})}\n</tool_call>"


SUMS = [{"question": f"What is {a} + {b}?", "answer": f"#### {a + b}"} for a in (1, 2) for b in (1, 2)] * 10
LETTERS = [
    {
        "prompt": f"Which letter is {x}?",
        "answer": "ABCD".index(x),
        "ground_truth": x,
        "options": ["one", "two", "three", "four"],
    }
    for x in "ABCD" * 30
]
WORDS = ("abcab", "aabbc", "cabba")
EXAMPLES = {
    "gsm8k": Example(
        "gsm8k_server.py",
        "managed_server, chat",
        tuple(f"<think>\nadd them\n</think>\n\\boxed{{{k}}}" for k in (2, 3, 4)),
        data=dataset("gsm8k", "main", SUMS),
        in_file=True,
    ),
    "letter_counting": Example(
        "letter_counting_environment/letter_counting_environment.py",
        "managed_server, chat",
        tuple(f"<think>\ncount them\n</think>\n<answer>{k}</answer>" for k in (0, 1, 2)),
        {"starting_difficulty_level": "1", "max_difficulty_level": "1", "max_generation_tokens": "60"},
        data=word_corpus,
    ),
    "text_reversal": Example(
        "text_reversal_environment.py",
        "chat_completion",
        tuple(f"<reversed_text>{word[::-1]}</reversed_text>" for word in WORDS),
        {
            **{"train_dataset": "texts.jsonl", "eval_dataset": "texts.jsonl", "eval_split": "train"},
            **{"thinking_mode": "false", "train_max_tokens": "60"},
        },
        data=lambda folder: write_rows(folder / "texts.jsonl", [{"text": word} for word in WORDS * 20]),
    ),
    "mcqa_thinking": Example(
        "mcqa_thinking_env.py",
        "managed_server, text",
        tuple(f"<think>\nlook\n</think>\nThe best answer is: {letter}" for letter in "ABCD"),
        data=dataset("NousResearch/AcademicMCQA", "default", LETTERS),
    ),
    "reasoning_gym": Example(
        "reasoning_gym_environment/reasoning_gym_environment.py",
        "managed_server, text",
        tuple(f"<think>\nso\n</think>\n<answer>{x}</answer>" for x in ("0", "1", "2", "Yes", "No", "True", "False")),
        {"complexity_mode": "random", "max_token_length": "1000"},
        installs=("reasoning-gym",),
        context=1024,
    ),
    "regex_generation": Example(
        "community/regex_generation/regex_env.py",
        "managed_server, chat",
        tuple(f"<answer>{x}</answer>" for x in ("[a-z]+", "[A-Za-z]+", "[0-9]+", ".*", "[A-Z0-9]+", "[a-z0-9@.]+")),
        context=1024,
    ),
    "word_hunt": Example(
        "community/word_hunt/word_hunt_env.py",
        "completion",
        ("TEN, SEA, TEA, ORE", "TAN, RAT, SIT, TIE", "HOT, TOE, NET, ION", "LID, LIE, AND, DEN"),
        {"dictionary_path": "words.txt", "max_tokens_per_game": "40"},
        data=dictionary,
    ),
    "blackjack_no_thinking": Example(
        "game_environments/gymnasium/blackjack/blackjack_env_no_thinking.py",
        "chat_completion, several turns",
        (call(action="hit"), call(action="stick")),
        {"max_token_length": "4000"},
        context=1024,
        earlier=(0, 1, 2),
    ),
    "blackjack_thinking": Example(
        "game_environments/gymnasium/blackjack/blackjack_env_thinking.py",
        "completion, several turns",
        (f"hm\n</think>\n{call(action='hit')}", f"hm\n</think>\n{call(action='stick')}"),
        {"max_trajectory_tokens": "1024", "ensure_scores_are_not_same": "false"},
        context=1024,
        earlier=(0, 1, 2),
    ),
    "gym_taxi": Example(
        "game_environments/gymnasium/gym_taxi.py",
        "chat_completion, several turns",
        tuple("012334"),
        {"max_token_length": "2500"},
        context=2560,
        earlier=(0, 1, 2),
    ),
}
