"""The tables of figures. The underscore keeps this file out of the list of benchmarks."""

from rich.console import Console
from rich.table import Table


def new_console() -> Console:
    """A console that is wide enough for the tables, also in a log."""
    return Console(highlight=False, width=max(100, Console().width))


def new_table(name: str, *figures: str) -> Table:
    """A table whose first column holds names; the other columns are aligned to the right."""
    table = Table(name, *figures, box=None, header_style="bold")
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def rounded(figure: float) -> str:
    """Format with three digits and no exponent."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
