"""Programs that run inside of jobs, sent there as source: standard library only, and each with ``wire`` before it."""
