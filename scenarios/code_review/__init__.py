"""Code review: a repository with open changes, and twelve tools."""
