"""The program of a math worker, which imports nothing else of ours."""
