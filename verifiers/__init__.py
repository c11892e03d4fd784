"""The lowest layer: tasks and trajectories as data, verdicts, rubrics and the verifiers themselves."""
