"""Where a run ends before all of its episodes are played."""
