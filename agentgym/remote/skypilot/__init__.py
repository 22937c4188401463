"""Machines that SkyPilot rents: its task, and the launch of it."""
