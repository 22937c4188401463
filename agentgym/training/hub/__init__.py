"""Where rollouts are queued, claimed and recorded."""
