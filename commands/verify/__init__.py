"""``lachesis verify``: scoring stored completions again."""
