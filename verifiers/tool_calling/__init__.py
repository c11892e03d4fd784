"""Tool calls in text: formats, prompts, parsing, and whether they are the right ones."""
