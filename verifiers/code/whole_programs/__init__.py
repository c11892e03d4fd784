"""Programs that run as a whole, in several languages, and what judges their output: comparison, checker, interactor."""
