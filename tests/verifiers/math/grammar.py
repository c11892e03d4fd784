"""A seeded grammar of answer pairs: one value written twice in different notations, or two values that look alike."""

import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from math import gcd
from typing import NamedTuple

Rng = random.Random


class Pair(NamedTuple):
    """An expected answer, a reply, whether it is right, and the rule that made both."""

    gold: str
    reply: str
    equal: bool
    rule: str


def pairs(seed: int, count: int) -> Iterator[Pair]:
    """Yield ``count`` pairs; every rule comes equally often, and about half of the pairs are equal."""
    rng = Rng(seed)
    names = sorted(RULES)
    for number in range(count):
        rule = names[number % len(names)]
        equal = rng.random() < 0.5
        gold, same, other = RULES[rule](rng)
        yield Pair(gold, said(rng, same if equal else other), equal, rule)


def said(rng: Rng, answer: str) -> str:
    """Put an answer into a box, decorated or not, after some reasoning."""
    box = rng.choice((r"\boxed{%s}", r"\boxed{%s}", r"\boxed{ %s }", r"\boxed{\displaystyle %s}", r"\boxed{%s.}"))
    return rng.choice(("So it is $%s$.", "Thus, the answer is\n$$%s$$", r"We get \(%s\).", "**Answer:** $%s$")) % (
        box % answer
    )


def pick(rng: Rng, *forms: str) -> str:
    return rng.choice(forms)


def number(rng: Rng) -> tuple[str, str, str]:
    value = Fraction(rng.randint(-40, 40) or 3, rng.choice((1, 2, 3, 4, 5, 7, 8, 9, 10, 16)))
    other = value + rng.choice((1, -1, Fraction(1, 2)))
    return rational(rng, value), rational(rng, value), rational(rng, other)


def rational(rng: Rng, value: Fraction) -> str:
    p, q, sign = abs(value.numerator), value.denominator, "-" if value < 0 else ""
    if q == 1:
        return pick(rng, f"{sign}{p}", f"{sign}{p}.0", sign.replace("-", "−") + str(p), rf"\mathbf{{{sign}{p}}}")
    forms = [
        rf"{sign}\frac{{{p}}}{{{q}}}",
        rf"{sign}\dfrac{{{p}}}{{{q}}}",
        f"{sign}{p}/{q}",
        rf"\frac{{{sign}{p}}}{{{q}}}",
    ]
    forms += [rf"{sign}\frac{{{2 * p}}}{{{2 * q}}}", rf"\\frac{{{sign}{p}}}{{{q}}}"]
    if p < 10 and q < 10:
        forms.append(rf"{sign}\frac{p}{q}")
    if 10000 % q == 0:
        forms += [f"{float(value)}", rf"{float(value)}0"]
    if p > q:
        forms.append(rf"{sign}{p // q}\frac{{{p % q}}}{{{q}}}")
    return rng.choice(forms)


def percentage(rng: Rng) -> tuple[str, str, str]:
    n = rng.randint(2, 96)
    same = pick(
        rng, rf"{n}\%", f"{n} percent", rf"{n}\text{{ percent}}", f"{n} per cent", rf"\frac{{{n}}}{{100}}", f"{n / 100}"
    )
    return rf"{n}\%", same, pick(rng, rf"{n + 1}\%", f"{n + 2} percent", rf"\frac{{{n}}}{{1000}}", str(n))


def surd(rng: Rng) -> tuple[str, str, str]:
    a, b, c = rng.randint(1, 9), rng.randint(2, 9), rng.choice((2, 3, 5, 6, 7, 10))

    def write(a: int, b: int, c: int) -> str:
        root = pick(
            rng,
            rf"{b}\sqrt{{{c}}}",
            f"{b}√{c}",
            f"{b}*sqrt({c})",
            rf"\sqrt{{{b * b * c}}}",
            rf"{b} \cdot {c}^{{1/2}}",
            f"{b}sqrt({c})",
        )
        return pick(rng, f"{a}+{root}", f"{root} + {a}")

    return (
        rf"{a}+{b}\sqrt{{{c}}}",
        write(a, b, c),
        rng.choice((write(a, b + 1, c), write(a + 1, b, c), write(a, b, c + 4))),
    )


