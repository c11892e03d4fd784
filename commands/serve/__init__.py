"""Commands that serve something to other processes, and workers without Ray."""
