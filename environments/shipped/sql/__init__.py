"""Questions about a database, answered with SQL."""
