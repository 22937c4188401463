"""The plugin's options."""
