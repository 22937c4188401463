"""What a run says: numbers in `tallies` and `summary`, words in `terminal`."""
