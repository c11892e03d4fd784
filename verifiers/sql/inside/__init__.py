"""The program that runs in the sandbox."""
