"""JSON that a model wrote: reading it, and checking it against a schema."""
