"""Trained agents: saved, looked up, served, and used in a framework."""
