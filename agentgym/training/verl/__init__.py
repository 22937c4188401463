"""Training by Agent Lightning's own trainer: verl, vLLM and Ray do the updates."""
