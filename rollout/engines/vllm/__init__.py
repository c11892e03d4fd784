"""vLLM as an engine: its scheduler in this process, its settings, and what it changes in the process."""
