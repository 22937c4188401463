"""Plays the episodes of a scenario, and reports them."""
