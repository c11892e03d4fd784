"""The embedded ``torch`` engine: continuous batching over fixed slots."""
