"""The verifier ``judge``: one or several language models score a reply by a rubric."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..case import Case
from ..errors import ConfigError, DataError, InfrastructureError
from ..message import Message, is_reply
from ..registry import verifier
from ..text.think import split_reasoning
from ..text.visible import visible
from ..verdict import Verdict, infra_error, unparseable
from .agreement import COMBINE, agreement, combined
from .answers import MARKS, Answers
from .calibration import Calibration, read_calibration
from .model import Answer, NoVerdict, ask_all, judge_models
from .prompt import Question
from .settings import JudgeSettings, check_number

REPLY = "REPLY"
"""The name of the judged text in the prompt."""


@verifier("judge")
@dataclass(frozen=True, kw_only=True)
class Judge(JudgeSettings):
    """A language model scores the reply by ``rubric`` at least ``threshold``.

    The judge sees the task, the task's answer as a reference, and the reply without its reasoning, all as fenced data.
    Its verdict counts only beside a random text of this call, which the reply cannot contain. Verdicts are cached on
    disk, so that scoring the same reply again costs nothing.

    Attributes:
        url, model: an OpenAI-compatible endpoint, as http://localhost:8000/v1, and a model there; lists for several
            judges. A model that is listed several times is asked as often, which needs a temperature above 0.
        rubric: the criteria, in your own words.
        rubric_from: key of the task's ``info`` whose text is added to the criteria as data; empty for none.
        reference: show the task's answer, if it has one.
        conversation: show the whole conversation instead of the task and the last reply.
        reasoning: show the reasoning of the reply, too.
        scale: the lowest and the highest number that the judge may give; they score 0 and 1.
        labels: label → score, instead of a scale.
        threshold: the least score that passes.
        combine: how several judges become one score: mean, majority, min or max.
        calibration: file with the calibration of this judge (docs/judges.md); it turns the score into the probability
            that a person accepts the reply.
        key_variable: environment variable that holds the API key.
        temperature, max_tokens: of the judge's replies; null and 0 leave them to the endpoint.
        options: other fields of the request.
        cache: SQLite file with the verdicts and what they cost; by default one file for all judges of the user.
        concurrency: most calls at once, for each process and model.
        deadline, tries, backoff: seconds of one call; most calls for one reply; seconds before the second call, which
            double each time.
        longest: most characters of a reply; a longer one is a ``limit``.
        prices: cost of a million ``input`` and ``output`` tokens.
        budget: most ``calls``, ``tokens`` and ``money`` of each model in this cache file; calls are exact, the others
            are exceeded by at most the calls that are under way.

    Example:
        {"verifier": "judge", "completion": "<think>hm</think>", "answer": "Paris", "params":
        {"url": "http://localhost:8000/v1", "model": "a-judge", "rubric": "The reply names the capital."}} -> 0.0
    """

    rubric: str
    rubric_from: str = ""
    reference: bool = True
    conversation: bool = False
    reasoning: bool = False
    scale: Sequence[float] = (1, 10)
    labels: Mapping[str, float] = field(default_factory=dict)
    threshold: float = 0.5
    combine: str = "mean"
    calibration: str = ""
    row_params: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.rubric.strip():
            raise ConfigError("a judge's rubric is text with the criteria, found ''")
        check_number("threshold", self.threshold, -1e9)
        if self.combine not in COMBINE:
            raise ConfigError(f"a judge's combine is one of {', '.join(COMBINE)}, found {self.combine!r:.80}")
        _check_scale(self.scale)
        _check_labels(self.labels)
        object.__setattr__(self, "_calibrated", self._read_calibration())

    def check_expected(self, answer: Any, info: Mapping[str, Any]) -> None:
        """Raise ``DataError`` if the task has no text for ``rubric_from``."""
        if self.rubric_from and not isinstance(info.get(self.rubric_from), str):
            raise DataError(f"the task's info has no text {self.rubric_from!r}, which the judge's rubric_from names")

    @property
    def pass_mark(self) -> float:
        """The least score that passes."""
        return self.threshold

    @property
    def answers(self) -> Answers:
        """The possible answers."""
        low, high = self.scale
        return Answers(float(low), float(high), self.labels or None)

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that decide the score, as JSON; a calibration holds for them only."""
        names = ("rubric", "rubric_from", "reference", "conversation", "reasoning", "combine")
        how = {"temperature": self.temperature, "max_tokens": self.max_tokens, "options": dict(self.options)}
        answers = {"scale": [float(end) for end in self.scale], "labels": dict(self.labels)}
        found = {"models": self.models, **how, **answers, **{name: getattr(self, name) for name in names}}
        as_read: dict[str, Any] = json.loads(json.dumps(found))
        return as_read

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` or ``wrong`` with the score.

        The verdict is ``unparseable`` for an empty reply, and for one that keeps a working judge from giving a verdict;
        ``limit`` for one that is too long; ``infra_error`` if the endpoint, the cache or the judge failed.
        """
        reply = shown_reply(case, self.reasoning)
        if not reply:
            return unparseable("the reply is empty")
        try:
            self.check_expected(case.answer, case.task.info)
            question, blamed = self._question(case, reply)
            size = sum(len(text) for name, text in question.data if name in blamed)
            if size > self.longest:
                return Verdict(0.0, "limit", f"the reply has {size} characters, more than longest = {self.longest}")
            given = await ask_all(judge_models(self), question, *blamed)
        except NoVerdict as failure:
            return Verdict(0.0, failure.status, f"the judge gives no verdict on this reply: {failure}")
        except (InfrastructureError, DataError) as error:
            return infra_error(str(error))
        return self._verdict(given)

    def _verdict(self, given: list[Answer]) -> Verdict:
        scores = [self.answers.score(answer.text) for answer in given]
        raw = combined(scores, self.combine)
        calibrated: Calibration | None = getattr(self, "_calibrated", None)
        score = calibrated.apply(raw) if calibrated else raw
        evidence: dict[str, Any] = {
            "models": list(self.models),
            "answers": [answer.text for answer in given],
            "said": [answer.said for answer in given],
            "cached": sum(answer.cached for answer in given),
        }
        if len(given) > 1:
            values = list(self.labels.values())
            evidence["agreement"] = agreement(scores, max(values) - min(values) if values else 1.0)
        if calibrated:
            evidence["uncalibrated"] = raw
        passes = score >= self.threshold
        reason = f"the judge says {', '.join(evidence['answers'])}"
        return Verdict(score, "ok" if passes else "wrong", reason, evidence)

    def _question(self, case: Case, reply: str) -> tuple[Question, list[str]]:
        """The question, and the names of the texts in it that the policy caused: replies, and results of its calls."""
        criteria = [("CRITERIA OF THIS TASK", case.task.info[self.rubric_from])] if self.rubric_from else []
        known = [("REFERENCE ANSWER", as_text(case.answer))] if self.reference and case.answer is not None else []
        if self.conversation:
            named = [
                (f"MESSAGE {number} ({message['role']})", message) for number, message in enumerate(case.messages, 1)
            ]
            said = [(name, self._shown(message)) for name, message in named]
            blamed = [name for name, message in named if is_reply(message) or message["role"] == "tool"]
            what = "the replies of the assistant in the conversation that the MESSAGE parts hold"
        else:
            said, blamed = [("TASK", task_text(case)), (REPLY, reply)], [REPLY]
            what = f"the {REPLY} to the TASK"
        aids = [f"by comparing it with the {name}" for name, _ in known]
        aids += [f"by the {name} as well" for name, _ in criteria]
        instructions = f"You judge {what}{', ' if aids else ''}{' and '.join(aids)}."
        return Question(instructions, self.rubric, (*criteria, *said[:-1], *known, said[-1]), self.answers), blamed

    def _shown(self, message: Message) -> str:
        text = message["content"]
        return text if self.reasoning or not is_reply(message) else split_reasoning(text)[1]

    def _read_calibration(self) -> Calibration | None:
        return read_calibration(self.calibration, self.identity) if self.calibration else None


def shown_reply(case: Case, reasoning: bool) -> str:
    """The text of the last reply that is judged; empty if there is nothing to see."""
    text = case.completion if reasoning else split_reasoning(case.completion)[1]
    return text if visible(text).strip() else ""


def task_text(case: Case) -> str:
    """The task as text."""
    messages = case.task.messages
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{message['role']}:\n{message['content']}" for message in messages)


def as_text(answer: Any) -> str:
    """An expected answer as text."""
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def _check_scale(scale: Any) -> None:
    if not isinstance(scale, list | tuple) or len(scale) != 2:
        raise ConfigError(f"a judge's scale is two numbers, the lower first, found {scale!r:.80}")
    for end in scale:
        check_number("scale", end, -1e6)
    if scale[0] >= scale[1]:
        raise ConfigError(f"a judge's scale is two numbers, the lower first, found {scale!r:.80}")


def _check_labels(labels: Any) -> None:
    if not isinstance(labels, Mapping) or len(labels) == 1:
        raise ConfigError(f"a judge's labels are a table of two or more labels with scores, found {labels!r:.80}")
    for label, score in labels.items():
        if not isinstance(label, str) or not label or label != label.strip(MARKS) or not label.isprintable():
            raise ConfigError(f"a judge's label is text in one line without marks around it, found {label!r:.80}")
        check_number(f"labels.{label}", score, -1e6)
    if len({label.casefold() for label in labels}) < len(labels):
        raise ConfigError(f"two of a judge's labels differ only in case: {', '.join(labels)}")
