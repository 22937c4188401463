"""What an agent did in an episode, and who caused its end."""
