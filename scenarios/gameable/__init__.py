"""Scenarios that are gameable on purpose: training on them shows each sign."""
