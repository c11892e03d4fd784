"""The program inside a sandbox: standard library only, run by a bare interpreter, importing nothing from above."""
