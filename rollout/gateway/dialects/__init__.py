"""The dialects that agents speak: one file for each turns its requests and answers into those of the gateway."""
