"""What a run shows: live, and when it is over."""
