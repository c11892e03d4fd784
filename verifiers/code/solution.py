"""Verifier for programs: it runs completions against tests."""

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
from .prelude import with_prelude
from .program import extract_program
from .standard_io import check_outputs
from .suite import as_text, read_pairs, read_texts
from .tally import POLICIES, Policy

Format = Literal["stdin", "call", "humaneval", "mbpp"]
FORMATS: tuple[str, ...] = get_args(Format)
DEFAULT_BUDGET = Budget()
MAX_BUDGET = Budget(timeout=600.0, total=3600.0, memory=16 << 30)
"""Largest limits that an author may set; dataset rows cannot set limits."""

MAX_PROGRAM = MIB // 2
"""Longest program, in bytes of UTF-8."""


@verifier("code")
@dataclass(frozen=True)
class Code:
    r"""The program in the completion passes the task's tests, in a sandbox; reasoning in ``<think>`` does not count.

    ``stdin``: the answer is a list of ``{input, output}``, or ``{"inputs": […], "outputs": […]}``. ``call``: the same,
    with the arguments and the return value of ``fn_name``; texts have one JSON value per line, as in LiveCodeBench.
    Expected values never enter a job. ``humaneval`` and ``mbpp``: the tests and the candidate run in separate jobs.
    Row-specific values (``fn_name``, ``entry_point``, ``test``, ``prompt``, ``canonical_solution``, ``test_list``,
    ``test_setup_code``) may be given here, in the task's answer, or in its info.

    Attributes:
        format: ``stdin``, ``call``, ``humaneval`` or ``mbpp``.
        fn_name: for ``call``: name of the function, or of a method of the class ``Solution``; for ``mbpp``: name of the
            tested function, if the tests call several.
        entry_point: for ``humaneval``: name of the function passed to ``check``.
        test: for ``humaneval``: a script that defines ``check(candidate)``.
        prompt: for ``humaneval``: code that the completion may continue; candidate and tests can use its imports.
        canonical_solution: for ``humaneval``: reference for tests that call the entry point by name; a text answer is
            used as one.
        test_list: for ``mbpp``: statements that are one test each; an answer that is a list of texts is used as one.
        test_setup_code: for ``mbpp``: code that runs before the tests.
        policy: ``all`` scores 1 if all tests pass, else 0, and stops at the first failure; ``fraction`` scores the
            share of tests that pass.
        compare: for ``stdin``: by ``lines`` (ignoring trailing white space), ``tokens``, or ``numbers`` (by value).
        tolerance: allowed absolute or relative difference of non-integer numbers, for ``numbers`` and ``call``.
        in_place: whether asserts see arguments that a call mutated even if it returned a value; they always do if it
            returned None.
        allow_shared: whether trainable trajectories may be scored by tests that cannot be separated from the candidate,
            or that use further functions which only the candidate defines. Others always may, and their evidence says
            so. Only values that the tests make, such as functions, keep them from being separated.
        timeout: seconds per test, or per script.
        total: seconds for all tests of ``stdin`` and ``call`` together.
        memory: bytes per job.

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
    timeout: float = DEFAULT_BUDGET.timeout
    total: float = DEFAULT_BUDGET.total
    memory: int = DEFAULT_BUDGET.memory

    needs_sandbox: ClassVar[bool] = True
    row_params: ClassVar[frozenset[str]] = frozenset(
        {"format", "fn_name", "entry_point", "test", "prompt", "canonical_solution", "test_list", "test_setup_code"}
        | {"policy", "compare", "tolerance", "in_place"}
    )

    def __post_init__(self) -> None:
        for name, known in (("format", FORMATS), ("policy", POLICIES), ("compare", COMPARISONS)):
            if (value := getattr(self, name)) not in known:
                raise ConfigError(f"verifier 'code': unknown {name} {value!r}; {nearest(str(value), known)}")
        for name in ("timeout", "total", "memory"):
            value, most = getattr(self, name), getattr(MAX_BUDGET, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
                raise ConfigError(f"verifier 'code': {name} must be above 0 and at most {most:g}, found {value!r}")
        if not isinstance(self.memory, int) or self.memory < MIB:
            raise ConfigError(
                f"verifier 'code': memory must be a whole number of bytes, at least 1 MiB, found {self.memory!r}"
            )
        if (
            isinstance(self.tolerance, bool)
            or not isinstance(self.tolerance, int | float)
            or not 0 <= self.tolerance < 1
        ):
            raise ConfigError(f"verifier 'code': tolerance must be at least 0 and below 1, found {self.tolerance!r}")

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` or the partial score of the policy, or the status of the first failed test."""
        program = extract_program(case.completion)
        if not program.strip():
            return unparseable("the completion contains no program")
        try:
            size = len(program.encode())
        except UnicodeEncodeError:
            return unparseable("the program contains a lone surrogate, which is not valid text")
        if size > MAX_PROGRAM:
            return Verdict(0.0, "limit", f"the program has {size} bytes, more than {MAX_PROGRAM}")
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
            program = with_prelude(extract_program(case.completion))
            return await check_outputs(case.sandbox, program, texts, budget, self.policy, self.compare, self.tolerance)
        name = self._row_value(case, "fn_name")
        if not name:
            raise DataError("a task of format 'call' needs the name of its function; set 'fn_name'")
        program = extract_program(case.completion, [name])
        try:
            return await check_calls(case.sandbox, program, name, pairs, budget, self.policy, self.tolerance)
        except NotPlain as error:
            raise DataError(f"a test cannot be sent to a job: {error}; repair the dataset") from None

    async def _check_asserts(self, case: Case, budget: Budget) -> Verdict:
        script = self._humaneval(case) if self.format == "humaneval" else self._mbpp(case)
        trusting = self.allow_shared or not case.trajectory.segments
        return await check_asserts(case.sandbox, case.completion, script, budget, self.policy, trusting)

    def _humaneval(self, case: Case) -> Script:
        entry, test = self._row_value(case, "entry_point"), self._row_value(case, "test")
        if not entry.isidentifier() or not test.strip():
            raise DataError("a task of format 'humaneval' needs 'entry_point' and 'test'; set both")
        prompt = self._row_value(case, "prompt")
        canonical = self._row_value(case, "canonical_solution") or (case.answer if isinstance(case.answer, str) else "")
        references = [f"{prompt}\n{canonical}", canonical] if canonical.strip() else []
        return Script([test], [prompt] if prompt else [], entry, prompt, references, self.in_place)

    def _mbpp(self, case: Case) -> Script:
        tests = read_texts(self._row_value(case, "test_list", None), "'test_list'")
        if not tests and isinstance(case.answer, list):
            tests = read_texts(case.answer, "the task's answer")
        if not tests:
            raise DataError("a task of format 'mbpp' needs asserts; set 'test_list'")
        setup = read_texts(self._row_value(case, "test_setup_code"), "'test_setup_code'")
        tested = self._row_value(case, "fn_name") or self._row_value(case, "entry_point")
        return Script(tests, setup, in_place=self.in_place, tested=tested)

    def _row_value(self, case: Case, name: str, default: Any = "") -> Any:
        """Return a row-specific value from this verifier's parameters, the case's, the task's answer, or its info."""
        places: list[Any] = [{name: getattr(self, name)}, case.params, case.answer, case.task.info]
        for place in places:
            if isinstance(place, dict) and place.get(name):
                if not isinstance(place[name], str if default == "" else list):
                    raise DataError(f"{name!r} cannot be {place[name]!r:.80}; repair the dataset")
                return place[name]
        return default