def cube_root(rng: Rng) -> tuple[str, str, str]:
    b, c = rng.randint(2, 9), rng.choice((2, 3, 5, 7))

    def write(b: int, c: int) -> str:
        return pick(
            rng, rf"{b}\sqrt[3]{{{c}}}", f"{b}∛{c}", f"{b}*{c}^(1/3)", rf"{b}\cdot {c}^{{\frac13}}", f"{b}cbrt({c})"
        )

    return rf"{b}\sqrt[3]{{{c}}}", write(b, c), pick(rng, write(b + 1, c), f"{b}√{c}", rf"\sqrt[3]{{{b * c}}}")


def polynomial(rng: Rng) -> tuple[str, str, str]:
    r, s = rng.randint(1, 9), rng.randint(1, 9)

    def write(r: int, s: int) -> str:
        b, c = r + s, r * s
        return pick(
            rng,
            f"x^2+{b}x+{c}",
            f"{c} + {b}x + x^2",
            f"x**2 + {b}*x + {c}",
            f"x² + {b}x + {c}",
            f"(x+{r})(x+{s})",
            f"x^{{2}}+{c}+{b}x",
        )

    return (
        f"x^2+{r + s}x+{r * s}",
        write(r, s),
        pick(rng, write(r, s + 1), f"x^2-{r + s}x+{r * s}", f"y^2+{r + s}y+{r * s}"),
    )


def factors(rng: Rng) -> tuple[str, str, str]:
    r, s = rng.sample(range(1, 9), 2)
    same = pick(
        rng, f"(x+{s})(x+{r})", rf"(x+{r})\cdot(x+{s})", rf"\left(x+{r}\right)\left(x+{s}\right)", f"(x+{r})*(x+{s})"
    )
    return f"(x+{r})(x+{s})", same, pick(rng, f"x^2+{r + s}x+{r * s}", f"(x+{r})(x+{s + 1})", f"(x-{r})(x-{s})")


def exponential(rng: Rng) -> tuple[str, str, str]:
    a, b, c = rng.randint(2, 9), rng.randint(2, 9), rng.randint(1, 9)

    def write(a: int, b: int, c: int) -> str:
        power = pick(
            rng,
            f"e^{{{b}x}}",
            rf"\mathrm{{e}}^{{{b}x}}",
            f"exp({b}x)",
            rf"\exp({b}x)",
            f"e^({b}x)",
            f"exp({b}*x)",
            rf"{{\rm e}}^{{{b}x}}",
        )
        return pick(rng, f"{a}{power}-{c}", f"-{c}+{a}{power}")

    return f"{a}e^{{{b}x}}-{c}", write(a, b, c), rng.choice((write(a, b + 1, c), write(a + 1, b, c), write(a, -b, c)))


def negative_power(rng: Rng) -> tuple[str, str, str]:
    base, n = rng.choice((2, 3, 5, 10)), rng.randint(2, 12)
    same = pick(
        rng,
        f"{base}^-{n}",
        f"{base}^{{-{n}}}",
        f"{base}**-{n}",
        f"{base}^(-{n})",
        rf"\frac{{1}}{{{base**n}}}",
        f"1/{base**n}",
    )
    return (
        rf"{base}^{{-{n}}}",
        same,
        pick(rng, f"{base}^-{n + 1}", f"{base}^{n}", rf"\frac{{1}}{{{base**n + 1}}}", f"-{base}^-{n}"),
    )


def trigonometric(rng: Rng) -> tuple[str, str, str]:
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    name, angle = rng.choice(("sin", "cos", "tan")), rng.choice(("theta", "x", "alpha"))
    letter = {"theta": "θ", "alpha": "α", "x": "x"}[angle]
    latex = angle if angle == "x" else f"\\{angle}"

    def write(a: int, b: int) -> str:
        return pick(
            rng,
            rf"{a}\{name}({b}{latex})",
            rf"{a}\{name} {b}{latex}",
            f"{a}{name}({b}{letter})",
            f"{a}*{name}({b}*{angle})",
            rf"{a}\operatorname{{{name}}}({b}{latex})",
            f"{a} {name}({b} {angle})",
        )

    other = {"sin": "cos", "cos": "sin", "tan": "cot"}[name]
    return (
        rf"{a}\{name}({b}{latex})",
        write(a, b),
        pick(rng, write(a + 1, b), write(a, b + 1), f"{a}{other}({b}{angle})"),
    )


