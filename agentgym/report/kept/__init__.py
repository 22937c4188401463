"""Runs that are over, as lines for a terminal: all of a project, and one of them."""
