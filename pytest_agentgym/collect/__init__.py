"""From files to scenarios with their fixtures."""
