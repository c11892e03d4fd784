"""Control of a run from outside: commands are files in the run's folder, and are obeyed between two steps."""
