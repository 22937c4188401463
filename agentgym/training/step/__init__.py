"""One update: forward pass, loss, optimizer."""
