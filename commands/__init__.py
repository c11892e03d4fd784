"""The command line: folders of commands by their kind."""
