"""From recorded rollouts to a batch to learn from."""
