"""A conversation with an agent: who speaks, what was said before, what is approved."""
