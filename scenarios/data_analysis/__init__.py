"""Data analysis: a shop's SQLite database with ten tools."""
