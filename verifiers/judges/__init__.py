"""Language models as judges: verifiers that ask an OpenAI-compatible endpoint for their verdict."""
