"""Second floor: how trajectories are made, by engines, token-exact chats, workers and the dispatcher."""

import os

# Ray reads these when it is imported, which several modules below do.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_process_group_cleanup_enabled", "true")  # what a worker leaves behind ends with it
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
