"""What a run says: numbers in `summary`, words in `terminal`."""
