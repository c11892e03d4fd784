"""Questions about short documents, which the policy both asks and answers: an example of DataForge."""
