"""Solvers and checks against plain definitions, by brute force on small puzzles.

``UNIQUE`` solves puzzles with one answer in another way. ``PROPERTIES`` enumerates everything that could be said to a
puzzle with several answers, and says which of it is right.
"""

import calendar
import datetime
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import combinations, combinations_with_replacement, pairwise, permutations, product
from random import Random
from typing import Any

import pytest
import sympy

from lachesis.environments.shipped.puzzles.catalogue import FAMILIES


def made(name: str, level: int, seed: int) -> Any:
    return FAMILIES[name].draw(Random(f"truth {name} {level} {seed}"), FAMILIES[name].sizes[level - 1])


X = sympy.Symbol("x")


def poly(coefficients: list[int]) -> sympy.Poly:
    return sympy.Poly(coefficients, X)


def fraction(value: Any) -> Fraction:
    return Fraction(int(sympy.Rational(value).p), int(sympy.Rational(value).q))


def coins_to(coins: list[int], amount: int) -> int:
    if amount == 0:
        return 1
    return sum(coins_to(coins[n:], amount - coin) for n, coin in enumerate(coins) if coin <= amount)


def partitions(number: int, parts: int, most: int) -> int:
    if not parts:
        return int(number == 0)
    return sum(partitions(number - part, parts - 1, part) for part in range(1, min(most, number) + 1))


def distance(a: str, b: str) -> int:
    if not a or not b:
        return len(a) + len(b)
    if a[0] == b[0]:
        return distance(a[1:], b[1:])
    return 1 + min(distance(a[1:], b), distance(a, b[1:]), distance(a[1:], b[1:]))


def paths(grid: list[list[str]], i: int = 0, j: int = 0) -> int:
    if i == len(grid) or j == len(grid) or grid[i][j] == "#":
        return 0
    return 1 if i == j == len(grid) - 1 else paths(grid, i + 1, j) + paths(grid, i, j + 1)


def last_of_circle(people: int, step: int) -> int:
    circle = list(range(1, people + 1))
    place = 0
    while len(circle) > 1:
        place = (place + step - 1) % len(circle)
        circle.pop(place)
    return circle[0]


def inside(corners: list[list[int]], x: int, y: int) -> bool:
    """Strictly inside a polygon: the winding angle of a point off the boundary is not 0."""
    angle = 0.0
    for (a, b), (c, d) in pairwise([*corners, corners[0]]):
        cross = (a - x) * (d - y) - (b - y) * (c - x)
        dot = (a - x) * (c - x) + (b - y) * (d - y)
        if cross == 0 and dot <= 0:
            return False
        angle += math.atan2(cross, dot)
    return abs(angle) > 1


def days(first: str, last: str) -> int:
    return (datetime.date.fromisoformat(last) - datetime.date.fromisoformat(first)).days


def chances(rolls: Iterable[Iterable[Any]], hit: Callable[[tuple[Any, ...]], bool]) -> Fraction:
    every = list(product(*rolls))
    return Fraction(sum(map(hit, every)), len(every))


def reachable(edges: list[list[int]], vertices: int) -> int:
    """Components by repeated spreading of the smallest number."""
    label = dict.fromkeys(range(1, vertices + 1)) and {n: n for n in range(1, vertices + 1)}
    for _ in range(vertices):
        for a, b in edges:
            label[a] = label[b] = min(label[a], label[b])
    return len(set(label.values()))


def spanning(p: Any) -> int:
    trees = (c for c in combinations(p.edges, p.vertices - 1) if reachable([e[:2] for e in c], p.vertices) == 1)
    return min(sum(edge[2] for edge in tree) for tree in trees)


def islands(grid: list[list[str]]) -> int:
    cells = [(i, j) for i, row in enumerate(grid) for j, cell in enumerate(row) if cell == "#"]
    near = [
        [a + 1, b + 1]
        for (a, p), (b, q) in combinations(enumerate(cells), 2)
        if abs(p[0] - q[0]) + abs(p[1] - q[1]) == 1
    ]
    return reachable(near, len(cells))


def python_value(text: str, values: dict[str, Any]) -> bool:
    return bool(eval(text, {}, dict(values)))


