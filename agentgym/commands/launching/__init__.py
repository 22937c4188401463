"""The commands `launch` and `cluster`, and what they hand on to a training."""
