"""Trainings on other machines: what is sent, started there, watched and brought home."""
