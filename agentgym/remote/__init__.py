"""Trainings on other machines: sent, started there, watched and brought home."""