def logarithm(rng: Rng) -> tuple[str, str, str]:
    n, m = rng.choice((2, 3, 5, 7)), rng.choice((2, 3, 5, 7))

    def write(n: int, m: int) -> str:
        return pick(
            rng,
            rf"\ln {n} + \ln {m}",
            f"ln({n * m})",
            rf"\ln({n * m})",
            rf"\mathrm{{ln}}({n * m})",
            f"ln({m})+ln({n})",
            rf"\ln\left({n * m}\right)",
        )

    return rf"\ln {n * m}", write(n, m), pick(rng, write(n + 6, m), rf"\ln {n}", f"log_2({n * m})")


def complex_number(rng: Rng) -> tuple[str, str, str]:
    a, b = rng.randint(1, 9), rng.randint(2, 9)

    def write(a: int, b: int) -> str:
        return pick(
            rng,
            f"{a}+{b}i",
            f"{b}i+{a}",
            rf"{a}+{b}\mathrm{{i}}",
            rf"{a}+{b}\text{{i}}",
            f"{a} + {b}*i",
            rf"{a}+{{\rm i}}{b}".replace(f"i}}{b}", f"i}} \\cdot {b}"),
        )

    return f"{a}+{b}i", write(a, b), pick(rng, write(a, b + 1), write(b + 10, a), f"{a}-{b}i")


def values(rng: Rng) -> tuple[str, str, str]:
    items = rng.sample(range(-9, 30), rng.choice((2, 3)))

    def write(items: list[int]) -> str:
        mixed = rng.sample(items, len(items))
        texts = list(map(str, mixed))
        return pick(
            rng,
            ", ".join(texts),
            r"\{" + ", ".join(texts) + r"\}",
            r" \text{ or } ".join(f"x={text}" for text in texts),
            ", ".join(f"x_{place}={text}" for place, text in enumerate(texts, 1)),
            rf"x\in\{{{', '.join(texts)}\}}",
            r" \text{ and } ".join(texts),
            ", ".join(f"x = {text}" for text in texts),
        )

    gold = rng.choice(
        (
            ", ".join(map(str, items)),
            r"\{" + ",".join(map(str, items)) + r"\}",
            r"\text{ or }".join(f"x={item}" for item in items),
        )
    )
    return gold, write(items), rng.choice((write([*items[1:], items[0] + 40]), write([*items, 77]), str(items[0])))


def plus_minus(rng: Rng) -> tuple[str, str, str]:
    a, b = rng.randint(1, 9), rng.choice((2, 3, 5, 7))
    same = pick(
        rng,
        rf"{a}+\sqrt{{{b}}}, {a}-\sqrt{{{b}}}",
        f"{a}±√{b}",
        rf"x = {a}\pm\sqrt{{{b}}}",
        rf"\{{{a}-\sqrt{{{b}}}, {a}+\sqrt{{{b}}}\}}",
    )
    return rf"{a}\pm\sqrt{{{b}}}", same, pick(rng, rf"{a}+\sqrt{{{b}}}", f"{a}±√{b + 4}", rf"{a + 1}\pm\sqrt{{{b}}}")


def solution(rng: Rng) -> tuple[str, str, str]:
    a, b = rng.sample(range(-9, 10), 2)

    def write(a: int, b: int) -> str:
        return pick(
            rng,
            f"({a}, {b})",
            f"x={a}, y={b}",
            rf"x = {a} \text{{ and }} y = {b}",
            f"y={b}, x={a}",
            f"(x,y)=({a},{b})",
            rf"\left({a},{b}\right)",
        )

    return (
        rng.choice((f"({a},{b})", f"x={a},y={b}", f"(x,y)=({a},{b})")),
        write(a, b),
        rng.choice((write(b, a), write(a, b + 1), f"{a}")),
    )


