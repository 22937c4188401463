"""What a run leaves, and what it decides: files, numbers, the gate, comparisons."""
