"""The machines of a run: what is reserved on them, who runs where, and how files reach them."""