def interval(rng: Rng) -> tuple[str, str, str]:
    a = rng.randint(-9, 5)
    b = a + rng.randint(1, 9)

    def write(a: int, b: int) -> str:
        return pick(
            rng,
            f"[{a},{b})",
            rf"x\in[{a},{b})",
            rf"{a}\le x<{b}",
            f"{a} <= x < {b}",
            rf"{a}\leq x < {b}",
            rf"x\ge {a}\text{{ and }} x<{b}",
            rf"\left[{a}, {b}\right)",
        )

    other = pick(rng, write(a, b + 1), write(a - 1, b), f"({a},{b})", rf"{a}<x\le {b}", f"[{a},{b}]")
    return rng.choice((rf"x\in[{a},{b})", rf"{a}\le x<{b}")), write(a, b), other


def ray(rng: Rng) -> tuple[str, str, str]:
    a = rng.randint(-9, 9)
    same = pick(rng, f"x>{a}", rf"({a},\infty)", rf"x\in({a},\infty)", f"{a}<x", f"({a}, ∞)", rf"({a}, +\infty)")
    return f"x>{a}", same, pick(rng, f"x>={a}", rf"[{a},\infty)", f"x<{a}", f"x>{a + 1}", f"y>{a}", str(a))


def union(rng: Rng) -> tuple[str, str, str]:
    a = rng.randint(-9, 0)
    b = a + rng.randint(1, 9)
    same = pick(
        rng,
        rf"x<{a} \text{{ or }} x>{b}",
        rf"x\in(-\infty,{a})\cup({b},\infty)",
        rf"(-∞,{a})∪({b},∞)",
        rf"x>{b} \text{{ or }} x<{a}",
        f"x < {a} or x > {b}",
    )
    other = pick(
        rng,
        rf"(-\infty,{a}]\cup[{b},\infty)",
        rf"{a}<x<{b}",
        rf"x<{a} \text{{ or }} x>{b + 1}",
        rf"(-\infty,{a})\cap({b},\infty)",
    )
    return rf"x<{a}\text{{ or }}x>{b}", same, other


def ratio(rng: Rng) -> tuple[str, str, str]:
    a, b = rng.sample((2, 3, 4, 5, 7, 8, 9), 2)
    a, b = a // gcd(a, b), b // gcd(a, b)
    same = pick(
        rng,
        f"{a}:{b}",
        f"{a} : {b}",
        f"A:B={a}:{b}",
        f"{2 * a}:{2 * b}",
        rf"{a}\text{{ to }}{b}",
        rf"{a}{{:}}{b}",
        rf"\frac{{{a}}}{{{b}}}",
    )
    return f"{a}:{b}", same, pick(rng, f"{b}:{a}", f"{a}:{b + 1}", f"A:B={b}:{a}", rf"\frac{{{b}}}{{{a}}}")


def time(rng: Rng) -> tuple[str, str, str]:
    h, m = rng.randint(1, 12), rng.randint(0, 58)
    same = pick(
        rng, f"{h}:{m:02}", rf"\text{{{h}:{m:02}}}", rf"{h}{{:}}{m:02}", rf"{h}:{m:02}\text{{ p.m.}}", f"{h}:{m:02} PM"
    )
    return f"{h}:{m:02}", same, pick(rng, f"{h}:{m + 1:02}", f"{h % 12 + 1}:{m:02}", f"{h}{m:02}", f"{h}.{m:02}")


def length(rng: Rng) -> tuple[str, str, str]:
    n = rng.randint(2, 90)
    same = pick(
        rng,
        rf"{n}\text{{ cm}}",
        f"{n} cm",
        rf"{n}\,\mathrm{{cm}}",
        str(n),
        rf"{10 * n}\text{{ mm}}",
        f"{n} centimeters",
    )
    return (
        rf"{n}\text{{ cm}}",
        same,
        pick(rng, rf"{n}\text{{ m}}", rf"{n}\text{{ cm}}^2", rf"{n + 1}\text{{ cm}}", rf"{n}\text{{ mm}}"),
    )


def thousands(rng: Rng) -> tuple[str, str, str]:
    n = rng.randint(10_000, 9_999_999)
    same = pick(
        rng,
        f"{n:,}",
        f"{n:,}".replace(",", "{,}"),
        f"{n:,}".replace(",", r"\,"),
        f"{n:,}".replace(",", " "),
        f"{n}.00",
        f"{n:,}".replace(",", r",\!"),
    )
    return str(n), same, pick(rng, f"{n + 1:,}", f"{n // 10}", f"{n / 1000:.3f}", f"{n}0")


