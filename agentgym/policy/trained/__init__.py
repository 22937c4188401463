"""Trained agents: saved, found, served, and used in a framework."""
