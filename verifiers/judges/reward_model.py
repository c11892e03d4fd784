"""The verifier ``reward_model``: a sequence classifier behind an endpoint scores the reply."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import aiohttp

from ..case import Case
from ..endpoint import CLASSIFY, Endpoint
from ..errors import ConfigError, EngineError, InfrastructureError, RequestRefused
from ..message import Message, is_reply
from ..processes.deadline import pause_deadline
from ..registry import verifier
from ..secrets import without_secrets
from ..text.think import split_reasoning
from ..verdict import Verdict, infra_error, unparseable
from .calibration import Calibration, read_calibration
from .judge import shown_reply
from .prompt import CONTROL, as_data
from .settings import check_number
from .slots import slots_of

_LEAST = {"concurrency": 1, "deadline": 0.001, "tries": 1, "backoff": 0, "longest": 1}


@verifier("reward_model")
@dataclass(frozen=True, kw_only=True)
class RewardModel:
    """A reward model, which is a sequence classifier, scores the reply at least ``threshold``.

    The endpoint has vLLM's route ``/classify``: ``vllm serve MODEL --runner pooling``, or ``lachesis serve-reward
    FOLDER`` for any sequence classifier of transformers. The model sees the task and the reply without its reasoning.
    The score of a model with one output is the sigmoid of it, which is how reward models for pairs are trained; with
    several, it is the probability of the output ``label``.

    Attributes:
        url: of the endpoint, as http://localhost:8000, or a list for one model behind several.
        model: its name there.
        label: which output counts if there are several; -1 is the last one.
        raw: give the output itself as the score, without sigmoid or softmax.
        threshold: the least score that passes; by default 0.5, or 0 for a raw score.
        conversation: show the whole conversation instead of the task and the last reply.
        reasoning: show the reasoning of the reply, too.
        calibration: file with the calibration of this model (docs/judges.md); it turns the score into the probability
            that a person accepts the reply.
        key_variable: environment variable that holds the API key.
        concurrency: most requests at once, for each process; the endpoint puts them into batches.
        deadline, tries, backoff: seconds of one request; most requests for one reply; seconds before the second one,
            which double each time.
        longest: most characters of a reply; a longer one is a ``limit``.

    Example:
        {"verifier": "reward_model", "completion": "<think>hm</think>", "answer": null,
         "params": {"url": "http://localhost:8000", "model": "a-reward-model"}} -> 0.0
    """

    url: str | Sequence[str]
    model: str
    label: int = -1
    raw: bool = False
    threshold: float | None = None
    conversation: bool = False
    reasoning: bool = False
    calibration: str = ""
    key_variable: str = "OPENAI_API_KEY"
    concurrency: int = 64
    deadline: float = 120.0
    tries: int = 4
    backoff: float = 1.0
    longest: int = 100_000
    row_params: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise ConfigError(f"a reward model's model is its name at the endpoint, found {self.model!r:.80}")
        for name, least in _LEAST.items():
            check_number(name, getattr(self, name), least, "reward model")
        for name in ("concurrency", "tries", "longest", "label"):
            if isinstance(getattr(self, name), bool) or not isinstance(getattr(self, name), int):
                raise ConfigError(f"a reward model's {name} is a whole number, found {getattr(self, name)!r:.80}")
        if self.threshold is not None:
            check_number("threshold", self.threshold, -1e9, "reward model")
        if not isinstance(self.key_variable, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.key_variable):
            raise ConfigError(
                "a reward model's key_variable is the name of an environment variable, never the key itself"
            )
        for url in self._urls:
            if without_secrets(url) != url:
                raise ConfigError(
                    f"the URL {without_secrets(url)} has a key in it; put it into a variable: key_variable"
                )
        found = read_calibration(self.calibration, self.identity) if self.calibration else None
        object.__setattr__(self, "_calibrated", found)
        object.__setattr__(self, "_endpoint", self._made_endpoint())

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that decide the score, as JSON; a calibration holds for them only."""
        names = ("model", "label", "raw", "conversation", "reasoning")
        return {"verifier": "reward_model", **{name: getattr(self, name) for name in names}}

    @property
    def pass_mark(self) -> float:
        """The least score that passes."""
        if self.threshold is not None:
            return self.threshold
        return 0.0 if self.raw and not self.calibration else 0.5

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` or ``wrong`` with the score.

        The verdict is ``unparseable`` for an empty reply, or one that the endpoint refuses although it takes a harmless
        one; ``limit`` for a reply that is too long; ``infra_error`` if the endpoint failed.
        """
        reply = shown_reply(case, self.reasoning)
        if not reply:
            return unparseable("the reply is empty")
        messages = self._messages(case, reply)
        blamed = [message for message in messages if message["role"] in ("assistant", "tool")]
        size = sum(len(message["content"]) for message in (blamed if self.conversation else messages[-1:]))
        if size > self.longest:
            return Verdict(0.0, "limit", f"the reply has {size} characters, more than longest = {self.longest}")
        endpoint: Endpoint = self._endpoint  # type: ignore[attr-defined]
        try:
            with pause_deadline():
                async with endpoint.session() as session:
                    outputs = await self._classify(session, messages)
        except RequestRefused as refused:
            return Verdict(0.0, "limit" if refused.overflow else "unparseable", f"the reply is refused: {refused}")
        except InfrastructureError as error:
            return infra_error(str(error))
        return self._verdict(outputs)

    def _verdict(self, outputs: list[float]) -> Verdict:
        if not -len(outputs) <= self.label < len(outputs):
            return infra_error(f"reward model {self.model} has {len(outputs)} outputs, but label = {self.label}")
        raw = outputs[self.label]
        score = raw if self.raw else _probability(outputs, self.label)
        evidence: dict[str, Any] = {"model": self.model, "outputs": outputs}
        calibrated: Calibration | None = self._calibrated  # type: ignore[attr-defined]
        if calibrated:
            evidence["uncalibrated"], score = score, calibrated.apply(score)
        passes = score >= self.pass_mark
        return Verdict(score, "ok" if passes else "wrong", f"the reward model gives {raw:.4g}", evidence)

    async def _classify(self, session: aiohttp.ClientSession, messages: list[dict[str, str]]) -> list[float]:
        """The model's outputs for a conversation.

        Raises:
            RequestRefused: the endpoint takes a harmless reply in place of the last one, but not this.
            EngineError: it takes neither, or failed.
        """
        try:
            return await self._outputs(session, messages)
        except RequestRefused as refused:
            try:
                await self._outputs(session, [*messages[:-1], {"role": "assistant", "content": CONTROL}])
            except RequestRefused:
                raise EngineError(f"reward model {self.model} refuses a harmless reply, too: {refused}") from None
            raise

    async def _outputs(self, session: aiohttp.ClientSession, messages: list[dict[str, str]]) -> list[float]:
        endpoint: Endpoint = self._endpoint  # type: ignore[attr-defined]
        body = {"model": self.model, "messages": messages, "use_activation": False}
        async with slots_of(self._urls[0], self.model, self.concurrency):
            answer = await endpoint.complete(session, body)
        try:
            (row,) = answer["data"]
            outputs = [float(output) for output in row["probs"]]
            if not outputs or not all(map(math.isfinite, outputs)):
                raise ValueError("outputs are finite numbers")
        except (KeyError, TypeError, ValueError) as error:
            told = endpoint.quoted(json.dumps(answer))
            raise EngineError(
                f"reward model {self.model}: not an answer of /classify ({error!r:.100}): {told}"
            ) from None
        return outputs

    def _messages(self, case: Case, reply: str) -> list[dict[str, str]]:
        """What the model sees; control tokens in it are broken, as an endpoint may encode them as tokens."""
        shown: Sequence[Message] = case.messages if self.conversation else case.task.messages
        said = [{"role": message["role"], "content": as_data(self._text(message))} for message in shown]
        return said if self.conversation else [*said, {"role": "assistant", "content": as_data(reply)}]

    def _text(self, message: Message) -> str:
        text = message["content"]
        return text if self.reasoning or not is_reply(message) else split_reasoning(text)[1]

    @property
    def _urls(self) -> tuple[str, ...]:
        urls = [self.url] if isinstance(self.url, str) else self.url
        if not isinstance(urls, list | tuple) or not urls or not all(isinstance(url, str) and url for url in urls):
            raise ConfigError(
                f"a reward model's url is text or a list of texts, found {without_secrets(repr(urls)):.80}"
            )
        return tuple(urls)

    def _made_endpoint(self) -> Endpoint:
        settings: Mapping[str, Any] = {
            name: getattr(self, name) for name in ("key_variable", "deadline", "tries", "backoff")
        }
        return Endpoint(self._urls, route=CLASSIFY, **settings)


def _probability(outputs: Sequence[float], label: int) -> float:
    """The sigmoid of a single output, or the softmax of several at ``label``."""
    if len(outputs) == 1:
        return 1 / (1 + math.exp(min(700.0, max(-700.0, -outputs[0]))))
    highest = max(outputs)
    shares = [math.exp(output - highest) for output in outputs]
    return shares[label] / sum(shares)
