"""The roof: the command line, one file or folder for each command."""
