"""Programs that run in the sandbox, as source text; nothing imports them."""
