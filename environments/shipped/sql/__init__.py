"""Questions to a database, answered with SQL."""