def decimal_comma(rng: Rng) -> tuple[str, str, str]:
    n = rng.randint(101, 999)
    return (
        f"0.{n}",
        pick(rng, f"0,{n}", f"0{{,}}{n}", f"0.{n}", f".{n}", f"0.{n}0"),
        pick(rng, str(n), f"0,{n - 1}", f"1,{n}", f"{n},0"),
    )


def power_of_ten(rng: Rng) -> tuple[str, str, str]:
    a, n = rng.randint(11, 99), rng.randint(2, 15)
    coefficient = f"{a / 10}"

    def write(c: str, n: int) -> str:
        return pick(
            rng,
            rf"{c}\times10^{{{n}}}",
            f"{c}*10^{n}",
            f"{c}e{n}",
            f"{c} × 10^{n}",
            rf"{c} \cdot 10^{{{n}}}",
            f"{c}*10**{n}",
        )

    return (
        rf"{coefficient}\times10^{{{n}}}",
        write(coefficient, n),
        pick(rng, write(coefficient, n + 1), write(f"{(a + 1) / 10}", n), write(coefficient, -n)),
    )


def bound_sum(rng: Rng) -> tuple[str, str, str]:
    k, j = rng.sample("ijkm", 2)
    p = rng.randint(2, 5)
    gold = rf"\sum_{{{k}=1}}^{{n}} a_{k} {k}^{p}"
    same = pick(
        rng,
        rf"\sum_{{{j}=1}}^{{n}} a_{j} {j}^{p}",
        rf"\sum_{{{j}=1}}^n {j}^{{{p}}} a_{{{j}}}",
        rf"\sum\limits_{{{j}=1}}^{{n}}a_{{{j}}}{j}^{p}",
    )
    return (
        gold,
        same,
        pick(
            rng,
            rf"\sum_{{{j}=0}}^{{n}} a_{j} {j}^{p}",
            rf"\sum_{{{j}=1}}^{{n}} a_{j} {j}^{p + 1}",
            rf"\sum_{{{j}=1}}^{{n}} a_n {j}^{p}",
        ),
    )


def bound_integral(rng: Rng) -> tuple[str, str, str]:
    x, t = rng.sample("xtuy", 2)
    a = rng.randint(1, 9)
    gold = rf"\int_0^{a} f({x})\,d{x}"
    same = pick(
        rng,
        rf"\int_0^{a} f({t})\,d{t}",
        rf"\int_{{0}}^{{{a}}}f({t}) d{t}",
        rf"\int_{{0}}^{{{a}}} f({t}) \, \mathrm{{d}}{t}",
    )
    return (
        gold,
        same,
        pick(rng, rf"\int_0^{a} g({t})\,d{t}", rf"\int_1^{a + 1} f({t})\,d{t}", rf"\int_0^{a + 1} f({t})\,d{t}"),
    )


def quotient_root(rng: Rng) -> tuple[str, str, str]:
    a, n = rng.choice((2, 3, 5, 7)), rng.choice("nxa")
    same = pick(
        rng,
        rf"\frac{{\sqrt{{{a}}}}}{{\sqrt{{{n}}}}}",
        rf"\frac{{\sqrt{{{a}{n}}}}}{{{n}}}",
        f"sqrt({a}/{n})",
        rf"\left(\frac{{{a}}}{{{n}}}\right)^{{1/2}}",
        f"√({a}/{n})",
    )
    return (
        rf"\sqrt{{\frac{{{a}}}{{{n}}}}}",
        same,
        pick(
            rng,
            rf"\frac{{{a}}}{{\sqrt{{{n}}}}}",
            f"sqrt({n}/{a})",
            rf"\frac{{\sqrt{{{a}{n}}}}}{{{a}}}",
            f"sqrt({a + 4}/{n})",
        ),
    )


def log_product(rng: Rng) -> tuple[str, str, str]:
    a, b = rng.sample("abxy", 2)
    same = pick(rng, rf"\ln {a} - \ln {b}", f"ln({a})-ln({b})", rf"-\ln\frac{{{b}}}{{{a}}}", rf"\ln({a}/{b})")
    return (
        rf"\ln\frac{{{a}}}{{{b}}}",
        same,
        pick(rng, rf"\ln {a}+\ln {b}", rf"\ln {b} - \ln {a}", rf"\frac{{\ln {a}}}{{\ln {b}}}"),
    )


