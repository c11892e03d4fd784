"""Pools: workers that play and score groups of episodes, and their engines, in this process or as Ray actors."""
