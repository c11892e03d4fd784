"""DataForge: tasks made by random walks through graphs of small transformations."""
