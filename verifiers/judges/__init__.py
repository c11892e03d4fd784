"""Language models as judges, and reward models: verifiers that ask an endpoint for their verdict."""
