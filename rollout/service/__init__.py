"""The trajectory service: groups of token sequences over HTTP, as Atropos environments and trainers speak it."""
