"""How the rewards of groups become advantages."""
