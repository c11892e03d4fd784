"""Tokens of a formula in plain notation, and the reader that steps through them."""

import re
from typing import Any

from .expression import Budget, Expression, UnsupportedExpression

_TOKEN = re.compile(r"\s*(\d+\.?\d*|\.\d+|\\[A-Za-z]+|[A-Za-z]+|\S)\s*")

GREEK = re.compile(
    r"\\(?:alpha|beta|gamma|delta|(?:var)?epsilon|zeta|eta|(?:var)?theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau"
    r"|upsilon|(?:var)?phi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Sigma|Phi|Psi|Omega|ell)"
)


class TokenReader:
    """A position in the tokens of a formula, one budget of work, and the bound variables around the position.

    Subclasses read one construct with each method, and leave the position after it.
    """

    def __init__(self, text: str, budget: Budget, bound: dict[str, str] | None = None) -> None:
        self._budget = budget
        self._bound = bound or {}
        self._tokens: list[str] = [*_TOKEN.findall(text), ""]
        budget.spend(len(self._tokens) // 4)
        self._at = 0
        self._in_bars = False

    @property
    def _next(self) -> str:
        return self._tokens[self._at]

    def _take(self) -> str:
        token = self._next
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        if self._take() != token:
            raise UnsupportedExpression(f"{token!r} is missing")

    def _is_variable(self) -> bool:
        return (len(self._next) == 1 and self._next.isalpha()) or bool(GREEK.fullmatch(self._next))

    def _sum(self) -> Expression:
        raise NotImplementedError

    def _product(self) -> Expression:
        raise NotImplementedError

    def _argument(self, exponent: bool = False) -> Expression:
        raise NotImplementedError

    def _inside(self, variable: str, read: Any) -> Expression:
        """Return what ``read`` reads while ``variable`` is bound, so that its name does not matter."""
        before = self._bound
        self._bound = {**before, variable: f"#{len(before)}"}
        value: Expression = read()
        self._bound = before
        return value
