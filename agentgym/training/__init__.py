"""On-policy training of the model behind an agent; nothing heavy is imported here."""