def matrix(rng: Rng) -> tuple[str, str, str]:
    a, b, c, d = rng.sample(range(1, 20), 4)

    def write(*cells: int) -> str:
        kind = rng.choice(("pmatrix", "bmatrix"))
        return rf"\begin{{{kind}}}{cells[0]}&{cells[1]}\\{cells[2]}&{cells[3]}\end{{{kind}}}"

    return (
        rf"\begin{{pmatrix}}{a}&{b}\\{c}&{d}\end{{pmatrix}}",
        write(a, b, c, d),
        rng.choice((write(a, c, b, d), write(a, b, c, d + 1))),
    )


def choice(rng: Rng) -> tuple[str, str, str]:
    letter, other = rng.sample("ABCDE", 2)

    def write(letter: str) -> str:
        return pick(
            rng,
            letter,
            f"({letter})",
            rf"\text{{{letter}}}",
            rf"\textbf{{({letter})}}",
            f"{letter}) 12",
            rf"\mathrm{{{letter}}}",
        )

    return letter, write(letter), rng.choice((write(other), f"{letter}{other}", f"{letter} or {other}"))


def words(rng: Rng) -> tuple[str, str, str]:
    word, other = rng.sample(("even", "odd", "Monday", "circle", "north", "no solution", "ellipse"), 2)
    return (
        rf"\text{{{word}}}",
        pick(
            rng,
            rf"\text{{{word}}}",
            word,
            rf"\textbf{{{word}}}",
            rf"\text{{{word.upper()}}}" if " " not in word and len(word) > 3 else word,
        ),
        rf"\text{{{other}}}",
    )


def complexity(rng: Rng) -> tuple[str, str, str]:
    k = rng.randint(1, 4)
    n = "n" if k == 1 else f"n^{k}"
    same = pick(
        rng, f"O({n} log n)", rf"O({n}\log n)", rf"\mathcal{{O}}({n}\log n)", f"O({n} log(n))", rf"O(\log(n) {n})"
    )
    return rf"O({n}\log n)", same, pick(rng, f"O({n})", f"O(n^{k + 1} log n)", rf"\Theta({n}\log n)", "O(log n)")


def floor(rng: Rng) -> tuple[str, str, str]:
    a = rng.randint(2, 9)
    same = pick(
        rng, f"floor(n/{a})", rf"\lfloor n/{a}\rfloor", rf"\left\lfloor\frac{{n}}{{{a}}}\right\rfloor", f"⌊n/{a}⌋"
    )
    return (
        rf"\left\lfloor \frac{{n}}{{{a}}}\right\rfloor",
        same,
        pick(rng, f"ceil(n/{a})", f"floor(n/{a + 1})", rf"\frac{{n}}{{{a}}}"),
    )


def line(rng: Rng) -> tuple[str, str, str]:
    a, b = rng.randint(2, 9), rng.randint(1, 9)
    same = pick(rng, f"y={a}x+{b}", f"{a}x+{b}", f"y-{a}x={b}", f"{a}x-y+{b}=0", f"y = {b} + {a}*x", f"f(x)={a}x+{b}")
    return f"y={a}x+{b}", same, pick(rng, f"y={b}x+{a + 10}", f"y={a}x-{b}", f"x={a}y+{b}", f"{a}x+{b}=0")


RULES: dict[str, Callable[[Rng], tuple[str, str, str]]] = {
    made.__name__: made
    for made in (
        *(
            number,
            percentage,
            surd,
            cube_root,
            polynomial,
            factors,
            exponential,
            negative_power,
            trigonometric,
            logarithm,
        ),
        *(
            complex_number,
            values,
            plus_minus,
            solution,
            interval,
            ray,
            union,
            ratio,
            time,
            length,
            thousands,
            decimal_comma,
        ),
        *(
            power_of_ten,
            bound_sum,
            bound_integral,
            quotient_root,
            log_product,
            matrix,
            choice,
            words,
            complexity,
            floor,
            line,
        ),
    )
}
"""Each rule returns an expected answer, the same value in another notation, and another value."""
