"""The service's groups on disk: the queue, held groups, and batches."""
