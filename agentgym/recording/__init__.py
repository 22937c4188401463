"""What an agent did in an episode, and whose doing its end was."""
