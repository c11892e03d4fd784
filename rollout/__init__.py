"""Second floor: how trajectories are made, by engines, token-exact chats, workers and the dispatcher."""
