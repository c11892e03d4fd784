"""Program of a math worker process; it imports nothing from the rest of the package."""
