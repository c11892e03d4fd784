"""One model that judges: its endpoint, its cache, its limits and its budget."""

import asyncio
import hashlib
import json
import math
import secrets
import threading
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from weakref import WeakValueDictionary

import aiohttp

from ..endpoint import Endpoint
from ..errors import EngineError, InfrastructureError, RequestRefused
from ..processes.deadline import pause_deadline
from .answers import read_verdict
from .cache import Spent
from .prompt import VERSION, Question
from .settings import JudgeSettings
from .slots import Slots, slots_of

Result = TypeVar("Result")

REPLIES = 2
"""How often a question is asked if the judge's reply has no verdict."""
LONGEST_KEPT = 2000
"""Characters of a judge's reply that the cache and the evidence keep: its end."""


class NoVerdict(Exception):
    """The judge replied, but without a verdict; or the endpoint took no request with this text.

    Args:
        reason: in one line.
        status: of the verdict on the judged text, if that text is the reason.
        proven: whether the judge was found to work on a harmless text.
    """

    def __init__(
        self, reason: str, status: Literal["unparseable", "limit"] = "unparseable", proven: bool = False
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.proven = proven


@dataclass(frozen=True)
class Answer:
    """A judge's answer.

    Attributes:
        text: the label or number.
        said: the end of its reply.
        cached: whether it was in the cache.
    """

    text: str
    said: str
    cached: bool


class JudgeModel:
    """Asks one model behind one endpoint.

    Args:
        settings: of the judge.
        url: of the endpoint.
        model: the name that the endpoint knows it by.
        number: how many judges with the same model come before it; each has cached answers of its own.
    """

    def __init__(self, settings: JudgeSettings, url: str, model: str, number: int) -> None:
        self.model = model
        self.endpoint = Endpoint(
            url,
            key_variable=settings.key_variable,
            deadline=settings.deadline,
            tries=settings.tries,
            backoff=settings.backoff,
        )
        self._settings = settings
        self._number = number
        self._cache = settings.file
        self._slots = slots_of(url, model, settings.concurrency)

    async def ask(self, session: aiohttp.ClientSession, question: Question, *blamed: str) -> Answer:
        """The judge's answer, from the cache if it is there.

        If the judge gives no verdict, it is asked the same about a harmless text in place of the texts ``blamed``. If
        it can judge that one, these texts are the reason, and the failure is cached.

        Raises:
            NoVerdict: the texts ``blamed`` keep the judge from giving a verdict; without any, it gives none.
            InfrastructureError: the endpoint or the cache failed, the budget is used up, or the judge gives no
                verdict on a harmless text either.
        """
        with pause_deadline():
            try:
                return await self._ask(session, question)
            except NoVerdict as failure:
                if failure.proven or not blamed:
                    raise
                try:
                    await self._ask(session, question.with_control(*blamed), fresh=True)
                except NoVerdict as worse:
                    raise EngineError(
                        f"judge {self.model}: {worse}, also on a harmless reply; raise max_tokens, or use another model"
                    ) from None
                kept = {"failure": str(failure), "status": failure.status}
                await asyncio.to_thread(self._cache.put, self._key(question), kept)
                raise

    async def _ask(self, session: aiohttp.ClientSession, question: Question, fresh: bool = False) -> Answer:
        """The answer to one question; with ``fresh`` from the judge as it works now, not from the cache."""
        key = self._key(question)
        async with _flight(f"{self._cache.path} {key}"):  # attempts of a group often have the same reply
            kept = None if fresh else await asyncio.to_thread(self._cache.get, key)
            if kept and "failure" in kept:
                raise NoVerdict(kept["failure"], kept["status"], proven=True)
            if kept:
                return Answer(kept["answer"], kept["said"], cached=True)
            why = ""
            for _ in range(REPLIES):
                fence, nonce = secrets.token_hex(8), secrets.token_hex(8)
                reply = await self._reply(session, question.messages(fence, nonce))
                answer, why = read_verdict(reply, nonce, question.answers)
                if answer is not None:
                    said = self.endpoint.without_key(reply)[-LONGEST_KEPT:]
                    await asyncio.to_thread(self._cache.put, key, {"answer": answer, "said": said})
                    return Answer(answer, said, cached=False)
            raise NoVerdict(why)

    async def _reply(self, session: aiohttp.ClientSession, messages: list[dict[str, str]]) -> str:
        body: dict[str, Any] = {**self._settings.options, "model": self.model, "messages": messages}
        if self._settings.temperature is not None:
            body["temperature"] = self._settings.temperature
        if self._settings.max_tokens:
            body["max_tokens"] = self._settings.max_tokens
        async with self._slots:
            try:
                completion = await self.endpoint.complete(session, body, self._start_call)
            except RequestRefused as refused:
                raise NoVerdict(str(refused), "limit" if refused.overflow else "unparseable") from None
        try:
            choice = completion["choices"][0]
            content, finish = choice["message"].get("content"), choice.get("finish_reason")
            if not isinstance(content, str | None):
                raise TypeError("the content is text")
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            shown = self.endpoint.quoted(json.dumps(completion))
            raise EngineError(f"judge {self.model}: not a chat completion ({error!r:.100}): {shown}") from None
        used = _used(completion.get("usage"), body, content or "")
        await asyncio.to_thread(self._cache.add_tokens, self.model, used)
        if finish == "length":
            raise NoVerdict(f"the judge's reply was cut off (max_tokens = {self._settings.max_tokens})")
        return content or ""

    async def _start_call(self) -> None:
        reason = await asyncio.to_thread(self._cache.start_call, self.model, self._refuse)
        if reason:
            raise InfrastructureError(reason)

    def _refuse(self, spent: Spent) -> str:
        """Why the budget does not allow another call; empty if it does."""
        prices = dict(self._settings.prices)
        used = {"calls": spent.calls, "tokens": spent.input + spent.output, "money": spent.money(prices)}
        for name, most in self._settings.budget.items():
            if used[name] >= most:
                return (
                    f"judge {self.model}: the budget of {most:g} {name} is used up ({used[name]:g} in "
                    f"{self._cache.path}); raise budget.{name}, or start another file with cache="
                )
        return ""

    def _key(self, question: Question) -> str:
        """A digest of the model, the question and the parameters; never of the API key."""
        asked = [question.instructions, question.rubric, question.data, question.answers.described]
        how = [self._settings.temperature, self._settings.max_tokens, dict(self._settings.options), self._number]
        return hashlib.sha256(json.dumps([VERSION, self.model, asked, how], sort_keys=True).encode()).hexdigest()


def judge_models(settings: JudgeSettings) -> list[JudgeModel]:
    """The models of a judge."""
    names = settings.models
    return [
        JudgeModel(settings, url, model, names[:place].count(model))
        for place, (url, model) in enumerate(zip(settings.urls, names, strict=True))
    ]


async def ask_all(models: Sequence[JudgeModel], question: Question, *blamed: str) -> list[Answer]:
    """The answer of each model, asked at once; raises as ``JudgeModel.ask``."""
    async with models[0].endpoint.session() as session:
        return await gathered(model.ask(session, question, *blamed) for model in models)


async def gathered(coroutines: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """All results. If some raise, one error is raised after all have ended; ``NoVerdict`` only if there is no other."""
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    for failure in sorted(failures, key=lambda failure: isinstance(failure, NoVerdict)):
        raise failure
    return [result for result in results if not isinstance(result, BaseException)]


_flights: WeakValueDictionary[str, Slots] = WeakValueDictionary()
_flights_lock = threading.Lock()


def _flight(name: str) -> Slots:
    """The slot of one question, so that it is not asked twice at the same time."""
    with _flights_lock:
        return _flights.setdefault(name, Slots(1))


def _used(usage: Any, body: dict[str, Any], content: str) -> Spent:
    """The tokens of a call; if the endpoint does not say, estimated as a third of the bytes."""
    said = usage if isinstance(usage, dict) else {}
    asked = sum(len(message["content"].encode("utf-8", "replace")) for message in body["messages"])
    return Spent(0, _count(said.get("prompt_tokens"), asked), _count(said.get("completion_tokens"), len(content)))


def _count(said: Any, size: int) -> int:
    plausible = isinstance(said, int) and not isinstance(said, bool) and 0 <= said <= 10**8
    return said if plausible else math.ceil(size / 3)
