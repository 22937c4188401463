"""The command `launch`, and what it hands on to a training."""
