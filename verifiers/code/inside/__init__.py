"""Programs that run inside jobs; sent as source after ``wire``, they use only the standard library."""
