"""The verifier of programs: completions that are run against tests."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from ..case import Case
from ..errors import ConfigError, DataError, InfrastructureError, nearest
from ..registry import verifier
from ..sandbox.job import MIB
from ..verdict import Verdict, infra_error, unparseable
from .asserts import Script, check_asserts
from .budget import Budget
from .calls import check_calls
from .inside.wire import NotPlain
from .outputs import COMPARISONS, Compare
from .program import program_in
from .standard_io import check_outputs
from .suite import as_call, as_text, read_pairs, read_texts
from .tally import POLICIES, Policy

Format = Literal["stdin", "call", "humaneval", "mbpp"]
FORMATS: tuple[str, ...] = get_args(Format)
USUAL = Budget()
MOST = Budget(timeout=600.0, total=3600.0, memory=16 << 30)
"""What an author may allow; a dataset's row may not set limits at all."""


@verifier("code")
@dataclass(frozen=True)
class Code:
    r"""The program in the completion passes the task's tests, in a sandbox; reasoning in ``<think>`` does not count.

    ``stdin``: the answer is a list of ``{input, output}``, or ``{"inputs": […], "outputs": […]}``. ``call``: the same,
    with the arguments of ``fn_name`` and what it returns; text holds one JSON value a line, as in LiveCodeBench. What
    is expected never enters a job. ``humaneval`` and ``mbpp``: the tests run in one job and the candidate in another.
    What is a row's own (``fn_name``, ``entry_point``, ``test``, ``prompt``, ``canonical_solution``, ``test_list``,
    ``test_setup_code``) may stand here, in the task's answer, or in its info.

    Attributes:
        format: ``stdin``, ``call``, ``humaneval`` or ``mbpp``.
        fn_name: ``call``: the function, or the method of a class ``Solution``.
        entry_point: ``humaneval``: the function that ``check`` is given.
        test: ``humaneval``: a script that defines ``check(candidate)``.
        prompt: ``humaneval``: what the completion may go on from; its imports and helpers serve candidate and tests.
        canonical_solution: ``humaneval``: what tests get that call the entry point by name; an answer in text is one.
        test_list: ``mbpp``: statements that are a test each; an answer that is a list of texts is one.
        test_setup_code: ``mbpp``: what runs before them.
        policy: ``all``: 1 if all tests pass, else 0, ending at the first that fails; ``fraction``: the share that pass.
        compare: ``stdin``: by ``lines`` (but for white space at their ends), ``tokens``, or ``numbers`` (by value).
        tolerance: absolute or relative difference of numbers that are not whole, for ``numbers`` and ``call``.
        in_place: whether asserts see arguments that a call changed though it returned something; they do so anyway
            where it returned None.
        allow_shared: whether trajectories that can be trained on may be judged by tests that cannot be split from the
            candidate, or that use names which only the candidate defines. Others may, and their evidence says so.
        timeout: seconds that one test may take, one script in all.
        total: seconds that all tests of ``stdin`` and ``call`` may take together.
        memory: bytes of one job.

    Example:
        {"verifier": "code", "completion": "```python\ndef inc(x):\n    return x + 1\n```",
         "answer": {"inputs": [[1], [2]], "outputs": [2, 3]}, "params": {"format": "call", "fn_name": "inc"}} -> 1.0
    """

    format: Format = "stdin"
    fn_name: str = ""
    entry_point: str = ""
    test: str = ""
    prompt: str = ""
    canonical_solution: str = ""
    test_list: list[str] | None = None
    test_setup_code: str = ""
    policy: Policy = "all"
    compare: Compare = "lines"
    tolerance: float = 0.0
    in_place: bool = False
    allow_shared: bool = False
    timeout: float = USUAL.timeout
    total: float = USUAL.total
    memory: int = USUAL.memory

    needs_sandbox: ClassVar[bool] = True
    row_params: ClassVar[frozenset[str]] = frozenset(
        {"format", "fn_name", "entry_point", "test", "prompt", "canonical_solution", "test_list", "test_setup_code"}
        | {"policy", "compare", "tolerance", "in_place"}
    )

    def __post_init__(self) -> None:
        for name, known in (("format", FORMATS), ("policy", POLICIES), ("compare", COMPARISONS)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"verifier 'code' has no {name} {getattr(self, name)!r}; {nearest(str(getattr(self, name)), known)}"
                )
        for name in ("timeout", "total", "memory"):
            value, most = getattr(self, name), getattr(MOST, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
                raise ConfigError(f"verifier 'code': {name} is above 0 and at most {most:g}, found {value!r}")
        if not isinstance(self.memory, int) or self.memory < MIB:
            raise ConfigError(
                f"verifier 'code': memory is a whole number of bytes, 1 MiB or more, found {self.memory!r}"
            )
        if (
            isinstance(self.tolerance, bool)
            or not isinstance(self.tolerance, int | float)
            or not 0 <= self.tolerance < 1
        ):
            raise ConfigError(f"verifier 'code': tolerance is at least 0 and below 1, found {self.tolerance!r}")

    async def verify(self, case: Case) -> Verdict:
        """The policy's score, or ``wrong``, ``timeout`` or ``limit`` by the first test that failed."""
        program = program_in(case.completion)
        if not program.strip():
            return unparseable("the completion holds no program")
        try:
            program.encode()
        except UnicodeEncodeError:
            return unparseable("the program holds half of a surrogate pair, which is no text")
        budget = Budget(timeout=self.timeout, total=self.total, memory=self.memory)
        try:
            if self.format in ("stdin", "call"):
                return await self._check_pairs(case, budget)
            return await self._check_asserts(case, budget)
        except (DataError, InfrastructureError) as error:
            return infra_error(str(error))

    async def _check_pairs(self, case: Case, budget: Budget) -> Verdict:
        pairs = read_pairs(case.answer)
        if self.format == "stdin":
            texts = [as_text(pair) for pair in pairs]
            program = program_in(case.completion)
            return await check_outputs(case.sandbox, program, texts, budget, self.policy, self.compare, self.tolerance)
        name = self._given(case, "fn_name")
        if not name:
            raise DataError("a task of format 'call' names its function; give 'fn_name'")
        program = program_in(case.completion, [name])
        try:
            calls = [as_call(pair) for pair in pairs]
            return await check_calls(case.sandbox, program, name, calls, budget, self.policy, self.tolerance)
        except NotPlain as error:
            raise DataError(f"a test cannot cross into a job: {error}; repair the dataset") from None

    async def _check_asserts(self, case: Case, budget: Budget) -> Verdict:
        script = self._humaneval(case) if self.format == "humaneval" else self._mbpp(case)
        trusting = self.allow_shared or not case.trajectory.segments
        return await check_asserts(case.sandbox, case.completion, script, budget, self.policy, trusting)

    def _humaneval(self, case: Case) -> Script:
        entry, test = self._given(case, "entry_point"), self._given(case, "test")
        if not entry.isidentifier() or not test.strip():
            raise DataError("a task of format 'humaneval' has 'entry_point' and 'test'; give both")
        prompt = self._given(case, "prompt")
        canonical = self._given(case, "canonical_solution") or (case.answer if isinstance(case.answer, str) else "")
        references = [f"{prompt}\n{canonical}", canonical] if canonical.strip() else []
        return Script([test], [prompt] if prompt else [], entry, prompt, references, self.in_place)

    def _mbpp(self, case: Case) -> Script:
        tests = read_texts(self._given(case, "test_list", None), "'test_list'")
        if not tests and isinstance(case.answer, list):
            tests = read_texts(case.answer, "the task's answer")
        if not tests:
            raise DataError("a task of format 'mbpp' has asserts; give 'test_list'")
        setup = read_texts(self._given(case, "test_setup_code"), "'test_setup_code'")
        return Script(tests, setup, in_place=self.in_place)

    def _given(self, case: Case, name: str, default: Any = "") -> Any:
        """What is the row's own: of this verifier's parameters, the case's, the task's answer, or its info."""
        places: list[Any] = [{name: getattr(self, name)}, case.params, case.answer, case.task.info]
        for place in places:
            if isinstance(place, dict) and place.get(name):
                if not isinstance(place[name], str if default == "" else list):
                    raise DataError(f"{name!r} cannot be {place[name]!r:.80}; repair the dataset")
                return place[name]
        return default
