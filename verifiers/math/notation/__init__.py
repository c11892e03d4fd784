"""The plain notation in which answers are compared: LaTeX, Unicode, plain text and markup are brought into it."""
