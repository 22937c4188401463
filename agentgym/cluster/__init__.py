"""Processes of our own: pytest's, and one for each rollout of a controller."""
