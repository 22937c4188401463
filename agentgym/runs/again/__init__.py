"""Whether a run comes to the same when it is played again."""
