"""The model behind an agent. Importing this imports neither torch nor transformers."""
