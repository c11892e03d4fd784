"""Training rows read from files: conversations and preference pairs as samples, and the batches that they form."""
