"""What a training is asked to do, and what came of it."""
