"""Goals that must be split into small steps which depend on each other."""