UNIQUE: dict[str, Callable[[Any], Any]] = {
    "multiplication": lambda p: sum(p.a for _ in range(p.b)),
    "division": lambda p: [p.a // p.b, p.a - p.a // p.b * p.b],
    "expression": lambda p: eval(p.expression),
    "greatest_common_divisor": lambda p: max(n for n in range(1, p.a + 1) if p.a % n == p.b % n == 0),
    "least_common_multiple": lambda p: next(n for n in range(1, 10**6) if all(n % m == 0 for m in p.numbers)),
    "prime_factors": lambda p: [q for q, n in sorted(sympy.factorint(p.number).items()) for _ in range(n)],
    "divisor_count": lambda p: sum(p.number % n == 0 for n in range(1, p.number + 1)),
    "totient": lambda p: sum(math.gcd(n, p.number) == 1 for n in range(1, p.number + 1)),
    "modular_power": lambda p: p.base**p.exponent % p.modulus,
    "modular_inverse": lambda p: next(n for n in range(p.modulus) if n * p.number % p.modulus == 1),
    "chinese_remainder": lambda p: next(
        n for n in range(10**6) if all(n % m == r for r, m in zip(p.remainders, p.moduli, strict=True))
    ),
    "base_conversion": lambda p: sympy.ntheory.digits(
        sum(d * p.base**n for n, d in enumerate(reversed(p.digits))), p.target
    )[1:],
    "fraction_sum": lambda p: fraction(sum(map(sympy.Rational, p.tops, p.bottoms))),
    "continued_fraction": lambda p: fraction(sympy.continued_fraction_reduce(p.parts)),
    "linear_equation": lambda p: fraction(
        sympy.solve(p.coefficients[0] * X + p.coefficients[1] - p.coefficients[2] * X - p.coefficients[3], X)[0]
    ),
    "linear_system": lambda p: list(sympy.Matrix(p.rows).LUsolve(sympy.Matrix(p.totals))),
    "quadratic_roots": lambda p: sorted(sympy.roots(X**2 - p.roots_sum * X + p.roots_product, X, multiple=True)),
    "polynomial_product": lambda p: (poly(p.first) * poly(p.second)).all_coeffs(),
    "polynomial_quotient": lambda p: sympy.div(poly(p.dividend), poly(p.factor))[0].all_coeffs(),
    "polynomial_value": lambda p: poly(p.coefficients).eval(p.x),
    "definite_integral": lambda p: fraction(sympy.integrate(poly(p.coefficients).as_expr(), (X, p.low, p.high))),
    "matrix_product": lambda p: (sympy.Matrix(p.left) * sympy.Matrix(p.right)).tolist(),
    "determinant": lambda p: sympy.Matrix(p.rows).det(),
    "geometric_sum": lambda p: sum(p.first * Fraction(p.top, p.bottom) ** n for n in range(p.terms)),
    "next_term": lambda p: sympy.interpolate(p.terms, X).subs(X, len(p.terms) + 1),
    "maximum_subarray": lambda p: max(sum(p.numbers[i:j]) for i, j in combinations(range(len(p.numbers) + 1), 2)),
    "inversion_count": lambda p: sum(a > b for a, b in combinations(p.numbers, 2)),
    "sort_numbers": lambda p: sorted(p.numbers, key=lambda n: n if p.order == "ascending" else -n),
    "josephus_circle": lambda p: last_of_circle(p.people, p.step),
    "grid_paths": lambda p: paths(p.grid),
    "permutation_by_rank": lambda p: "".join(sorted(permutations(p.letters))[p.rank - 1]),
    "anagram_count": lambda p: len(set(permutations(p.letters))),
    "change_ways": lambda p: coins_to(p.coins, p.amount),
    "partition_count": lambda p: partitions(p.number, p.parts, p.most),
    "dice_sum": lambda p: chances([range(1, p.sides + 1)] * p.dice, lambda roll: sum(roll) == p.total),
    "coin_tosses": lambda p: chances([range(p.bottom)] * p.tosses, lambda roll: sum(n < p.top for n in roll) >= p.hits),
    "series_winner": lambda p: chances(
        [range(p.bottom)] * (2 * p.target - 1 - p.first - p.second),
        lambda roll: sum(n < p.top for n in roll) >= p.target - p.first,
    ),
    "urn_draw": lambda p: Fraction(
        *(
            sum(
                sum(ball < p.red for ball in drawn) == p.hits for drawn in combinations(range(p.red + p.blue), p.drawn)
            ),
            math.comb(p.red + p.blue, p.drawn),
        )
    ),
    "expected_value": lambda p: Fraction(
        *(lambda wheel: (sum(wheel), len(wheel)))(
            [v for v, n in zip(p.prizes, p.weights, strict=True) for _ in range(n)]
        )
    ),
    "bayes": lambda p: Fraction(
        *(lambda red: (red.count(p.asked), len(red)))(
            [n for n, (w, c) in enumerate(zip(p.weights, p.percents, strict=True), 1) for _ in range(w * c)]
        )
    ),
    "markov_chain": lambda p: fraction(
        (
            sympy.Matrix(
                [
                    [1 - sympy.Rational(*p.away), sympy.Rational(*p.away)],
                    [sympy.Rational(*p.back), 1 - sympy.Rational(*p.back)],
                ]
            )
            ** p.steps
        )[0, 0]
    ),
    "polygon_area": lambda p: fraction(abs(sympy.Polygon(*p.corners).area)),
    "inner_points": lambda p: sum(inside(p.corners, x, y) for x, y in product(range(-12, 13), repeat=2)),
    "rectangle_union": lambda p: sum(
        any(a <= x < c and b <= y < d for a, b, c, d in p.rectangles) for x, y in product(range(24), repeat=2)
    ),
    "spanning_tree": spanning,
    "component_count": lambda p: reachable(p.edges, p.vertices),
    "island_count": lambda p: islands(p.grid),
    "model_count": lambda p: sum(
        python_value(p.formula, dict(zip(p.names, way, strict=True))) for way in product((0, 1), repeat=len(p.names))
    ),
    "truth_values": lambda p: [int(python_value(text, p.values)) for text in p.formulas],
    "letter_count": lambda p: len(re.findall(p.letter, p.text)),
    "substring_count": lambda p: len(re.findall(f"(?={p.part})", p.text)),
    "edit_distance": lambda p: distance(p.first, p.second),
    "run_lengths": lambda p: "".join(letter * int(count) for count, letter in re.findall("(.)(.)", p.code)),
    "sort_words": lambda p: min(
        (list(way) for way in permutations(p.words) if all(a < b for a, b in pairwise(way))), key=str
    ),
    "days_between": lambda p: days(p.first, p.second),
    "weekdays": lambda p: [calendar.day_name[calendar.weekday(*map(int, date.split("-")))] for date in p.dates],
    "date_after": lambda p: datetime.date.fromordinal(
        datetime.date.fromisoformat(p.start).toordinal() + p.days * (1 if p.direction == "after" else -1)
    ).isoformat(),
    "leap_years": lambda p: sum(map(calendar.isleap, range(p.first, p.last + 1))),
    "stack_program": lambda p: postfix_value(p.tokens),
    "loop_program": lambda p: printed(p.wordings[0].format(**p.shown()).partition("\n\n")[2]),
    "median_amount": lambda p: (lambda s: Fraction(s[(len(s) - 1) // 2] + s[len(s) // 2], 2))(sorted(p.numbers)),
    "variance": lambda p: Fraction(sum((a - b) ** 2 for a, b in combinations(p.numbers, 2)), len(p.numbers) ** 2),
    "collatz_steps": lambda p: collatz(p.start),
    "linear_recurrence": lambda p: recurrence(p.n, p),
}


def recurrence(n: int, p: Any) -> int:
    return (p.first, p.second)[n - 1] if n < 3 else p.p * recurrence(n - 1, p) + p.q * recurrence(n - 2, p)


def collatz(n: int) -> int:
    return 0 if n == 1 else 1 + collatz(3 * n + 1 if n % 2 else n // 2)


def postfix_value(tokens: str) -> int:
    """Postfix read backwards as prefix."""
    rest = tokens.split()

    def value() -> int:
        token = rest.pop()
        if token not in "+-*":
            return int(token)
        right, left = value(), value()
        return int(eval(f"({left}) {token} ({right})"))

    return value()


def printed(program: str) -> int:
    out: list[int] = []
    exec(program, {"print": out.append, "range": range})
    return out[0]


@pytest.mark.parametrize("name", UNIQUE)
def test_the_solver_agrees_with_another_way_to_solve(name: str) -> None:
    for level, seeds in ((1, 8), (2, 3)):
        for seed in range(seeds):
            puzzle = made(name, level, seed)
            assert puzzle.solve() == UNIQUE[name](puzzle), (name, level, seed, puzzle)


def subsets(count: int) -> Iterable[list[int]]:
    return (list(c) for size in range(1, count + 1) for c in combinations(range(1, count + 1), size))


def orders(count: int) -> Iterable[list[int]]:
    return map(list, permutations(range(1, count + 1)))


def tuples(values: Iterable[Any], count: int) -> Iterable[list[Any]]:
    return map(list, product(values, repeat=count))


def words(alphabet: str, longest: int) -> Iterable[str]:
    return ("".join(w) for size in range(1, longest + 1) for w in product(alphabet, repeat=size))


def best(candidates: Iterable[Any], allowed: Callable[[Any], bool], value: Callable[[Any], Any]) -> list[Any]:
    """The allowed candidates of the largest value."""
    fitting = [c for c in candidates if allowed(c)]
    most = max(map(value, fitting))
    return [c for c in fitting if value(c) == most]


def is_row_of(whole: Any, part: Any) -> bool:
    return any(list(c) == list(part) for c in combinations(whole, len(part)))


def walks(p: Any) -> Iterable[list[int]]:
    vertices = sorted({n for edge in p.edges for n in edge[:2]})
    return (list(w) for size in range(2, len(vertices) + 1) for w in permutations(vertices, size))


def length(p: Any, walk: list[int]) -> int | None:
    weights = {frozenset(edge[:2]): edge[2] for edge in p.edges}
    steps = [weights.get(frozenset(step)) for step in pairwise(walk)]
    return None if None in steps else sum(weight for weight in steps if weight)


def shortest(p: Any) -> list[list[int]]:
    ends = [w for w in walks(p) if (w[0], w[-1]) == (p.start, p.end)]
    return best(ends, lambda w: length(p, w) is not None, lambda w: -(length(p, w) or 0))


def lateness(p: Any, order: list[int]) -> int:
    return max(
        0, *(sum(p.durations[m - 1] for m in order[: n + 1]) - p.deadlines[job - 1] for n, job in enumerate(order))
    )


def overlap(p: Any, chosen: list[int]) -> bool:
    times = [p.times[n - 1] for n in chosen]
    return any(a < d and c < b for (a, b), (c, d) in combinations(times, 2))


def state_after(p: Any, word: str) -> int:
    state = 1
    for letter in word:
        state = p.moves[state - 1][0 if letter == "a" else 1]
    return state


def wins_nim(heaps: tuple[int, ...], known: dict[tuple[int, ...], bool]) -> bool:
    key = tuple(sorted(heaps))
    if key not in known:
        moves = ((n, take) for n, heap in enumerate(key) for take in range(1, heap + 1))
        known[key] = any(not wins_nim((*key[:n], key[n] - take, *key[n + 1 :]), known) for n, take in moves)
    return known[key]


def nim(p: Any) -> list[list[int]]:
    known: dict[tuple[int, ...], bool] = {}
    found = []
    for n, heap in enumerate(p.heaps):
        for take in range(1, heap + 1):
            if not wins_nim((*p.heaps[:n], heap - take, *p.heaps[n + 1 :]), known):
                found.append([n + 1, take])
    return found


def wins_take(p: Any, stones: int) -> bool:
    return any(move <= stones and not wins_take(p, stones - move) for move in p.moves)


def knaves(p: Any, said: list[str]) -> bool:
    for speaker, line in zip(said, p.shown()["statements"].split("\n"), strict=True):
        about = [said[PEOPLE.index(word)] for word in re.findall("[A-Z][a-z]+", line)[1:]]
        if len(about) == 1:
            true = about[0] == line.rstrip(".").rpartition(" ")[2]
        else:
            true = (about[0] == about[1]) == ("both" in line)
        if true != (speaker == "knight"):
            return False
    return True


PEOPLE = ["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gil", "Hana", "Ivo", "Jane"]


def seated(p: Any, order: list[str]) -> bool:
    for line in p.shown()["clues"].split("\n"):
        a, kind, b = re.fullmatch(r"(\w+) is (.*) (\w+)\.", line).groups()  # type: ignore[union-attr]
        i, j = order.index(a), order.index(b)
        truth = {"next to": abs(i - j) == 1, "not next to": abs(i - j) != 1, "left of": i < j, "right of": i > j}
        if not truth[kind]:
            return False
    return True


def satisfied(p: Any, values: list[int]) -> bool:
    names = {f"x{n}": value for n, value in enumerate(values, 1)}
    return all(python_value(line, names) for line in p.shown()["formula"].split("\n"))


def queens(p: Any, rows: list[int]) -> bool:
    cells = list(enumerate(rows, 1))
    apart = all(a != c and b != d and abs(a - c) != abs(b - d) for (a, b), (c, d) in combinations(cells, 2))
    return apart and all([column, row] in map(list, cells) for column, row in p.given)


def coloured(p: Any, colours: list[int]) -> bool:
    return not any(colours[a - 1] == colours[b - 1] for a, b in p.edges)


def packed(p: Any, boxes: list[int]) -> bool:
    return all(sum(w for w, b in zip(p.weights, boxes, strict=True) if b == box) <= p.capacity for box in set(boxes))


def codes(p: Any, code: str) -> bool:
    for line in p.shown()["guesses"].split("\n"):
        guess, right, near = re.fullmatch(r"(\d+): (\d+) in place, (\d+) elsewhere", line).groups()  # type: ignore[union-attr]
        exact = sum(a == b for a, b in zip(code, guess, strict=True))
        common = sum(min(code.count(d), guess.count(d)) for d in "123456")
        if (exact, common - exact) != (int(right), int(near)):
            return False
    return True


def tour(p: Any, order: list[int]) -> bool:
    whole = sum(p.distances[a - 1][b - 1] for a, b in pairwise([*order, order[0]]))
    return order[0] == 1 and whole <= p.most


PROPERTIES: dict[str, tuple[Callable[[Any], Iterable[Any]], Callable[[Any], Iterable[Any] | Callable[[Any], bool]]]] = {
    "bezout": (
        lambda p: tuples(range(-60, 61), 2),
        lambda p: lambda xy: p.a * xy[0] + p.b * xy[1] == math.gcd(p.a, p.b),
    ),
    "two_squares": (lambda p: tuples(range(-17, 18), 2), lambda p: lambda ab: ab[0] ** 2 + ab[1] ** 2 == p.number),
    "rising_subsequence": (
        lambda p: tuples(p.numbers, 3),
        lambda p: best(
            (list(c) for size in range(1, 6) for c in combinations(p.numbers, size)),
            lambda c: c == sorted(set(c)),
            len,
        ),
    ),
    "subset_sum": (
        lambda p: [list(c) for size in range(1, 6) for c in combinations(p.numbers, size)],
        lambda p: lambda c: sum(c) == p.total,
    ),
    "equal_halves": (
        lambda p: [list(c) for size in range(1, 6) for c in combinations(p.numbers, size)],
        lambda p: lambda c: sum(c) * 2 == sum(p.numbers),
    ),
    "exact_cover": (
        lambda p: subsets(len(p.groups)),
        lambda p: lambda c: Counter(n for g in c for n in p.groups[g - 1]) == Counter(range(1, p.elements + 1)),
    ),
    "shortest_path": (walks, shortest),
    "graph_coloring": (lambda p: tuples((1, 2, 3), p.vertices), lambda p: lambda c: coloured(p, c)),
    "topological_order": (
        lambda p: orders(p.vertices),
        lambda p: lambda c: not any(c.index(a) > c.index(b) for a, b in p.edges),
    ),
    "hamiltonian_path": (
        lambda p: orders(p.vertices),
        lambda p: lambda c: all([a, b] in p.edges or [b, a] in p.edges for a, b in pairwise(c)),
    ),
    "independent_set": (
        lambda p: subsets(p.vertices),
        lambda p: lambda c: len(c) == p.count and not any(a in c and b in c for a, b in p.edges),
    ),
    "largest_matching": (
        lambda p: (list(map(tuple, c)) for size in range(1, 4) for c in combinations(p.edges, size)),
        lambda p: best(
            (list(map(tuple, c)) for size in range(1, 4) for c in combinations(p.edges, size)),
            lambda c: all(len({pair[side] for pair in c}) == len(c) for side in (0, 1)),
            len,
        ),
    ),
    "queens": (lambda p: orders(p.size), lambda p: lambda c: queens(p, c)),
    "mastermind": (lambda p: map("".join, tuples("123456", 3)), lambda p: lambda c: codes(p, c)),
    "knights_and_knaves": (
        lambda p: tuples(("knight", "knave"), len(p.claims)),
        lambda p: lambda c: knaves(p, c),
    ),
    "satisfiability": (lambda p: tuples((0, 1), p.count), lambda p: lambda c: satisfied(p, c)),
    "seating_order": (
        lambda p: map(list, permutations(p.shown()["people"].split(", "))),
        lambda p: lambda c: seated(p, c),
    ),
    "common_subsequence": (
        lambda p: words("abcd", 5),
        lambda p: best(words("abcd", 5), lambda w: is_row_of(p.first, w) and is_row_of(p.second, w), len),
    ),
    "longest_palindrome": (
        lambda p: {p.text[i:j] for i, j in combinations(range(len(p.text) + 1), 2)},
        lambda p: best({p.text[i:j] for i, j in combinations(range(len(p.text) + 1), 2)}, lambda w: w == w[::-1], len),
    ),
    "knapsack": (
        lambda p: subsets(len(p.weights)),
        lambda p: best(
            subsets(len(p.weights)),
            lambda c: sum(p.weights[n - 1] for n in c) <= p.capacity,
            lambda c: sum(p.values[n - 1] for n in c),
        ),
    ),
    "appointments": (
        lambda p: subsets(len(p.times)),
        lambda p: best(subsets(len(p.times)), lambda c: not overlap(p, c), len),
    ),
    "assignment": (
        lambda p: orders(len(p.costs)),
        lambda p: best(
            orders(len(p.costs)), lambda c: True, lambda c: -sum(r[j - 1] for r, j in zip(p.costs, c, strict=True))
        ),
    ),
    "least_lateness": (
        lambda p: orders(len(p.durations)),
        lambda p: best(orders(len(p.durations)), lambda c: True, lambda c: -lateness(p, c)),
    ),
    "fewest_coins": (
        lambda p: (list(c) for size in range(1, 16) for c in combinations_with_replacement(p.coins, size)),
        lambda p: best(
            (list(c) for size in range(1, 16) for c in combinations_with_replacement(p.coins, size)),
            lambda c: sum(c) == p.amount,
            lambda c: -len(c),
        ),
    ),
    "bin_packing": (lambda p: tuples(range(1, p.boxes + 1), len(p.weights)), lambda p: lambda c: packed(p, c)),
    "round_trip": (lambda p: orders(len(p.distances)), lambda p: lambda c: tour(p, c)),
    "accepted_word": (lambda p: words("ab", 6), lambda p: lambda w: state_after(p, w) == p.goal),
    "nim_move": (lambda p: tuples(range(0, 8), 2), nim),
    "take_away": (
        lambda p: subsets(9),
        lambda p: [[move for move in p.moves if move <= p.stones and not wins_take(p, p.stones - move)]],
    ),
    "closest_pair": (
        lambda p: (list(map(tuple, c)) for c in permutations(p.points, 2)),
        lambda p: best(
            (list(map(tuple, c)) for c in permutations(p.points, 2)),
            lambda c: True,
            lambda c: -math.dist(*c),
        ),
    ),
    "truthful_digits": (
        lambda p: map(str, range(100, 1000)),
        lambda p: lambda t: "0" not in t and sum(map(int, t)) == p.total and int(t) % p.divisor == 0,
    ),
    "signed_sum": (
        lambda p: ("".join(f"{s}{n}" for s, n in zip(w, p.numbers, strict=True)) for w in tuples("+-", len(p.numbers))),
        lambda p: lambda text: eval(text) == p.target,
    ),
}


@pytest.mark.parametrize("name", PROPERTIES)
def test_everything_that_is_right_counts_and_nothing_else(name: str) -> None:
    candidates, truth = PROPERTIES[name]
    for seed in range(3):
        puzzle = made(name, 1, seed)
        right = truth(puzzle)
        is_right = right if callable(right) else list(right).__contains__
        verdicts: Counter[bool] = Counter()
        for said in candidates(puzzle):
            assert puzzle.accepts(said) == bool(is_right(said)), (puzzle, said)
            verdicts[puzzle.accepts(said)] += 1
        assert min(verdicts[True], verdicts[False]) > 0 or name == "rising_subsequence", puzzle
