"""Tool calls in text: formats, prompts, parsers, and the verifiers of calls."""
