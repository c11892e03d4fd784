"""The language of a text: what the detector is asked, what a script says, and what happens without the package."""

import asyncio
from typing import Any

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.text.instructions import language
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

NAME = "language:response_language"
TEXTS = {
    "de": "Das Wetter in Berlin ist heute schön, und wir gehen nach der Arbeit noch an den See.",
    "en": "The weather in Berlin is fine today, and we shall go to the lake after work.",
    "fr": "Il fait beau à Berlin aujourd'hui, et nous irons encore au lac après le travail.",
    "ja": "今日のベルリンは天気が良いので、仕事のあとで湖に行きます。",
    "ru": "Сегодня в Берлине хорошая погода, и после работы мы пойдём на озеро.",
}


def judge(text: str, code: Any) -> Verdict:
    task = Task("q", answer={"instruction_id_list": [NAME], "kwargs": [{"language": code}]})
    messages: Any = {"policy": ({"role": "assistant", "content": text},)}
    return asyncio.run(make_verifier("instruction", {}).verify(Case(Trajectory(task, messages=messages))))


@pytest.fixture
def package() -> None:
    pytest.importorskip("lingua", reason="the extra `language` is not installed; CI leaves out its 96 MB")


@pytest.mark.usefixtures("package")
def test_a_text_is_in_its_language_and_in_no_other() -> None:
    for code, text in TEXTS.items():
        for asked in TEXTS:
            assert judge(f"{text} " * 4, asked).passed == (asked == code), (code, asked)


@pytest.mark.slow
@pytest.mark.usefixtures("package")
def test_a_short_text_is_judged_by_the_accurate_models() -> None:
    for code, text in TEXTS.items():
        for asked in TEXTS:
            assert judge(text, asked).passed == (asked == code), (code, asked)


def test_a_language_with_a_script_of_its_own_needs_no_package() -> None:
    assert judge("ಇದು ಕನ್ನಡ ವಾಕ್ಯ", "kn").passed
    assert judge("ഇത് ഒരു മലയാളം വാക്യമാണ്", "ml").passed
    assert judge("Ordinary English", "kn").status == "wrong"
    assert judge("123 …", "ml").status == "wrong"


def test_without_the_package_the_cure_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "find_spec", lambda name: None)
    verdict = judge(TEXTS["de"], "de")
    assert verdict.status == "infra_error"
    assert "pip install 'lachesis-rl[language]'" in verdict.reason


@pytest.mark.parametrize("code", ["english", "", 3, None, "ne", "xx"])
def test_a_language_that_cannot_be_is_refused(code: Any) -> None:
    assert judge(TEXTS["de"], code).status == "infra_error"
