"""Plays episodes: one, and many in flight."""
