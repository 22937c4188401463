"""The files of a run: where they are, written and read."""
